"""What is taken of a model's text, and every way to be refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalm.cra.llm import write_prompt
from coalm.cra.transcript import Rejected, functions, read_transcript
from coalm.dialogue import Tool, ToolCall, Turn
from tests.cra.conversations import BUY, FIND, dialogue, write

ASKED = dialogue()
GOOD = write(write_prompt(ASKED).messages[0][1])


def test_a_good_text_is_taken_whole() -> None:
    found = read_transcript(GOOD, ASKED)
    user, call, result, answer, leaves, goodbye = found.turns
    assert user.text == ASKED.turns[0].text
    assert user.acts == ASKED.turns[0].acts
    assert user.state is None
    assert call == Turn(
        "assistant",
        thought="The user wants a bus from Lodi to Davis 0. I look for one with FindBus.",
        calls=(ToolCall("FindBus", {"origin": "Lodi", "destination": "Davis 0"}),),
    )
    rows = ({"bus": "B1", "leaves": "09:30", "destination": "Davis 0"},)
    assert result == Turn("tool", '[{"bus": "B1", "leaves": "09:30", "destination": "Davis 0"}]', results=rows)
    assert answer.text == "Bus B1 to Davis 0 leaves at 09:30."
    assert answer.thought.startswith("There is one")
    assert leaves.text == "Great, that's all!"
    assert goodbye.text == "Have a good trip!"
    assert (found.id, found.tools, found.services) == (ASKED.id, ASKED.tools, ASKED.services)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (GOOD, f"```\n{GOOD}\n```"),
        (GOOD, f"\n```text\n{GOOD}\n```\n"),
        ("\n\nUser", "\nUser"),
        ("A bus", "a bus"),
        ("that's all!", "that’s all"),
        ('{"origin": "Lodi"', '{\n  "origin": "Lodi"'),
        ('{"origin": "Lodi", "destination": "Davis 0"}', "{'origin': 'Lodi', 'destination': 'Davis 0'}"),
        ("FindBus\nAPI", "FindBus()\nAPI"),
        ("good trip!", "good trip!\n\nOr two."),
        ('[{"bus": "B1", "leaves": "09:30", "destination": "Davis 0"}]', "[]"),
        ('[{"bus": "B1", "leaves": "09:30", "destination": "Davis 0"}]', '{"status": "none"}'),
    ],
)
def test_what_changes_nothing_that_matters_is_no_fault(old: str, new: str) -> None:
    assert old in GOOD
    assert len(read_transcript(GOOD.replace(old, new), ASKED).turns) == 6


def cut(start: str, end: str) -> str:
    """The good text without what stands from `start` up to `end`."""
    head, _, rest = GOOD.partition(start)
    return head + end + rest.partition(end)[2]


@pytest.mark.parametrize(
    ("text", "kind", "where"),
    [
        ("", "empty", ""),
        ("```\n```", "empty", ""),
        ("Sorry, I cannot help with that.", "preamble", ""),
        (f"Sure, here it is:\n\n{GOOD}", "preamble", ""),
        (f"Thought: hm\n{GOOD}", "preamble", ""),
        (GOOD.replace("User:", "**User:**"), "preamble", ""),
        (cut("Thought2:", "System: Bus"), "layout", "turn 1"),
        (GOOD.replace("Thought: The", "Thought1: The"), "layout", "turn 2"),
        (GOOD.replace("System: Have", "System: Bye\nSystem: Have"), "layout", "turn 2"),
        (cut("System: Have a good trip!", "\n\n"), "layout", "turn 2"),
        (GOOD.partition("API Result")[0], "layout", "turn 1"),
        (GOOD.replace("Have a good trip!", ""), "empty_field", "turn 2, System"),
        (GOOD.partition("\n\n")[0], "turns", ""),
        (f"{GOOD}\n\nUser: More!\nThought: x\nSystem: y", "turns", ""),
        (GOOD.replace("that's all", "that is all"), "user_changed", "turn 2, User"),
        (GOOD.replace("Name: FindBus", "Name: FindTrain"), "undefined_function", "turn 1, API Name"),
        (GOOD.replace('"origin"', '"from"'), "undefined_parameter", "turn 1, API Input"),
        (GOOD.replace('{"origin": "Lodi", ', "{"), "missing_parameter", "turn 1, API Input"),
        (GOOD.replace('"Lodi"', "null"), "bad_input", "turn 1, API Input"),
        (GOOD.replace('"Lodi"', '""'), "bad_input", "turn 1, API Input"),
        (GOOD.replace('"Lodi"', "NaN"), "bad_input", "turn 1, API Input"),
        (GOOD.replace('"Lodi"', "Lodi"), "bad_input", "turn 1, API Input"),
        (GOOD.replace('{"origin": "Lodi", "destination": "Davis 0"}', "[]"), "bad_input", "turn 1, API Input"),
        (GOOD.replace('"leaves": "09:30"', "leaves at half past nine"), "bad_result", "turn 1, API Result"),
        (GOOD.replace('"Davis 0"}]', '"Davis'), "bad_result", "turn 1, API Result"),
    ],
)  # fmt: skip
def test_what_breaks_the_format_is_refused_with_its_place(text: str, kind: str, where: str) -> None:
    assert text != GOOD
    with pytest.raises(Rejected) as raised:
        read_transcript(text, ASKED)
    assert (raised.value.kind, raised.value.where) == (kind, where)
    assert raised.value.what


LINES = st.sampled_from(
    [*GOOD.split("\n"), "User:", "API Input: " + "[" * 5000, "```", "API Result: nan", "Thought1:"]
)


@given(st.one_of(st.text(), st.lists(LINES, max_size=14).map("\n".join)))
def test_no_text_makes_it_fail_otherwise(text: str) -> None:
    with suppress(Rejected):
        assert read_transcript(text, ASKED).turns


def test_functions_of_one_name_take_what_either_takes() -> None:
    other = Tool("FindBus", "", {"properties": {"origin": {}, "fare": {}}, "required": ["origin", "fare"]})
    found = functions((FIND, BUY, other))
    assert list(found) == ["FindBus", "BuyTicket"]
    assert found["FindBus"].parameters == ("origin", "destination", "seats", "fare")
    assert found["FindBus"].required == {"origin"}
