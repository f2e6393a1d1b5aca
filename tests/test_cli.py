"""The command line as people type it: what it prints, and how it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from coalm import __version__
from coalm.cli import main
from coalm.demo import DATA

CORPORA = DATA / "corpora"


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixture")
    assert (
        main(["data", "build", "--corpora", str(CORPORA), "--out", str(folder), "--sources", "snips,sgd"]) == 0
    )
    return folder


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one error message of a command that must exit with 2 and print no traceback."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert "Traceback" not in shown.err
    return shown.err


def test_the_package_can_be_run_as_a_module() -> None:
    command = [sys.executable, "-m", "coalm", "--version"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["coalm", __version__]


def test_data_build_prints_the_card_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["data", "build", "--corpora", CORPORA, "--out", tmp_path, "--sources", "snips", "--json"]
    assert main([str(argument) for argument in arguments]) == 0
    assert json.loads(capsys.readouterr().out)


def test_data_show(mixture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "show", str(mixture), "-n", "2", "--source", "sgd"]) == 0
    assert "Thought:" in capsys.readouterr().out
    assert main(["data", "show", str(mixture), "-n", "1", "--source", "snips", "--tokens"]) == 0
    shown = capsys.readouterr().out
    assert "### Output:" in shown
    assert "<|end|>" in shown


def test_missing_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("data", "build", "--corpora", tmp_path, "--out", tmp_path / "o", "--sources", "sgd")
    message = refusal(capsys, *arguments)
    assert "schema.json" in message
    assert "dstc8-schema-guided-dialogue" in message


def test_broken_corpus_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(CORPORA, tmp_path / "corpora")
    broken = next((tmp_path / "corpora").rglob("train_PlayMusic_full.json"))
    broken.write_text(broken.read_text(encoding="utf-8").replace('"data"', "data", 1), encoding="utf-8")
    arguments = (
        "data",
        "build",
        "--corpora",
        tmp_path / "corpora",
        "--out",
        tmp_path / "o",
        "--sources",
        "snips",
    )
    message = refusal(capsys, *arguments)
    assert "train_PlayMusic_full.json:" in message


def test_unknown_recipe_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("extends: tiny\nlearning_rat: 0.1\n")
    assert "learning_rate" in refusal(capsys, "train", recipe, "--print")
    assert "learning_rate" in refusal(capsys, "train", "tiny", "--print", "--set", "lerning_rate=1")


def test_unknown_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert "coalm-8b" in refusal(capsys, "train", "coalm-8", "--print")


@pytest.mark.parametrize("model", ["no/such/folder", "hf:no/such/folder"])
def test_model_that_is_none(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "hint:" in refusal(capsys, "eval", model, "--data", DATA, "--out", tmp_path, "--bench", "snips")


def test_export_and_merge_refuse_what_they_cannot_do(
    tmp_path: Path, mixture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--data", mixture, "--out", tmp_path / "out")
    assert "model" in refusal(capsys, "export", "tiny", *arguments, "--to", "trl")
    assert main(["export", "coalm-8b", *map(str, arguments), "--to", "llamafactory"]) == 0
    assert all(Path(line).is_file() for line in capsys.readouterr().out.split())
    assert "adapter" in refusal(capsys, "merge", tmp_path, "--out", tmp_path / "merged")


def test_unknown_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("eval", "replay:x", "--data", DATA, "--out", tmp_path, "--bench", "multiwos")
    assert "multiwoz" in refusal(capsys, *arguments)


def test_missing_benchmark_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("multiwoz", "apibank", "bfcl", "snips"):
        arguments = ("eval", "replay:x", "--data", tmp_path, "--out", tmp_path, "--bench", name)
        assert "hint:" in refusal(capsys, *arguments)


def test_predictions_with_unknown_ids(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text('{"id": "nobody", "result": {}}\n')
    for name in ("multiwoz", "apibank", "bfcl", "snips"):
        message = refusal(capsys, "score", name, "--predictions", path, "--data", DATA)
        assert "nobody" in message
        assert "predictions.jsonl:1" in message


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="no such file"):
        main(["score", "snips", "--predictions", str(tmp_path / "x"), "--data", str(DATA), "--debug"])


def test_score_prints_what_eval_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Predictions of a script are scored when they are made, and again from the file, alike."""
    from coalm.benchmarks import benchmark

    script = tmp_path / "script.jsonl"
    items = benchmark("snips").load(DATA)
    answer = 'System: {"domain": "PlayMusic", "slot_values": {}}'
    script.write_text("".join(json.dumps({"item": i.id, "step": 0, "text": answer}) + "\n" for i in items))
    arguments = [
        "eval",
        f"replay:{script}",
        "--bench",
        "snips",
        "--data",
        str(DATA),
        "--out",
        str(tmp_path / "run"),
    ]
    assert main([*arguments, "--json"]) == 0
    evaluated = json.loads(capsys.readouterr().out)["snips"]
    path, verdicts = tmp_path / "run" / "snips" / "predictions.jsonl", tmp_path / "verdicts.jsonl"
    again = ["score", "snips", "--predictions", str(path), "--data", str(DATA), "--verdicts", str(verdicts)]
    assert main([*again, "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["metrics"] == evaluated["metrics"]
    share = sum(item.group == "PlayMusic" for item in items) / len(items)
    accuracy = next(metric for metric in scored["metrics"] if metric["name"] == "intent_accuracy")
    assert accuracy["value"] == pytest.approx(100 * share)
    assert len(verdicts.read_text().splitlines()) == len(items)
    assert main(again) == 0
    assert "Intent accuracy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--generate", "temperature"], "name=value"),
        (["--shard", "5/4"], "no shard is called"),
        (["--tensor-parallel", "8"], "no option `tensor_parallel`"),
        (["--user-model", "gpt:4"], "no model is called"),
        (["--mode", "telepathy"], "telepathy"),
    ],
)
def test_eval_refuses(
    arguments: list[str], what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "script.jsonl"
    script.write_text("")
    common = ["eval", f"replay:{script}", "--data", str(DATA), "--out", str(tmp_path / "o"), "--bench", "snips"]
    try:
        status: object = main([*common, *arguments])
    except SystemExit as stop:  # the parser's own
        status = stop.code
    assert status == 2
    assert what in capsys.readouterr().err


def test_shards_are_run_and_joined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from coalm.benchmarks import benchmark

    script = tmp_path / "script.jsonl"
    items = benchmark("snips").load(DATA)
    answer = 'System: {"domain": "PlayMusic", "slot_values": {}}'
    script.write_text("".join(json.dumps({"item": i.id, "step": 0, "text": answer}) + "\n" for i in items))
    common = ["eval", f"replay:{script}", "--bench", "snips", "--data", str(DATA)]
    parts = [str(tmp_path / name) for name in ("one", "two")]
    for number, part in enumerate(parts, 1):
        assert main([*common, "--shard", f"{number}/2", "--out", part]) == 0
    shown = capsys.readouterr().out
    assert "Intent accuracy" in shown
    assert " to " in shown  # an interval
    joined, page = tmp_path / "joined", tmp_path / "report.html"
    assert main(["report", *parts, "--merge", str(joined), "--out", str(page)]) == 0
    assert page.exists()
    scores = json.loads((joined / "snips" / "scores.json").read_text())
    assert scores["items"] == len(items)


def test_settings_of_the_command_line() -> None:
    from coalm.arguments import settings

    found = settings("temperature=0.7, do_sample=true,top_k=5,guide=a b,seed=null")
    assert found == {"temperature": 0.7, "do_sample": True, "top_k": 5, "guide": "a b", "seed": None}
