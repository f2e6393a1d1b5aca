"""Worked examples: a seeded mix of right and wrong ones, side by side for all runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from coalm.report.collect import read_runs
from coalm.report.examples import Example, choose_examples, compare, show_value
from coalm.report.measured import BenchmarkRun
from tests.report.made_runs import prediction, verdict, write_benchmark, write_run


def part(folder: Path, whys: dict[str, str | None], **more: Any) -> BenchmarkRun:
    """A run in which these items came out like that."""
    verdicts = [verdict(item, why=why) for item, why in whys.items()]
    predictions = [prediction(item, f"said of {item}") for item in whys]
    write_benchmark(write_run(folder), "bfcl", verdicts=verdicts, predictions=predictions, **more)
    return read_runs([folder]).evaluations[0].benchmarks["bfcl"]


def mixed(count: int) -> dict[str, str | None]:
    kinds = [None, "wrong_count", "wrong_function:f", None, "unreadable:bad_json"]
    return {f"item {number}": kinds[number % 5] for number in range(count)}


def test_right_and_wrong_take_turns_and_wrong_ones_differ(tmp_path: Path) -> None:
    examples = choose_examples([("tiny", part(tmp_path, mixed(40)))])
    assert [example.last.correct for example in examples] == [False, True] * 4
    kinds = [(example.last.why or "").partition(":")[0] for example in examples if not example.last.correct]
    assert len(set(kinds[:3])) == 3
    assert len({example.item for example in examples}) == 8


def test_the_choice_is_the_same_each_time(tmp_path: Path) -> None:
    first, again = (choose_examples([("tiny", part(tmp_path / name, mixed(40)))]) for name in "ab")
    assert first == again


def test_all_right_or_few_is_fine(tmp_path: Path) -> None:
    examples = choose_examples([("tiny", part(tmp_path, {"a": None, "b": None}))])
    assert sorted(example.item for example in examples) == ["a", "b"]


def test_runs_stand_side_by_side_on_what_both_answered(tmp_path: Path) -> None:
    before = part(tmp_path / "a", {"x": "wrong_count", "y": "wrong_count", "z": None})
    after = part(tmp_path / "b", {"x": None, "y": None, "w": None})
    examples = choose_examples([("before", before), ("after", after)])
    assert sorted(example.item for example in examples) == ["x", "y"]
    assert [(answer.run, answer.correct) for answer in examples[0].answers] == [
        ("before", False),
        ("after", True),
    ]


def test_with_nothing_in_common_the_last_run_speaks(tmp_path: Path) -> None:
    before, after = part(tmp_path / "a", {"x": None}), part(tmp_path / "b", {"y": None})
    (example,) = choose_examples([("before", before), ("after", after)])
    assert [answer.run for answer in example.answers] == ["after"]


def only(folder: Path, verdicts: list[dict[str, Any]], steps: tuple[str, ...]) -> list[Example]:
    predictions = [prediction("a", *steps)]
    write_benchmark(write_run(folder), "multiwoz", verdicts=verdicts, predictions=predictions)
    return choose_examples([("t", read_runs([folder]).evaluations[0].benchmarks["multiwoz"])])


def test_a_verdict_on_a_turn_shows_that_turn(tmp_path: Path) -> None:
    verdicts = [verdict("a", "turn 0"), verdict("a", "turn 1", why="missed_slot:x")]
    examples = only(tmp_path, verdicts, ("first", "second"))
    texts = {example.part: [step.text for step in example.last.steps] for example in examples}
    assert texts == {"turn 0": ["first"], "turn 1": ["second"]}


def test_a_verdict_on_the_whole_shows_all_steps(tmp_path: Path) -> None:
    (example,) = only(tmp_path, [verdict("a")], ("first", "second", "third"))
    assert [step.text for step in example.last.steps] == ["first", "second", "third"]


def test_values_are_shown_on_one_line_where_they_fit() -> None:
    assert show_value("as it is\n") == "as it is\n"
    assert show_value({"a": ["é", 1]}) == '{"a": ["é", 1]}'
    long = {"name": "x" * 50, "list": [1, 2], "empty": {}}
    assert show_value(long).splitlines()[0] == "{"
    assert '  "list": [1, 2],' in show_value(long).splitlines()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


@given(JSON.filter(lambda value: not isinstance(value, str)), st.integers(0, 80))
def test_shown_values_are_still_json(value: Any, room: int) -> None:
    assert json.loads(show_value(value, room)) == value


@given(st.text(max_size=60), st.text(max_size=60))
def test_compared_pieces_make_up_the_text(got: str, want: str) -> None:
    pieces = compare(got, want)
    assert "".join(text for text, _ in pieces) == got
    if got == want:
        assert not any(differs for _, differs in pieces)


def test_only_what_differs_is_marked() -> None:
    pieces = compare('{"area": "north", "stars": "4"}', '{"area": "south", "stars": "4"}')
    assert [text for text, differs in pieces if differs] == ["north"]
    assert compare("y" * 9000, "x") == [("y" * 9000, True)]
