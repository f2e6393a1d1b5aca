"""CoALM's reading: good, chatty, truncated, malformed, several calls, none; and no text makes it raise."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalm.dialogue import Domain, Request, Slot, Tool, ToolCall, Turn
from coalm.families import FAMILIES, coalm

TOOL = Tool(
    "FindBus",
    "Find a bus",
    {"type": "object", "properties": {"to": {"type": "str"}, "day": {"type": "str"}}, "required": ["to"]},
)
USER = Turn("user", "A bus to Davis, please.")
ACT = Request("act", (USER,), (TOOL,))
CALL = Request("call", (USER,), (TOOL,))
STATE = Request(
    "state", (USER,), domains=(Domain("bus", (Slot("to", "where to"), Slot("day", values=("mon",)))),)
)


@pytest.mark.parametrize(
    ("text", "thought", "calls", "response", "error"),
    [
        (
            "Thought: Look.\nAction: FindBus(to='Davis')",
            "Look.",
            [ToolCall("FindBus", {"to": "Davis"})],
            "",
            None,
        ),
        ("Thought: Ask.\nSystem: Which day?\nAny?", "Ask.", [], "Which day?\nAny?", None),
        ("System: Which day?", "", [], "Which day?", None),
        ("Action: f(a=1), g()", "", [ToolCall("f", {"a": 1}), ToolCall("g")], "", None),
        (
            "Thought: x\nAction: f()\nObservation: []\nThought: y\nSystem: made up",
            "x",
            [ToolCall("f")],
            "",
            None,
        ),
        ("Sure!\nThought: x\nSystem: hi\nUser: bye", "x", [], "hi", None),
        ("Thought: x\nAction: f(a=", "x", [], "", "unbalanced"),
        ("Thought: x\nAction: f(a=b)", "x", [], "", "bad_literal"),
        ("Thought: only this", "only this", [], "", "no_step"),
        ("Observation: []\nSystem: made up", "", [], "", "no_label"),
        ("Thought: x\nSystem:", "x", [], "", "empty"),
        ("Thought: x\nAction: []", "x", [], "", "empty"),
        ("A bus leaves at nine.", "", [], "", "no_label"),
        ("", "", [], "", "no_label"),
    ],
)
def test_reads_a_step(text: str, thought: str, calls: list[ToolCall], response: str, error: str | None) -> None:
    reply = coalm.read(text, ACT)
    assert (reply.thought, list(reply.calls), reply.response, reply.error) == (thought, calls, response, error)
    assert reply.text == text


@pytest.mark.parametrize(
    ("text", "state", "error"),
    [
        ('System: {"domain": "bus", "slot_values": {"to": "Davis"}}', {"bus": {"to": "Davis"}}, None),
        ('{"domain": "bus", "slot_values": {}}', {"bus": {}}, None),
        ("System: []", {}, None),
        (
            '[{"domain": "bus", "slot_values": {"n": 2}}, {"domain": "taxi", "slot_values": {"now": true}}]',
            {"bus": {"n": "2"}, "taxi": {"now": "true"}},
            None,
        ),
        ('System: {"domain": "bus"}', None, "not_a_state"),
        ('System: {"domain": "bus", "slot_values": ', None, "bad_json"),
        ("System: the user wants a bus", None, "bad_json"),
        ("", None, "bad_json"),
    ],
)
def test_reads_a_state(text: str, state: dict[str, dict[str, str]] | None, error: str | None) -> None:
    reply = coalm.read(text, STATE)
    assert (reply.state, reply.error) == (state, error)


@pytest.mark.parametrize(
    ("text", "calls", "error"),
    [
        (
            '```\n[{"name": "FindBus", "arguments": {"to": "Davis"}}]\n```',
            [ToolCall("FindBus", {"to": "Davis"})],
            None,
        ),
        ("```\n[]\n```", [], None),
        ("FindBus(to='Davis')", [ToolCall("FindBus", {"to": "Davis"})], None),
        ("I am sorry, no tool fits.", [], "not_a_call"),
    ],
)
def test_reads_calls(text: str, calls: list[ToolCall], error: str | None) -> None:
    reply = coalm.read(text, CALL)
    assert (list(reply.calls), reply.error) == (calls, error)


@pytest.mark.parametrize(
    ("text", "calls", "response", "error"),
    [
        ("FindBus(to='Davis')", [ToolCall("FindBus", {"to": "Davis"})], "", None),
        (" I am sorry, no tool fits.\n", [], "I am sorry, no tool fits.", None),
        ('```\n[{"name": "FindBus", "argu', [], "", "bad_json"),
        ("[FindBus(to=]", [], "", "unbalanced"),
        ("  ", [], "", "empty"),
    ],
)
def test_reads_calls_or_words(text: str, calls: list[ToolCall], response: str, error: str | None) -> None:
    reply = coalm.read(text, replace(CALL, words=True))
    assert (list(reply.calls), reply.response, reply.error) == (calls, response, error)


@given(st.text() | st.text(alphabet="System:Thoughtc(a='){}[]\"\n", max_size=60))
def test_no_text_makes_it_raise(text: str) -> None:
    for request in (ACT, CALL, STATE):
        assert coalm.read(text, request).text == text


@pytest.mark.parametrize("request_", [ACT, CALL, STATE], ids=lambda request: request.task)
def test_prompts_hold_what_was_asked(request_: Request) -> None:
    prompt = coalm.render(request_)
    assert prompt.messages[0][0] == "user"
    assert USER.text in prompt.messages[0][1]
    assert ("FindBus" in prompt.messages[0][1]) == bool(request_.tools)
    assert prompt.alpaca is not None
    assert "\n\n".join(prompt.alpaca) == prompt.messages[0][1]


def test_flat_tools_mark_what_is_optional() -> None:
    flat = coalm.flat_tool(TOOL)
    assert flat["parameters"] == {"to": {"type": "str"}, "day": {"type": "str, optional"}}


def test_states_are_written_as_one_object_or_a_list() -> None:
    assert coalm.write_state({"bus": {"to": "Davis"}}) == '{"domain": "bus", "slot_values": {"to": "Davis"}}'
    assert coalm.write_state({}) == "[]"
    for state in ({}, {"bus": {"to": "x"}}, {"bus": {"to": "x"}, "taxi": {"now": "y"}}):
        assert coalm.read(f"System: {coalm.write_state(state)}", STATE).state == state


def test_families_are_named_as_they_are_listed() -> None:
    assert all(name == family.name for name, family in FAMILIES.items())
