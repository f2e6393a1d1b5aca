"""Own conversations: the shipped example, the forms that are taken, and every fault with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coalm.dialogue import Dialogue, Tool, ToolCall, Turn
from coalm.errors import DataError
from coalm.families.coalm import act_samples, call_samples
from coalm.sources.messages import load, read_tools

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_tools"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"type": "integer"}}}}}
USER = {"role": "user", "content": "hi"}
BYE = {"role": "assistant", "content": "bye"}


def call(name: str = "f", arguments: Any = '{"a": 1}', **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **fields}


def calling(*calls: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **fields}


def result(content: str = "1", **fields: Any) -> dict[str, Any]:
    return {"role": "tool", "content": content, **fields}


def read(tmp_path: Path, *messages: Any, **fields: Any) -> Dialogue:
    """One line, as a dialogue."""
    path = tmp_path / "my.jsonl"
    path.write_text("\n" + json.dumps({"messages": messages, "tools": [TOOL], **fields}) + "\n")
    (found,) = load(path)
    return found


# ── the example ───────────────────────────────────────────────────────────────────────────────────


def test_the_example_is_read_whole() -> None:
    found = {one.id: one for one in load(EXAMPLE / "my.jsonl", EXAMPLE / "tools.json")}
    assert len(found) == 6
    assert {len(one.tools) for one in found.values()} == {4}
    booking = found["book-a-check-up"]
    assert booking.origin == f"{EXAMPLE / 'my.jsonl'}:1"
    assert [turn.role for turn in booking.turns[:5]] == ["system", "user", "assistant", "tool", "assistant"]
    assert booking.turns[2].calls[0].arguments == {"day": "2026-03-30", "service": "check-up"}
    assert booking.turns[2].thought.startswith("The user wants a check-up")
    assert booking.turns[3].results == (
        {"day": "2026-03-30", "time": "09:00"},
        {"day": "2026-03-30", "time": "14:30"},
    )


def test_results_stand_in_the_order_of_their_calls() -> None:
    found = {one.id: one for one in load(EXAMPLE / "my.jsonl", EXAMPLE / "tools.json")}
    _, calls, brakes, chain, _ = found["two-prices"].turns
    assert [one.arguments["service"] for one in calls.calls] == ["brakes", "chain"]
    assert [brakes.results[0]["service"], chain.results[0]["service"]] == ["brakes", "chain"]


def test_the_example_makes_samples_of_the_usual_layouts() -> None:
    dialogues = list(load(EXAMPLE / "my.jsonl", EXAMPLE / "tools.json"))
    samples = [sample for one in dialogues for sample in act_samples(one)]
    assert len(samples) == 17
    first = samples[0]
    assert first.output == (
        "Thought: The user wants a check-up on Monday, that is 2026-03-30. I look for free appointments.\n"
        "Action: find_appointments(day='2026-03-30', service='check-up')"
    )
    assert first.input == "User: Hi, I need a check-up for my bike on Monday."
    assert "Context: You work at the counter of a bicycle workshop. Today is Saturday" in first.instruction
    assert "1. find_appointments(day, service)" in first.instruction
    assert (
        samples[-1].output
        == "Thought: It is ready, so the user can come.\nSystem: It is ready, you can pick it up."
    )
    assert len([sample for one in dialogues for sample in call_samples(one)]) == 17


def test_the_readme_speaks_of_the_example() -> None:
    text = (EXAMPLE / "README.md").read_text()
    assert "examples/own_tools/my.jsonl" in text
    assert "get_repair(ticket='B-9')" in text


# ── forms that are taken ──────────────────────────────────────────────────────────────────────────


def test_a_conversation_without_tools(tmp_path: Path) -> None:
    found = read(tmp_path, USER, BYE, tools=None, id="x")
    assert found == Dialogue(
        "x", "messages", (Turn("user", "hi"), Turn("assistant", "bye")), origin=f"{tmp_path / 'my.jsonl'}:2"
    )
    assert read(tmp_path, USER, BYE).id == "my/2"


@pytest.mark.parametrize("arguments", ['{"a": 1}', {"a": 1}])
def test_arguments_as_text_or_object(tmp_path: Path, arguments: Any) -> None:
    found = read(tmp_path, USER, calling(call(arguments=arguments)))
    assert found.turns[1].calls == (ToolCall("f", {"a": 1}),)


def test_no_arguments(tmp_path: Path) -> None:
    assert read(tmp_path, USER, calling(call(arguments=""))).turns[1].calls == (ToolCall("f"),)


def test_results_without_ids_belong_to_the_calls_in_order(tmp_path: Path) -> None:
    found = read(tmp_path, USER, calling(call(), call()), result("first"), result("second", name="f"), BYE)
    assert [turn.text for turn in found.turns[2:4]] == ["first", "second"]


def test_thoughts(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        USER,
        calling(call(), content="said"),
        result(),
        calling(call(), content="said", reasoning_content="thought"),
        result(),
        {**BYE, "reasoning_content": "enough"},
    )
    assert [turn.thought for turn in found.turns if turn.role == "assistant"] == ["said", "thought", "enough"]


def test_text_in_parts_and_other_roles(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]
    found = read(
        tmp_path, {"role": "developer", "content": "be brief"}, {"role": "user", "content": parts}, BYE
    )
    assert found.turns[:2] == (Turn("system", "be brief"), Turn("user", "a b"))


def test_tools_of_the_line_go_before_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "tools.json").write_text('{"tools": [{"name": "g", "description": "G"}]}')
    shared = Tool("g", "G", {"type": "object", "properties": {}})
    assert read_tools(tmp_path / "tools.json") == (shared,)
    path = tmp_path / "my.jsonl"
    path.write_text(
        json.dumps({"messages": [USER, BYE], "tools": [TOOL]})
        + "\n"
        + json.dumps({"messages": [USER, BYE]})
        + "\n"
    )
    assert [one.tools[0].name for one in load(path, tmp_path / "tools.json")] == ["f", "g"]


@pytest.mark.parametrize("tools", [None, [], {}, [{"name": "f"}], [{"name": "f", "parameters": {}}]])
def test_what_is_empty_is_not_there(tmp_path: Path, tools: Any) -> None:
    assert all(not tool.properties for tool in read(tmp_path, USER, BYE, tools=tools).tools)


# ── faults ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("messages", "fields", "said"),
    [
        ([], {}, "line: expected an object with messages"),
        ([USER], {}, "messages: the assistant says and does nothing"),
        ([USER, {"role": "robot", "content": "x"}], {}, "messages[1]: expected a role"),
        ([USER, "hello"], {}, "messages[1]: expected a role"),
        ([{"role": "user"}, BYE], {}, "messages[0].content: expected text"),
        ([{"role": "user", "content": " "}, BYE], {}, "messages[0].content: expected text"),
        ([{"role": "user", "content": [{"type": "image_url"}]}, BYE], {}, "messages[0].content: expected text"),
        ([USER, {"role": "assistant", "content": None}], {}, "messages[1].content: expected text"),
        ([USER, calling(call("g"))], {}, "messages[1].tool_calls[0]: calls `g`, which is not among the tools"),
        ([USER, calling(call())], {"tools": []}, "calls `f`, which is not among the tools"),
        ([USER, calling({"name": "f"})], {}, "messages[1].tool_calls[0]: expected a function"),
        ([USER, calling(call(arguments="{a: 1}"))], {}, "tool_calls[0].function.arguments: bad_json"),
        ([USER, calling(call(arguments='{"a": NaN}'))], {}, "tool_calls[0].function.arguments: bad_json"),
        ([USER, calling(call(arguments='{"a": 1e999}'))], {}, "tool_calls[0].function.arguments: bad_json"),
        ([USER, calling(call(arguments="[1]"))], {}, "expected a JSON object of named arguments"),
        ([USER, calling(call(arguments='{"a=b": 1}'))], {}, "expected a JSON object of named arguments"),
        ([USER, result(), BYE], {}, "messages[1]: a result of no call"),
        ([USER, calling(call()), BYE], {}, "messages[2]: 1 calls before, 0 results here"),
        ([USER, calling(call(), call()), result(), BYE], {}, "messages[2]: 2 calls before, 1 results here"),
        (
            [USER, calling(call(id="a")), result(tool_call_id="b"), BYE],
            {},
            "messages[2]: `b` is the id of no call",
        ),
        (
            [USER, calling(call(id="a"), call(id="b")), *[result(tool_call_id="a")] * 2],
            {},
            "messages[3]: `a` is the id of no call",
        ),
        ([USER, BYE], {"tools": {"name": "f"}}, "tools: expected a list"),
        ([USER, BYE], {"tools": [TOOL, TOOL]}, "tools: `f` stands there twice"),
        ([USER, BYE], {"tools": [{"type": "function"}]}, "tools[0]: expected a function with a name"),
        ([USER, BYE], {"tools": [{"name": "f(x)"}]}, "tools[0]: a name with brackets"),
        (
            [USER, BYE],
            {"tools": [{"name": "f", "parameters": {"properties": {"a": 1}}}]},
            "tools[0].parameters",
        ),
        ([USER, BYE], {"tools": [{"name": "f", "parameters": "a"}]}, "tools[0].parameters"),
    ],
)
def test_a_fault_is_named_with_line_and_place(
    tmp_path: Path, messages: list[Any], fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError) as raised:
        read(tmp_path, *messages, **fields)
    assert raised.value.where == f"{tmp_path / 'my.jsonl'}:2"
    assert said in raised.value.what
    assert "examples/own_tools" in raised.value.hint


@pytest.mark.parametrize("content", ["{", '"x"', '[{"name": 3}]', "[1]"])
def test_a_broken_tools_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tools.json"
    path.write_text(content)
    with pytest.raises(DataError) as raised:
        read_tools(path)
    assert raised.value.where == str(path)


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "my.jsonl"
    path.write_text('{"messages": [\n')
    with pytest.raises(DataError) as raised:
        list(load(path))
    assert raised.value.where == f"{path}:1"
