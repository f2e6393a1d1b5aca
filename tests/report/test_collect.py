"""Run folders are read whole, folders of runs are expanded, and what is missing or broken is named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from coalm.errors import DataError
from coalm.report.collect import read_runs
from tests.report.made_runs import (
    metric,
    prediction,
    verdict,
    write_benchmark,
    write_evaluation,
    write_lines,
    write_mixture,
    write_run,
    write_training,
)


def test_an_evaluation(tmp_path: Path) -> None:
    (run,) = read_runs([write_evaluation(tmp_path / "run")]).evaluations
    assert run.label == "Tiny"
    assert not run.is_demo
    part = run.benchmarks["multiwoz"]
    assert part.primary.name == "jga_strict"
    assert part.primary.value == 42.5
    assert part.figure("slot_f1") is not None
    assert part.figure("success") is None
    assert part.unreadable == {"bad_json": 1}
    assert [kept.steps[0].prompt for kept in part.kept.values()] == ["Book a table."] * 2
    assert part.kept["two"].verdicts[0]["why"] == "wrong_value:hotel-area"


def test_optional_keys_may_be_missing(tmp_path: Path) -> None:
    folder = write_benchmark(tmp_path / "run", "apibank")
    scores = {"version": 1, "items": 2, "metrics": [{"name": "rouge_l_l1", "value": 3}]}
    (folder / "scores.json").write_text(json.dumps(scores))
    write_lines(folder / "predictions.jsonl", [{"id": "one", "steps": [{"text": "f()"}]}])
    write_lines(folder / "verdicts.jsonl", [{"item": "one", "correct": True}])
    (tmp_path / "run" / "run.json").write_text('{"command": "eval"}')
    (run,) = read_runs([tmp_path / "run"]).evaluations
    assert run.label == "run"
    part = run.benchmarks["apibank"]
    assert (part.primary.label, part.primary.value, part.primary.low) == ("rouge_l_l1", 3.0, None)
    assert part.kept["one"].steps[0].prompt is None


@pytest.mark.parametrize("name", ["scores.json", "predictions.jsonl", "verdicts.jsonl"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    run = write_evaluation(tmp_path / "run", ["bfcl"])
    (run / "bfcl" / name).unlink()
    with pytest.raises(DataError, match=f"bfcl/{name}: no such file"):
        read_runs([run])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("scores.json", "[]", "scores.json: expected an object"),
        ("scores.json", '{"version": 1, "items": 1, "metrics": []}', "no metric"),
        ("scores.json", '{"version": "1", "items": 1, "metrics": [{"name": "a"}]}', "expected `version`"),
        ("verdicts.jsonl", '{"item": "a"}\n{"it', r"verdicts.jsonl:2: not valid JSON"),
        ("verdicts.jsonl", '{"item": 3}', r"verdicts.jsonl:1: expected `item` to be str"),
        ("predictions.jsonl", '\n{"id": "a"}', r"predictions.jsonl:2: expected `steps` to be list"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    run = write_evaluation(tmp_path / "run", ["bfcl"])
    (run / "bfcl" / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_runs([run])


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        read_runs([tmp_path / "none"])
    with pytest.raises(DataError, match="neither a run nor a folder of runs"):
        read_runs([tmp_path])
    with pytest.raises(DataError, match="without a benchmark"):
        read_runs([write_run(tmp_path / "empty")])


def test_a_folder_of_runs_is_expanded_in_the_order_they_were_finished(tmp_path: Path) -> None:
    folders = [
        write_mixture(tmp_path / "demo" / "data"),
        write_training(tmp_path / "demo" / "untrained", steps=0),
        write_evaluation(tmp_path / "demo" / "before", ["bfcl"]),
        write_training(tmp_path / "demo" / "training"),
        write_evaluation(tmp_path / "demo" / "after", ["bfcl"]),
    ]
    (tmp_path / "demo" / "model").mkdir()
    for place, folder in enumerate(folders):
        os.utime(folder / "run.json", (place, place))
    runs = read_runs([tmp_path / "demo"])
    assert [run.label for run in runs.evaluations] == ["before", "after"]
    assert [run.label for run in runs.trainings] == ["training"]  # not the one that took no step
    assert [mixture.label for mixture in runs.mixtures] == ["data"]


def test_labels_tell_runs_apart(tmp_path: Path) -> None:
    a, b, c = (
        write_evaluation(tmp_path / name, ["bfcl"], model=model)
        for name, model in (("a/run", "hf:org/X"), ("b/run", "hf:other/X/"), ("c", "gpt-4o"))
    )
    assert [run.label for run in read_runs([a, b, c]).evaluations] == ["run (1)", "run (2)", "gpt-4o"]
    assert len(read_runs([a, a]).evaluations) == 1
    named = write_evaluation(tmp_path / "d", ["bfcl"], label="before training")
    assert [run.label for run in read_runs([a, named]).evaluations] == ["X", "before training"]


def test_two_versions_of_a_benchmark_do_not_stand_side_by_side(tmp_path: Path) -> None:
    one = write_evaluation(tmp_path / "one")
    two = write_evaluation(tmp_path / "two", ["multiwoz"])
    write_benchmark(two, "bfcl", version=2)
    with pytest.raises(DataError, match=r"different versions of bfcl.*1 in .*one, 2 in .*two"):
        read_runs([one, two])


def test_practice_and_benchmark_do_not_stand_side_by_side(tmp_path: Path) -> None:
    real = write_evaluation(tmp_path / "real", ["bfcl"])
    practice = write_evaluation(tmp_path / "practice", ["bfcl"], demo=True)
    with pytest.raises(DataError, match="practice set of bfcl"):
        read_runs([real, practice])


def test_shares_count_items_by_group(tmp_path: Path) -> None:
    verdicts = [
        verdict("a", group="simple"),
        verdict("b", group="simple", why="wrong_count"),
        verdict("c", group="java", why="wrong_count"),
    ]
    write_benchmark(write_run(tmp_path / "run"), "bfcl", verdicts=verdicts)
    shares = read_runs([tmp_path / "run"]).evaluations[0].benchmarks["bfcl"].shares
    assert [(share.group, share.items, share.figure.value) for share in shares] == [
        ("java", 1, 0.0),
        ("simple", 2, 50.0),
    ]
    low, high = shares[1].figure.low, shares[1].figure.high
    assert (low, high) == (0.0, 100.0)


def test_multiwoz_turns_count_for_each_domain_of_their_gold_state(tmp_path: Path) -> None:
    verdicts = [
        verdict("a", "turn 0", want={"hotel-area": "north", "train-day": "friday"}),
        verdict("a", "turn 1", want={"hotel-area": "north"}, why="wrong_value:hotel-area"),
        verdict("b", "turn 0", want={}),
    ]
    write_benchmark(write_run(tmp_path / "run"), "multiwoz", verdicts=verdicts)
    shares = read_runs([tmp_path / "run"]).evaluations[0].benchmarks["multiwoz"].shares
    found = {share.group: share.figure.value for share in shares}
    assert found == {"hotel": 50.0, "train": 100.0, "nothing asked yet": 100.0}


def test_items_with_prompts_are_preferred_for_examples(tmp_path: Path) -> None:
    rows = [prediction(f"i{number}", prompt="p" if number % 100 == 0 else None) for number in range(300)]
    write_benchmark(write_run(tmp_path / "run"), "bfcl", predictions=rows, verdicts=[verdict("i100")])
    kept = read_runs([tmp_path / "run"]).evaluations[0].benchmarks["bfcl"].kept
    assert list(kept) == ["i0", "i100", "i200"]
    assert [len(item.verdicts) for item in kept.values()] == [0, 1, 0]


def test_a_training(tmp_path: Path) -> None:
    (run,) = read_runs([write_training(tmp_path / "run", steps=3)]).trainings
    assert [point.step for point in run.points] == [0, 1, 2, 3]
    assert run.points[0].loss is None
    assert run.points[0].eval_loss == 6.5
    assert run.points[1].computed_tokens == 1000
    assert run.recipe.startswith("base: tiny")


@pytest.mark.parametrize("name", ["metrics.jsonl", "recipe.yaml"])
def test_a_training_without_one_of_its_files(tmp_path: Path, name: str) -> None:
    run = write_training(tmp_path / "run")
    (run / name).unlink()
    with pytest.raises(DataError, match=name):
        read_runs([run])


def test_a_loss_that_is_no_number_is_left_out(tmp_path: Path) -> None:
    run = write_training(tmp_path / "run")
    (run / "metrics.jsonl").write_text('{"step": 1, "loss": NaN}\n{"step": 2, "loss": Infinity}\n')
    assert [point.loss for point in read_runs([run]).trainings[0].points] == [None, None]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "12"])
def test_a_metric_that_is_no_number_is_not_defined(tmp_path: Path, value: Any) -> None:
    folder = write_benchmark(write_run(tmp_path / "run"), "bfcl")
    scores = json.loads((folder / "scores.json").read_text())
    scores["metrics"] = [metric("overall", "Overall", None) | {"value": value}]
    (folder / "scores.json").write_text(json.dumps(scores))
    assert read_runs([tmp_path / "run"]).evaluations[0].benchmarks["bfcl"].primary.value is None
