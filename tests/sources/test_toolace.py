"""ToolACE: both published forms become the same dialogues, and unreadable calls are kept and counted."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from coalm.dialogue import Dialogue, ToolCall
from coalm.errors import DataError, NotFound
from coalm.families.coalm import call_samples
from coalm.sources import toolace

TOOL = {
    "name": "Find A Room",
    "description": "Find a free room.",
    "parameters": {
        "type": "dict",
        "properties": {
            "town": {"type": "string", "description": "The town."},
            "beds": {"type": "int", "description": "Beds [1 to 4]."},
        },
        "required": ["town"],
    },
    "required": None,
}
SYSTEM = f"Call functions [as lists]. Here they are:\n{json.dumps([TOOL])}. \nWrite [f(a=b), g()]."
PUBLISHED = {
    "system": SYSTEM,
    "conversations": [
        {"from": "user", "value": "A room in Oakhaven for 2?"},
        {"from": "assistant", "value": '[Find A Room(town="Oakhaven", beds=2)]'},
        {"from": "tool", "value": '[{"room": 4}]'},
        {"from": "assistant", "value": "Room 4 is free."},
    ],
}
SHAREGPT = {
    "system": SYSTEM,
    "tools": "[]",
    "conversations": [
        {"from": "human", "value": "A room in Oakhaven for 2?"},
        {
            "from": "function_call",
            "value": '{"name": "Find A Room", "arguments": {"town": "Oakhaven", "beds": 2}}',
        },
        {"from": "observation", "value": '[{"room": 4}]'},
        {"from": "gpt", "value": "Room 4 is free."},
    ],
}


def save(folder: Path, rows: list[Any], name: str = "toolace/data.json") -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows), encoding="utf-8")


def load(folder: Path, unread: Counter[str] | None = None) -> list[Dialogue]:
    return list(toolace.load(folder, unread=unread))


def say(value: str, speaker: str = "assistant") -> dict[str, Any]:
    return {"system": SYSTEM, "conversations": [{"from": speaker, "value": value}]}


def test_both_forms_are_one_dialogue(tmp_path: Path) -> None:
    save(tmp_path, [PUBLISHED, SHAREGPT])
    published, shared = load(tmp_path)
    assert published.turns == shared.turns
    assert published.tools == shared.tools
    assert [turn.role for turn in published.turns] == ["user", "assistant", "tool", "assistant"]
    assert published.turns[1].calls == (ToolCall("Find A Room", {"town": "Oakhaven", "beds": 2}),)
    assert (published.turns[2].text, published.turns[3].text) == ('[{"room": 4}]', "Room 4 is free.")
    (tool,) = published.tools
    assert tool.signature == "Find A Room(town, beds)"
    assert tool.required == ("town",)


def test_tools_may_stand_in_their_own_field(tmp_path: Path) -> None:
    own = {**SHAREGPT, "system": "Call functions.", "tools": json.dumps([TOOL])}
    save(tmp_path, [SHAREGPT, own])
    first, second = load(tmp_path)
    assert first.tools == second.tools


def test_every_assistant_turn_is_a_sample_with_what_was_said_before(tmp_path: Path) -> None:
    save(tmp_path, [PUBLISHED])
    call, answer = call_samples(load(tmp_path)[0])
    assert json.loads(call.output.strip("`\n"))[0]["arguments"] == {"town": "Oakhaven", "beds": 2}
    assert "A room in Oakhaven for 2?" in call.input
    assert answer.output == "Room 4 is free."
    assert "Find A Room(town='Oakhaven', beds=2)" in answer.input
    assert '[{"room": 4}]' in answer.input


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[Find A Room(town=Oakhaven)]", "bad_literal"),
        ("[Find A Room('Oakhaven')]", "bad_argument"),
        ("[Find A Room(town='Oakhaven'", "unbalanced"),
    ],
)
def test_calls_that_cannot_be_read_stay_words_and_are_counted(tmp_path: Path, text: str, kind: str) -> None:
    save(tmp_path, [PUBLISHED, say(text)])
    unread = Counter[str]()
    _, dialogue = load(tmp_path, unread)
    assert (dialogue.turns[0].text, dialogue.turns[0].calls) == (text, ())
    assert unread == {kind: 1}


def test_broken_function_calls_are_counted_too(tmp_path: Path) -> None:
    save(tmp_path, [say("{broken", "function_call")])
    unread = Counter[str]()
    (dialogue,) = load(tmp_path, unread)
    assert dialogue.turns[0].role == "assistant"
    assert dialogue.turns[0].text == "{broken"
    assert unread == {"bad_json": 1}


@pytest.mark.parametrize("text", ["[1] is free.", "[Note] Rooms (all of them) are taken.", "I call f(a=1)."])
def test_words_in_brackets_are_no_calls(tmp_path: Path, text: str) -> None:
    save(tmp_path, [say(text)])
    unread = Counter[str]()
    assert load(tmp_path, unread)[0].turns[0].text == text
    assert not unread


@pytest.mark.parametrize(
    "name", ["toolace/data.json", "function_calling/toolace_format/some.json", "ToolACE/data.json"]
)
def test_where_it_may_lie(tmp_path: Path, name: str) -> None:
    save(tmp_path, [PUBLISHED], name)
    save(tmp_path, [{"query": ""}], "function_calling/xlam.json")
    assert len(load(tmp_path)) == 1


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="Team-ACE"):
        load(tmp_path)
    save(tmp_path, [PUBLISHED, say("Hello.", "robot")])
    with pytest.raises(DataError, match="expected turns with from") as caught:
        load(tmp_path)
    assert caught.value.where.endswith("data.json#1")
    save(tmp_path, [{"system": ""}])
    with pytest.raises(DataError, match="expected an object with system and conversations"):
        load(tmp_path)


@pytest.mark.corpora
def test_real_conversations(shared: Path) -> None:
    unread = Counter[str]()
    dialogues = list(toolace.load(shared / "data", unread=unread))
    assert len(dialogues) == 100
    assert not unread
    assert all(dialogue.tools for dialogue in dialogues)
    assert sum(bool(turn.calls) for dialogue in dialogues for turn in dialogue.turns) == 180
