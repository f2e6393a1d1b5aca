"""The pipeline of coalm-nano at tiny size: all stages, one command, killed and gone on with."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from coalm import cli, nano
from coalm.demo import DATA
from coalm.errors import ModelError
from coalm.nano import main, pack
from coalm.runs import read_json
from coalm.training.checkpoints import latest_checkpoint
from tests.models.tiny import save_llama

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["transformers.models.llama.modeling_llama", "coalm.training.trainer"])

SHAPE = ("layers=1", "hidden_size=32", "heads=2", "kv_heads=2", "intermediate_size=32", "vocabulary=512")
BASE = (*(f"scratch.{text}" for text in SHAPE), "batch=8", "max_steps=4", "eval_samples=4")
TUNED = ("batch=6", "max_steps=16", "save_every=1", "eval_samples=4")
BUILD = "--share sgd=0.05 --share sgd-dst=0.1 --share xlam=0.3 --validation 0.1 --jobs 1 --no-tokens"
STAGES = ["data", "tokenizer", "base", "tuned", "weights", "eval", "report"]


def command(out: Path, tests: Path) -> list[str]:
    arguments = [
        "--corpora",
        str(DATA / "corpora"),
        "--benchmarks",
        str(tests),
        "--out",
        str(out),
        "--processes",
        "1",
    ]
    arguments += ["--limit", "2", "--build", BUILD]
    arguments += [text for change in BASE for text in ("--base-set", change)]
    return arguments + [text for change in TUNED for text in ("--set", change)]


def stages(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one benchmark of all."""
    folder = tmp_path_factory.mktemp("tests")
    (folder / "snips").symlink_to(DATA / "corpora" / "snips", target_is_directory=True)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tests: Path) -> Path:
    """The run that nothing happens to."""
    out = tmp_path_factory.mktemp("nano") / "run"
    assert main(command(out, tests)) == 0
    return out


def test_one_command_gives_a_model_its_scores_and_a_report(whole: Path) -> None:
    assert [stage["stage"] for stage in stages(whole)] == STAGES
    assert all(stage["status"] == 0 for stage in stages(whole))
    facts = read_json(whole / "weights" / "packed.json")
    assert facts["bytes"] == (whole / "weights" / "model.safetensors").stat().st_size < 2**20
    assert abs(facts["loss"]["before"] - facts["loss"]["after"]) < 0.02
    assert facts["agreement"] > 0.9
    assert facts["target_tokens"] > 50
    assert read_json(whole / "eval" / "snips" / "scores.json")["items"] == 2
    assert "coalm-nano" in (whole / "report.html").read_text(encoding="utf-8")


def test_the_card_says_what_it_is_and_how_to_use_it(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = shutil.copytree(whole / "weights", tmp_path / "weights")
    card = (weights / "README.md").read_text(encoding="utf-8")
    size = read_json(whole / "tuned" / "run.json")["parameters"]["all"]
    assert f"# coalm-nano\n\nA Llama of {size:,} parameters" in card
    assert "1 layers, width 32, 2 heads" in card
    assert "| sgd | CRA | SGD |" in card
    assert str(whole) not in card
    assert "unknown" not in card
    example = card.partition("```python\n")[2].partition("```")[0]
    exec(example.replace("FOLDER", str(weights)), {})

    capsys.readouterr()
    assert cli.main(["card", str(weights), str(whole / "eval")]) == 0
    again = (weights / "README.md").read_text(encoding="utf-8")
    assert again[again.index("# coalm-nano") :].startswith(
        card[card.index("# coalm-nano") : card.index("## Train")]
    )
    assert "| snips (v1) | Exact frame |" in again


def test_the_stages_learn_from_what_they_are_for(whole: Path) -> None:
    base, tuned = (read_json(whole / name / "run.json") for name in ("base", "tuned"))
    sources = [{source["domain"] for source in run["mixture"]["sources"]} for run in (base, tuned)]
    assert sources == [{"TEXT"}, {"TOD", "LA", "CRA"}]
    assert tuned["steps"] == 16
    tokenizers = [(whole / name / "tokenizer.json").read_bytes() for name in ("tokenizer", "weights")]
    assert tokenizers[0] == tokenizers[1]
    [first, *_] = [json.loads(line) for line in (whole / "tuned" / "metrics.jsonl").read_text().splitlines()]
    before = read_json(whole / "base" / "run.json")["plain_loss"]["after"]
    assert first["plain_loss"] == pytest.approx(before, abs=1e-3)  # it starts where the first stage ended


def test_what_is_done_is_not_done_again(whole: Path, tests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    assert main(command(whole, tests)) == 0
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before
    assert capsys.readouterr().out.strip() == str(whole / "report.html")


def test_other_settings_are_another_run(whole: Path, tests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command(whole, tests), "--set", "seed=1"]) == 2
    assert "other settings" in capsys.readouterr().err


def trained_no_further_than_base(whole: Path, out: Path) -> Path:
    later = ("tuned", "weights", "eval", "report.html", "log.jsonl")
    return shutil.copytree(whole, out, ignore=shutil.ignore_patterns(*later))


def test_several_processes_train_one_model(whole: Path, tests: Path, tmp_path: Path) -> None:
    out = trained_no_further_than_base(whole, tmp_path / "run")
    assert main([*command(out, tests), "--processes", "2"]) == 0
    assert [stage["stage"] for stage in stages(out)] == STAGES[3:]
    runs = [read_json(folder / "tuned" / "run.json") for folder in (out, whole)]
    assert [run["processes"] for run in runs] == [2, 1]
    assert runs[0]["eval_loss"]["after"] == pytest.approx(runs[1]["eval_loss"]["after"], rel=0.01)


def test_a_killed_run_goes_on(whole: Path, tests: Path, tmp_path: Path) -> None:
    out = trained_no_further_than_base(whole, tmp_path / "run")
    child = CONTEXT.Process(target=main, args=(command(out, tests),))
    child.start()
    deadline = time.monotonic() + 60
    while latest_checkpoint(out / "tuned" / "checkpoints") is None and child.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(child.pid or 0, 9)
    child.join()
    assert not (out / "tuned" / "run.json").exists()
    assert main(command(out, tests)) == 0
    assert [stage["stage"] for stage in stages(out)] == STAGES[3:]
    weights = [(folder / "weights" / "model.safetensors").read_bytes() for folder in (out, whole)]
    assert weights[0] == weights[1]


def test_a_stage_that_fails_ends_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    out = tmp_path / "run"
    assert main(["--corpora", str(tmp_path / "empty"), "--out", str(out)]) == 2
    assert [stage["status"] for stage in stages(out)] == [2]
    assert "put it in the corpora folder" in capsys.readouterr().err
    assert main(["--corpora", str(tmp_path / "nothing"), "--out", str(tmp_path / "other")]) == 2
    assert "CORPORA=DIR" in capsys.readouterr().err


def test_weights_too_large_for_the_package_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_llama(tmp_path / "model")
    monkeypatch.setattr(nano, "LARGEST", 10_000)
    with pytest.raises(ModelError, match="the package takes 10,000"):
        pack(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ModelError, match="no model"):
        pack(tmp_path, tmp_path / "out")
