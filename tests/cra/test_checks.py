"""The four questions of Appendix D: on sound dialogues, on planted errors, and on real SGD."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import coalm
from coalm.cra.checks import check, check_corpus, write_checks
from coalm.cra.findings import QUESTIONS, Finding, write_action
from coalm.cra.grounded import ground
from coalm.cra.kinds import find_fault
from coalm.dialogue import Act, Dialogue, Tool, ToolCall, Turn
from coalm.errors import DataError
from coalm.families.coalm import write_history
from coalm.sources import sgd
from tests.cra.planting import Plant, exchange, plant_all, pool_of, transcripts

DEMO = Path(coalm.__file__).parent / "demo" / "corpora"
SOUND, BY_HAND = transcripts()


def grounded(root: Path, split: str = "train", step: int = 1) -> list[Dialogue]:
    return [ground(dialogue) for dialogue in islice(sgd.load(root, split), 0, None, step)]


def unannotated(dialogue: Dialogue) -> Dialogue:
    """As a large model leaves it: words, thoughts, calls and the text of observations."""
    return replace(dialogue, turns=tuple(replace(turn, acts=(), results=()) for turn in dialogue.turns))


# ── recall and precision ──────────────────────────────────────────────────────────────────────────


class Count:
    """Over corrupted dialogues and untouched ones. A plant is found by a finding of its kind in its exchange; a
    finding in another exchange, or in an untouched dialogue, is false.
    """

    def __init__(self, plants: Sequence[Plant], untouched: Iterable[Dialogue]) -> None:
        self.missed: list[str] = []
        self.false: list[Finding] = []
        for plant in plants:
            findings = check(plant.dialogue)
            near = [one for one in findings if exchange(plant.dialogue, one.turn) in plant.exchanges]
            self.false += [one for one in findings if one not in near]
            if plant.kind not in {one.kind for one in near}:
                self.missed.append(f"{plant.dialogue.id}: {plant.kind}, {plant.what}")
        for dialogue in untouched:
            self.false += check(dialogue)
        self.found = len(plants) - len(self.missed)
        self.recall = self.found / len(plants)
        self.precision = self.found / (self.found + len(self.false))


def test_planted_errors_are_found() -> None:
    """Half by hand, half by machine, and as many untouched dialogues."""
    dialogues = grounded(DEMO)
    by_machine = list(plant_all(dialogues[::2], pool_of(dialogues), seed=1))[: len(BY_HAND)]
    untouched = [*SOUND, *dialogues[1::2], *(unannotated(dialogue) for dialogue in dialogues)]
    plants = [*BY_HAND, *by_machine]
    assert 0.5 <= len(BY_HAND) / len(plants) < 0.7
    assert len(untouched) >= len(plants) > 180
    count = Count(plants, untouched[: len(plants)])
    assert count.recall >= 0.95, count.missed
    assert count.precision >= 0.95, count.false
    kinds = Counter(plant.kind for plant in plants)
    assert set(kinds) == set(QUESTIONS)
    assert min(kinds.values()) > 25


@pytest.mark.parametrize("plant", BY_HAND, ids=lambda plant: plant.dialogue.id)
def test_a_plant_by_hand_is_found(plant: Plant) -> None:
    assert plant.kind in {one.kind for one in check(plant.dialogue)}


@pytest.mark.parametrize("dialogue", SOUND, ids=lambda dialogue: dialogue.id)
def test_a_sound_conversation_of_a_large_model_has_no_findings(dialogue: Dialogue) -> None:
    assert check(dialogue) == []


@pytest.mark.parametrize("split", sgd.SPLITS)
def test_the_grounded_engine_is_right_by_construction(split: str) -> None:
    dialogues = grounded(DEMO, split)
    assert len(dialogues) > 3
    assert [one for dialogue in dialogues for one in check(dialogue)] == []


def test_unannotated_dialogues_can_be_checked_too() -> None:
    dialogues = [unannotated(dialogue) for dialogue in grounded(DEMO)]
    false = [one for dialogue in dialogues for one in check(dialogue)]
    assert len(false) <= 0.02 * len(dialogues), false


# ── single findings ───────────────────────────────────────────────────────────────────────────────

BOOK = Tool(
    "Book",
    parameters={
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "date": {"type": "string"},
            "time": {"type": "string"},
            "seats": {"type": "string", "enum": ["1", "2", "3"]},
            "wifi": {"type": "string", "enum": ["True", "False", "dontcare"], "default": "dontcare"},
        },
        "required": ["city"],
    },
)


def conversation(said: str, arguments: dict[str, Any], *, source: str = "mine", acts: Any = ()) -> Dialogue:
    """Somebody says something, a call follows."""
    turns = (
        Turn("user", said, acts=acts),
        Turn("assistant", thought="I can book that.", calls=(ToolCall("Book", arguments),)),
        Turn("tool", '[{"code": "A7"}]', results=({"code": "A7"},)),
        Turn("assistant", "It is booked, the code is A7.", thought="The booking is done."),
    )
    return Dialogue("d", source, turns, tools=(BOOK,))


def rules(dialogue: Dialogue) -> list[str]:
    return [finding.rule for finding in check(dialogue)]


@pytest.mark.parametrize(
    ("said", "arguments"),
    [
        ("A car in SAN JOSÉ, please", {"city": "San Jose"}),
        ("I'd like one in San Jose's centre", {"city": "San Jose"}),
        ("somewhere in L.A. or maybe NYC", {"city": "New York"}),
        ("Napa, on March 9th", {"city": "Napa", "date": "2019-03-09"}),
        ("Napa, the 9th of March 2019", {"city": "Napa", "date": "2019-03-09"}),
        ("Napa, on the ninth", {"city": "Napa", "date": "2019-03-09"}),
        ("Napa, on 3/9", {"city": "Napa", "date": "2019-03-09"}),
        ("Napa, at a quarter to six in the evening", {"city": "Napa", "time": "17:45"}),
        ("Napa, half past 12 in the afternoon", {"city": "Napa", "time": "12:30"}),
        ("Napa, 5:30", {"city": "Napa", "time": "17:30"}),
        ("Napa, 5 o'clock pm", {"city": "Napa", "time": "17:00"}),
        ("Napa, at noon", {"city": "Napa", "time": "12:00"}),
        ("Napa, for the three of us", {"city": "Napa", "seats": "3"}),
        ("Napa, for a couple of friends", {"city": "Napa", "seats": "2"}),
        ("Napa, one that has internet", {"city": "Napa", "wifi": "True"}),
        ("Napa", {"city": "Napa", "wifi": "dontcare"}),
    ],
)
def test_values_that_were_said_are_supported(said: str, arguments: dict[str, Any]) -> None:
    assert rules(conversation(said, arguments)) == []


@pytest.mark.parametrize(
    ("said", "arguments"),
    [
        ("A car in San Francisco", {"city": "San Jose"}),
        ("Napa, on March 9th", {"city": "Napa", "date": "2019-03-19"}),
        ("Napa, on March 9th", {"city": "Napa", "date": "2019-04-09"}),
        ("Napa, the 9th of March 2020", {"city": "Napa", "date": "2019-03-09"}),
        ("Napa, at a quarter to six", {"city": "Napa", "time": "18:15"}),
        ("Napa, 5:30 pm", {"city": "Napa", "time": "05:30"}),
        ("Napa, at 3 pm on the 3rd", {"city": "Napa", "seats": "3"}),
        ("Napa", {"city": "Napa", "wifi": "True"}),
    ],
)
def test_values_out_of_the_blue_are_not(said: str, arguments: dict[str, Any]) -> None:
    assert rules(conversation(said, arguments)) == ["unsupported"]


def test_what_day_it_is_decides_what_tomorrow_means() -> None:
    said, arguments = "Napa, tomorrow", {"city": "Napa", "date": "2019-03-05"}
    assert rules(conversation(said, arguments)) == []
    assert rules(conversation(said, arguments, source="sgd")) == ["unsupported"]
    assert rules(conversation(said, arguments | {"date": "2019-03-02"}, source="sgd")) == []


def test_annotation_decides_over_words() -> None:
    acts = (Act("INFORM", "city", ("Napa",), ("Napa",)), Act("INFORM", "seats", ("two",), ("2",)))
    said = "2 seats in Napa, there were 3 last time"
    assert rules(conversation(said, {"city": "Napa", "seats": "2"}, acts=acts)) == []
    assert rules(conversation(said, {"city": "Napa", "seats": "3"}, acts=acts)) == ["unsupported"]
    meant = (Act("INFORM", "city", ("the big one",), ("Fresno",)),)
    assert rules(conversation("the big one", {"city": "Fresno"}, acts=meant)) == []


def test_rows_that_are_not_shown_support_a_value() -> None:
    rows = tuple({"city": name} for name in ("Napa", "Fresno", "Davis", "Oakland"))
    shown = '[{"city": "Napa"}] and 3 more results'
    turns = (
        Turn("user", "Where can I go?"),
        Turn("assistant", thought="I look for cities.", calls=(ToolCall("Find", {}),)),
        Turn("tool", shown, results=rows),
        Turn("assistant", "To 4 cities.", thought="The call found four of them."),
        *conversation("The last one.", {"city": "Oakland"}).turns,
    )
    dialogue = Dialogue("d", "mine", turns, tools=(Tool("Find"), BOOK))
    assert rules(dialogue) == []
    without = [replace(turn, results=()) if turn.text == shown else turn for turn in turns]
    assert rules(replace(dialogue, turns=tuple(without))) == ["unsupported"]


def test_a_thought_supports_nothing() -> None:
    dialogue = conversation("Somewhere nice", {"city": "Napa"})
    turns = (dialogue.turns[0], replace(dialogue.turns[1], thought="They mean Napa."), *dialogue.turns[2:])
    assert rules(replace(dialogue, turns=turns)) == ["unsupported"]


def test_the_same_call_is_fine_after_another() -> None:
    """The balance may have changed after a transfer, not after a question."""
    first = conversation("Napa", {"city": "Napa"})
    other = Tool("Cancel", parameters={"type": "object", "properties": {}})
    between = (Turn("user", "Cancel."), *(first.turns[1:]))
    cancelled = replace(between[1], calls=(ToolCall("Cancel"),))
    again = replace(first, turns=(*first.turns, *first.turns), tools=(BOOK, other))
    assert rules(again) == ["repeated_call"]
    assert rules(replace(again, turns=(*first.turns, between[0], cancelled, *between[2:], *first.turns))) == []


def test_a_finding_says_where_it_is() -> None:
    dialogue = conversation("Napa", {"city": "Napa", "time": "nine", "floor": "3", "date": "2019-03-09"})
    found = {finding.rule: finding for finding in check(dialogue)}
    action = write_action(dialogue.turns[1])
    assert write_history([dialogue.turns[1]]).endswith(f"Action: {action}")
    spans = {rule: action[finding.start : finding.end] for rule, finding in found.items()}
    assert spans == {
        "wrong_type": "time='nine'",
        "unknown_parameter": "floor='3'",
        "unsupported": "date='2019-03-09'",
    }
    assert {(finding.turn, finding.part) for finding in found.values()} == {(1, "action")}


def test_a_finding_in_a_thought_marks_the_sentence() -> None:
    dialogue = conversation("Napa", {"city": "Napa"})
    thought = "The user names a city. No function call is needed here. I answer."
    (finding,) = check(
        replace(
            dialogue,
            turns=(dialogue.turns[0], replace(dialogue.turns[1], thought=thought), *dialogue.turns[2:]),
        )
    )
    assert (finding.rule, finding.value) == ("denied_call", thought[finding.start : finding.end])
    assert finding.value.strip() == "No function call is needed here."


@pytest.mark.parametrize(
    ("name", "value", "schema", "good"),
    [
        ("check_in_date", "2019-03-01", {"type": "string"}, True),
        ("check_in_date", "2019-02-30", {"type": "string"}, False),
        ("check_in_date", "tomorrow", {"type": "string"}, False),
        ("candidate", "tomorrow", {"type": "string"}, True),
        ("leaving_time", "24:00", {"type": "string"}, True),
        ("leaving_time", "7 pm", {"type": "string"}, False),
        ("departure", "2019-03-01", {"type": "string", "format": "date"}, True),
        ("departure", "Friday", {"type": "string", "format": "date"}, False),
        ("time", "dontcare", {"type": "string", "default": "dontcare"}, True),
        ("number_of_days", "3", {"type": "string"}, True),
        ("number_of_days", 3, {"type": "string"}, True),
        ("number_of_days", "three", {"type": "string"}, False),
        ("seats", 2, {"type": "string", "enum": ["1", "2"]}, True),
        ("seats", "two", {"type": "string", "enum": ["1", "2"]}, False),
        ("wifi", True, {"type": "string", "enum": ["True", "False"]}, True),
        ("wifi", "yes", {"type": "string", "enum": ["True", "False"]}, False),
        ("level", True, {"enum": [1, 2]}, False),
        ("level", 1, {"enum": [1, 2]}, True),
        ("city", ["Napa"], {"type": "string"}, False),
        ("city", None, {"type": "string"}, False),
        ("city", "  ", {"type": "string"}, False),
        ("city", None, {"type": ["string", "null"]}, True),
        ("count", 3, {"type": "integer"}, True),
        ("count", "3", {"type": "integer"}, False),
        ("count", True, {"type": "integer"}, False),
        ("price", 3.5, {"type": "number"}, True),
        ("flag", False, {"type": "boolean"}, True),
        ("flag", "False", {"type": "boolean"}, False),
        ("tags", ["a", "b"], {"type": "array", "items": {"type": "string"}}, True),
        ("tags", ["a", ["b"]], {"type": "array", "items": {"type": "string"}}, False),
        ("at", {"x": "1"}, {"type": "object", "properties": {"x": {"type": "integer"}}}, False),
        ("thing", object, {"type": "mystery"}, True),
    ],
)
def test_kinds_of_values(name: str, value: Any, schema: dict[str, Any], good: bool) -> None:
    assert (find_fault(name, value, schema) is None) is good


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
TURNS = st.builds(
    Turn,
    role=st.sampled_from(["user", "assistant", "tool", "system"]),
    text=st.text(max_size=60)
    | st.sampled_from(["[] (no results)", '[{"a": 1}] and 2 more results', "at 25 pm on 99/99"]),
    thought=st.text(max_size=60) | st.just("I will call Book. Three results came back on the 31st at 12:60."),
    calls=st.lists(
        st.builds(
            ToolCall,
            st.sampled_from(["Book", "", "Nope("]),
            st.dictionaries(st.sampled_from(["city", "date", "", "wifi"]), VALUES),
        ),
        max_size=2,
    ).map(tuple),
    results=st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=2), max_size=2).map(tuple),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(TURNS, max_size=6))
def test_whatever_a_model_wrote_can_be_checked(turns: list[Turn]) -> None:
    """No dialogue breaks the checks, and every finding points into a text that is there."""
    dialogue = Dialogue("d", "sgd", tuple(turns), tools=(BOOK,))
    for finding in check(dialogue):
        turn = turns[finding.turn]
        text = {"action": write_action(turn), "thought": turn.thought, "text": turn.text}[finding.part]
        assert 0 <= finding.start <= finding.end <= len(text)
        json.dumps(finding.to_json())


# ── a corpus ──────────────────────────────────────────────────────────────────────────────────────


def test_a_corpus_is_summed_up(tmp_path: Path) -> None:
    dialogues = [*SOUND, *(plant.dialogue for plant in BY_HAND if plant.dialogue.id.startswith("bus/"))]
    summary = check_corpus(dialogues, tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    lines = [json.loads(line) for line in (tmp_path / "findings.jsonl").read_text().splitlines()]
    assert Counter(line["kind"] for line in lines) == {
        kind: sum(found.values()) for kind, found in summary["findings"].items() if found
    }
    assert summary["dialogues"] == len(SOUND) + 7
    assert summary["any"]["count"] == 7
    assert summary["services"]["bus"]["any"] | {"low": 0, "high": 0} == {
        "count": 7,
        "total": 8,
        "percent": 87.5,
        "low": 0,
        "high": 0,
    }
    assert summary["services"]["hotel"]["any"]["count"] == 0
    text = write_checks(summary)
    assert [line for line in text.splitlines() if line.startswith("| bus ")]
    assert "- Undefined function call: 1 unknown function, 1 unknown parameter" in text
    assert {line["source"] for line in lines} == {"llm"}
    assert check_corpus(dialogues, tmp_path) == summary, "a second run starts anew"
    assert len((tmp_path / "findings.jsonl").read_text().splitlines()) == len(lines)


def test_no_dialogues_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no dialogues to check"):
        check_corpus([], tmp_path)


@pytest.mark.corpora
def test_real_sgd(shared: Path) -> None:
    """A tenth of the training split: no undefined function, wrong type or unsupported value; what is found is
    noise in the annotation.
    """
    dialogues = grounded(shared / "data", step=10)
    found = Counter(one.rule for dialogue in dialogues for one in check(dialogue))
    assert len(dialogues) == 1218
    assert set(found) <= {"repeated_call", "missing_parameter", "unused_result"}
    assert found["repeated_call"] < 0.03 * len(dialogues)
    assert found["missing_parameter"] + found["unused_result"] < 0.005 * len(dialogues)
    plants = list(plant_all(dialogues[::2], pool_of(dialogues), seed=2))
    count = Count(plants, dialogues[1::2])
    assert len(plants) > 600
    assert count.recall >= 0.95, count.missed
    assert count.precision >= 0.95, Counter(finding.rule for finding in count.false)
    bare = Count([replace(p, dialogue=unannotated(p.dialogue)) for p in plants], [])
    assert bare.recall >= 0.95, bare.missed
