"""`coalm data` as people type it, beyond building and showing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from coalm import mixture as mixtures
from coalm.cli import main
from coalm.demo import DATA
from coalm.mixture import SPLITS
from tests.server import Answer, Asked, serve

CORPORA = DATA / "corpora"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert main([str(argument) for argument in ("data", *arguments)]) == 0
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixture")
    arguments = ["data", "build", "--corpora", CORPORA, "--out", folder, "--sources", "sgd", "--no-tokens"]
    assert main([*map(str, arguments), "--share", "sgd=0.3", "--jobs", "1"]) == 0
    return folder


def test_check(mixture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "| **all** " in run(capsys, "check", mixture)
    summary = json.loads(run(capsys, "check", mixture, "--out", mixture / "again", "--json"))
    assert summary["calls"] > 50
    assert summary["findings"]["undefined"] == summary["findings"]["type"] == {}
    assert (mixture / "checks" / "findings.jsonl").read_bytes() == (
        mixture / "again" / "findings.jsonl"
    ).read_bytes()


def test_check_wants_dialogues(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(tmp_path)]) == 2
    assert "no dialogues to look at" in capsys.readouterr().err


def test_review_serves_a_sample_and_sums_it_up(mixture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "coalm", "data", "review", mixture, "-n", "3", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        said = server.stderr.readline()
        url = next(word for word in said.split() if word.startswith("http://"))
        with urllib.request.urlopen(url, timeout=20) as page:
            assert b"<html" in page.read().lower()
        server.send_signal(signal.SIGINT)
        server.wait(20)
    assert main(["data", "review", str(mixture), "--summary"]) == 2
    assert "nothing has been judged" in capsys.readouterr().err


def test_cra_by_a_model_becomes_a_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def script(asked: Asked) -> Answer:
        part = asked.prompt.split("# User turns")[1]
        users = [line for line in part.splitlines() if line.startswith("User: ")]
        return Answer(
            "\n\n".join(f"{user}\nThought: Nothing to call.\nSystem: Fine." for user in users), 900, 90
        )

    out = tmp_path / "sgd-llm"
    with serve(script) as server:
        arguments = ("cra", "--corpora", CORPORA, "--model", f"openai:big@{server.url}", "--out", out)
        said = run(capsys, *arguments, "--limit", 4, "--concurrency", 2, "--price", 1, 2, "--max-cost", 1)
        assert "4 dialogues accepted, 0 rejected, 0 not asked for" in said
        totals = json.loads(run(capsys, *arguments, "--limit", 4, "--json"))
        assert totals["requests"] == len(server.requests) == 4
    card = json.loads(
        run(capsys, "build", "--corpora", tmp_path, "--sources", "sgd-llm", "--out", tmp_path / "m", "--json")
    )
    assert list(card["sources"]) == ["sgd-llm"]
    assert sum(card["samples"].values()) > 4
    assert "dialogues" in run(capsys, "check", tmp_path / "m")


def test_the_released_mixture_is_taken_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "mine"
    run(capsys, "build", "--corpora", CORPORA, "--out", source, "--share", "sgd=0.1", "--no-tokens")
    released, out = str(source / "train.parquet"), tmp_path / "again"
    card = json.loads(run(capsys, "build", "--released", released, "--out", out, "--json"))
    assert set(card["sources"]) == {f"released-{name}" for name in ("snips", "xlam", "toolace", "sgd")}
    rows = [(s.instruction, s.input, s.output) for split in SPLITS for s in mixtures.read(out, split)]
    assert sorted(rows) == sorted((s.instruction, s.input, s.output) for s in mixtures.read(source))
    assert "non-commercial" in (out / "card.md").read_text(encoding="utf-8")


def test_what_was_fetched_is_a_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published = tmp_path / "hub"
    published.mkdir()
    shutil.copy(CORPORA / "function_calling" / "xlam_format" / "xlam_demo.json", published / "data.json")
    said = run(capsys, "fetch", "xlam", "--id", published, "--out", tmp_path / "corpora")
    assert Path(said.strip()).is_file()
    arguments = ("--corpora", tmp_path / "corpora", "--sources", "xlam", "--mask-copies", 1, "--no-tokens")
    card = json.loads(run(capsys, "build", *arguments, "--out", tmp_path / "m", "--json"))
    assert sum(card["samples"].values()) == len(json.loads((published / "data.json").read_text()))


def test_push_says_first_what_would_go(mixture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "push", mixture, "--repo", "me/coalm-it", "--dry-run")
    assert "README.md" in said
    assert "train.parquet" in said
    assert "would go to https://huggingface.co/datasets/me/coalm-it" in said


@pytest.mark.parametrize("share", ["sgd", "sgd=half"])
def test_a_share_that_is_none(share: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["data", "build", "--corpora", str(CORPORA), "--out", str(tmp_path), "--share", share])
    assert ended.value.code == 2
    assert "SOURCE=X" in capsys.readouterr().err


def test_a_killed_build_is_built_anew(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "coalm",
        "data",
        "build",
        "--corpora",
        CORPORA,
        "--out",
        tmp_path / "m",
    ]
    with subprocess.Popen([*command, "--jobs", "1"], stdout=subprocess.DEVNULL) as building:
        while not (tmp_path / "m" / ".building").exists() and building.poll() is None:
            time.sleep(0.01)
        building.kill()
    assert not (tmp_path / "m" / "run.json").exists()
    done: Any = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {})
    assert done.stdout.strip() == str(tmp_path / "m" / "card.md")
    assert not (tmp_path / "m" / ".building").exists()


def test_variation_reaches_the_mixture(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    varied = ("--vary-tools", 1, "--most-tools", 3, "--irrelevant", 0.2, "--tracked", 2)
    arguments = (
        "--corpora",
        CORPORA,
        "--share",
        "sgd=0.1",
        "--share",
        "sgd-dst=0.1",
        "--mixture",
        "scratch",
        *varied,
    )
    card = json.loads(run(capsys, "build", *arguments, "--out", tmp_path, "--no-tokens", "--jobs", 1, "--json"))
    keys = ("vary_tools", "most_tools", "irrelevant", "tracked")
    assert [card[key] for key in keys] == [1.0, 3, 0.2, 2]
    samples = [sample for sample in mixtures.read(tmp_path) if sample.source == "sgd"]
    assert not any("\n9. " in sample.instruction for sample in samples)
