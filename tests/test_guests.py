"""Guests at the travel desk: what they are said to do is what the desk did, in the chat's own prompts."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from coalm.agent import Agent, AgentTool
from coalm.agent.desk import Refused
from coalm.agent.desk.domains import CITIES
from coalm.chat.toolsets import open_tools
from coalm.corpora import Plan, is_held_out, source
from coalm.cra.checks import check
from coalm.dialogue import Dialogue, Sample, Turn
from coalm.guests import SOURCE, conversations, vary
from tests.agent.scripted import ScriptedModel

COUNT = 90
PLAIN = Plan()
VARIED = Plan(vary_tools=1.0, most_tools=8)


@pytest.fixture(scope="module")
def dialogues() -> list[Dialogue]:
    return list(conversations(3, COUNT))


@pytest.fixture(scope="module")
def varied(dialogues: list[Dialogue]) -> list[Dialogue]:
    return [vary(dialogue, VARIED) for dialogue in dialogues]


def samples(dialogue: Dialogue) -> list[Sample]:
    return list(SOURCE.samples(dialogue, PLAIN))


def answers(dialogue: Dialogue) -> list[tuple[Turn, Turn]]:
    """Calls, and what was observed."""
    pairs = zip(dialogue.turns, dialogue.turns[1:], strict=False)
    return [(turn, after) for turn, after in pairs if turn.calls]


def bookings(dialogue: Dialogue) -> list[tuple[Mapping[str, Any], str]]:
    """What was booked, and what the assistant then said."""
    said = {
        index: turn.text for index, turn in enumerate(dialogue.turns) if turn.role == "assistant" and turn.text
    }
    found = []
    for index, turn in enumerate(dialogue.turns):
        row = json.loads(turn.text) if turn.role == "tool" else {}
        if "reference" in row:
            found.append((row, next(text for place, text in said.items() if place > index)))
    return found


def test_the_same_seed_gives_the_same_conversations(dialogues: list[Dialogue]) -> None:
    again = list(conversations(3, 12))
    assert again == dialogues[:12]
    assert [vary(one, VARIED) for one in again] == [vary(one, VARIED) for one in dialogues[:12]]
    assert next(conversations(4, 1)).turns != again[0].turns


def test_it_is_a_source_by_name_that_needs_no_corpus(tmp_path: Path) -> None:
    assert source("coalm.guests:SOURCE") is SOURCE
    assert SOURCE.find(tmp_path).is_file()


def test_every_call_fits_the_listed_function(dialogues: list[Dialogue], varied: list[Dialogue]) -> None:
    for dialogue in (*dialogues, *varied):
        listed = {tool.name: tool for tool in dialogue.tools}
        for turn, _ in answers(dialogue):
            [call] = turn.calls
            Draft202012Validator(dict(listed[call.name].parameters)).validate(dict(call.arguments))


def test_every_step_has_a_thought_and_ends_with_words(dialogues: list[Dialogue]) -> None:
    for dialogue in dialogues:
        assert all(turn.thought for turn in dialogue.turns if turn.role == "assistant")
        assert dialogue.turns[-1].role == "assistant"
        assert dialogue.turns[-1].text


def test_nothing_is_left_to_be_filled_in(dialogues: list[Dialogue]) -> None:
    for dialogue in dialogues:
        for turn in dialogue.turns:
            if turn.role in ("user", "assistant") and turn.text:
                assert not re.search(r"[{}<>|~]|  | [,.?!]|,[,.?]", turn.text), turn.text


def test_bookings_that_are_told_were_made(dialogues: list[Dialogue]) -> None:
    found = [pair for dialogue in dialogues for pair in bookings(dialogue)]
    assert len(found) > COUNT / 4
    for row, said in found:
        assert row["reference"] in said
    for dialogue in dialogues:
        seen = " ".join(turn.text for turn in dialogue.turns if turn.role != "assistant").upper()
        for turn in dialogue.turns:
            for reference in re.findall(r"\b(?=\w*\d)[A-Z2-9]{8}\b", turn.text):
                assert reference in seen


def test_all_that_can_happen_happens(dialogues: list[Dialogue]) -> None:
    called = {call.name for dialogue in dialogues for turn, _ in answers(dialogue) for call in turn.calls}
    assert called == {tool.name for tool in dialogues[0].tools}
    observed = [after.text for dialogue in dialogues for _, after in answers(dialogue)]
    for what in (
        '"found": 0',
        '"error": "Refused: ',
        "seats left",
        "room(s) free",
        "has no table",
        '"cancelled"',
    ):
        assert any(what in text for text in observed), what


def test_prompts_are_those_of_the_chat(dialogues: list[Dialogue], tmp_path: Path) -> None:
    with_desk = open_tools(["desk"], tmp_path / "desk.sqlite")
    for dialogue in dialogues[:30]:
        model = ScriptedModel(*(sample.output for sample in samples(dialogue)))
        tools = _replayed(with_desk.tools("guest"), [after.text for _, after in answers(dialogue)])
        agent = Agent(model, tools, context=dialogue.turns[0].text, confirm=lambda asked: True)
        for turn in dialogue.turns:
            if turn.role == "user":
                agent.answer(turn.text)
        assert model.prompts == [sample.prompt for sample in samples(dialogue)]
        assert _shape(dialogue.turns[0].text) == _shape(with_desk.context)


def _replayed(tools: Sequence[AgentTool], texts: list[str]) -> list[AgentTool]:
    """The chat's tools, with answers as they were recorded."""
    left = iter(texts)

    def run(arguments: Mapping[str, Any]) -> Any:
        answer = json.loads(next(left))
        if "error" in answer:
            raise Refused(answer["error"].removeprefix("Refused: "))
        return answer

    return [replace(tool, run=run) for tool in tools]


def _shape(context: str) -> str:
    """The context, without its city and its date."""
    return re.sub(r"(?<=city of )\w+|\w+day \d{4}-\d\d-\d\d, \d\d:\d\d", "_", context)


def test_lists_are_the_desks_or_varied(dialogues: list[Dialogue], varied: list[Dialogue]) -> None:
    own = {tool.name for tool in dialogues[0].tools}
    assert all(vary(dialogue, PLAIN) == dialogue for dialogue in dialogues)
    names = [{tool.name for tool in dialogue.tools} for dialogue in varied]
    assert any(found & own and found - own for found in names)
    assert any(found < own for found in names)
    assert any(not found & own for found in names)
    assert max(map(len, names)) <= VARIED.most_tools
    for before, after in zip(dialogues, varied, strict=True):
        assert [turn.text for turn in before.turns] == [turn.text for turn in after.turns]


def test_no_place_is_one_that_the_desk_ships(dialogues: list[Dialogue]) -> None:
    shipped = {
        row["name"]
        for table in ("restaurants", "hotels", "attractions")
        for row in csv.DictReader(
            resources.files("coalm.agent.desk").joinpath(f"{table}.csv").read_text("utf-8").splitlines()
        )
    }
    for dialogue in dialogues:
        text = "\n".join(turn.text + turn.thought for turn in dialogue.turns)
        assert not [name for name in (*shipped, *CITIES[1:]) if name.casefold() in text.casefold()]


def test_places_are_others_in_each_conversation(dialogues: list[Dialogue]) -> None:
    names = [re.findall(r'"name": "([^"]+)"', turn.text) for one in dialogues for turn in one.turns]
    told = [name for found in names for name in dict.fromkeys(found)]
    assert len(set(told)) > len(told) / 3


def test_calls_pass_the_checks_of_cra(dialogues: list[Dialogue]) -> None:
    findings = [finding for dialogue in dialogues for finding in check(dialogue)]
    assert not [finding for finding in findings if finding.kind in ("undefined", "type")]


def test_guests_are_held_out_by_what_they_say(dialogues: list[Dialogue]) -> None:
    plan = Plan(validation=0.3)
    share = sum(is_held_out(dialogue, plan) for dialogue in dialogues) / COUNT
    assert 0.1 < share < 0.5
