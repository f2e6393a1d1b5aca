"""Your own conversations, in the form of OpenAI's chat API: one `{"messages": […], "tools": […]}` a line.

    {"messages": [
       {"role": "system", "content": "Today is Monday."},
       {"role": "user", "content": "Is my bike ready?"},
       {"role": "assistant", "content": "I look it up.", "tool_calls": [{"id": "c1", "type": "function",
         "function": {"name": "get_repair", "arguments": "{\\"ticket\\": \\"B-7\\"}"}}]},
       {"role": "tool", "tool_call_id": "c1", "content": "{\\"status\\": \\"ready\\"}"},
       {"role": "assistant", "content": "Yes, it is ready."}],
     "tools": [{"type": "function", "function": {"name": "get_repair", "parameters": {…}}}]}

What has to be known about it:
- A line without `tools` has those of the tools file; a call of anything else is an error in the data.
- What the assistant says beside a call, or its `reasoning_content`, is the turn's thought.
- A system (or developer) message is kept as a turn: it may say what nothing else does, such as the date.
- Arguments may be a JSON text or an object; tool messages without ids belong to the calls in order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from coalm.calls import CallSyntaxError, is_writable_name, read_json_value
from coalm.dialogue import Dialogue, Tool, ToolCall, Turn
from coalm.errors import DataError
from coalm.runs import read_json, read_json_lines

SOURCE = "messages"
HINT = "see examples/own_tools for a file of this form"

Message = Mapping[str, Any]


class _Fault(Exception):
    """What is wrong with a line, and where in it: `messages[3].tool_calls[0]`."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")


def load(path: Path, tools: Path | None = None) -> Iterator[Dialogue]:
    """Yield the conversations of a file in order; `tools` is a file of those for lines without their own.

    Raises:
        DataError: a file is missing, or a line is not of this form (`file:line`, and where in the line).
    """
    shared = read_tools(tools) if tools else ()
    for number, row in read_json_lines(path):
        where = f"{path}:{number}"
        try:
            yield _to_dialogue(row, shared, f"{path.stem}/{number}", where)
        except _Fault as fault:
            raise DataError(str(fault), where=where, hint=HINT) from None


def read_tools(path: Path) -> tuple[Tool, ...]:
    """The tools in a JSON list, or under `tools` in an object, each as OpenAI's API takes it.

    Raises:
        DataError: no such file, or it is not of this form.
    """
    content = read_json(path)
    try:
        return _to_tools(content.get("tools") if isinstance(content, dict) else content)
    except _Fault as fault:
        raise DataError(str(fault), where=path, hint=HINT) from None


def _to_dialogue(row: Any, shared: tuple[Tool, ...], id: str, where: str) -> Dialogue:
    match row:
        case {"messages": [_, *_] as messages, **rest}:
            pass
        case _:
            raise _Fault("line", "expected an object with messages")
    tools = _to_tools(rest["tools"]) if rest.get("tools") else shared
    turns = tuple(_to_turns(messages, {tool.name for tool in tools}))
    if not any(turn.role == "assistant" for turn in turns):
        raise _Fault("messages", "the assistant says and does nothing")
    return Dialogue(str(rest.get("id") or id), SOURCE, turns, tools=tools, origin=where)


# ── messages ──────────────────────────────────────────────────────────────────────────────────────


def _to_turns(messages: Sequence[Any], known: set[str]) -> Iterator[Turn]:
    index = 0
    while index < len(messages):
        message, where = messages[index], f"messages[{index}]"
        index += 1
        match message:
            case {"role": "system" | "developer"}:
                yield Turn("system", _content(message, where))
            case {"role": "user"}:
                yield Turn("user", _content(message, where))
            case {"role": "assistant", "tool_calls": [_, *_] as calls}:
                yield _calling_turn(message, calls, known, where)
                answers = list(takewhile(_is_result, messages[index:]))
                if answers or index < len(messages):
                    yield from _results(calls, answers, index)
                index += len(answers)
            case {"role": "assistant"}:
                yield Turn("assistant", _content(message, where), thought=_reasoning(message))
            case {"role": "tool"}:
                raise _Fault(where, "a result of no call: tool messages follow the calls that they answer")
            case _:
                raise _Fault(where, "expected a role: system, user, assistant or tool")


def _calling_turn(message: Message, calls: Sequence[Any], known: set[str], where: str) -> Turn:
    said = _content(message, where) if message.get("content") else ""
    made = tuple(_to_call(call, known, f"{where}.tool_calls[{n}]") for n, call in enumerate(calls))
    return Turn("assistant", thought=_reasoning(message) or said, calls=made)


def _to_call(row: Any, known: set[str], where: str) -> ToolCall:
    match row:
        case {"function": {"name": str(name), "arguments": str() | dict() as arguments}}:
            pass
        case _:
            raise _Fault(where, "expected a function with name and arguments")
    if name not in known:
        raise _Fault(where, f"calls `{name}`, which is not among the tools")
    if isinstance(arguments, str):
        arguments = _parse(arguments, f"{where}.function.arguments")
    if not isinstance(arguments, dict) or not all(map(is_writable_name, arguments)):
        raise _Fault(f"{where}.function.arguments", "expected a JSON object of named arguments")
    return ToolCall(name, arguments)


def _results(calls: Sequence[Message], answers: Sequence[Message], start: int) -> Iterator[Turn]:
    """One tool turn for each call, in the order of the calls."""
    if len(answers) != len(calls):
        raise _Fault(f"messages[{start}]", f"{len(calls)} calls before, {len(answers)} results here")
    ids = [call.get("id") or number for number, call in enumerate(calls)]
    turns: dict[Any, Turn] = {}
    for number, answer in enumerate(answers):
        where = f"messages[{start + number}]"
        id = answer.get("tool_call_id") or ids[number]
        if id not in ids or id in turns:
            raise _Fault(where, f"`{id}` is the id of no call that waits for a result")
        text = _content(answer, where)
        turns[id] = Turn("tool", text, results=_rows(text))
    return (turns[id] for id in ids)


def _is_result(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") == "tool"


def _rows(text: str) -> tuple[Mapping[str, Any], ...]:
    """The objects that a result holds, where it is JSON."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    rows = value if isinstance(value, list) else [value]
    return tuple(rows) if all(isinstance(row, dict) for row in rows) else ()


def _content(message: Message, where: str) -> str:
    """The text of a message, which may come in parts."""
    match message.get("content"):
        case str(text) if text.strip():
            return text
        case [_, *_] as parts:
            texts = [part["text"] for part in parts if _is_text(part)]
            if len(texts) == len(parts):
                return "".join(texts)
    raise _Fault(f"{where}.content", "expected text")


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _reasoning(message: Message) -> str:
    found = message.get("reasoning_content")
    return found if isinstance(found, str) else ""


# ── tools ─────────────────────────────────────────────────────────────────────────────────────────


def _to_tools(rows: Any) -> tuple[Tool, ...]:
    if not isinstance(rows, list):
        raise _Fault("tools", "expected a list")
    tools = tuple(_to_tool(row, f"tools[{index}]") for index, row in enumerate(rows))
    names = [tool.name for tool in tools]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise _Fault("tools", f"`{double}` stands there twice")
    return tools


def _to_tool(row: Any, where: str) -> Tool:
    """A tool as the API takes it, or its inner object alone."""
    match row:
        case {"type": "function", "function": {"name": str(name), **rest}}:
            pass
        case {"name": str(name), **rest}:
            pass
        case _:
            raise _Fault(where, "expected a function with a name")
    schema: Any = rest.get("parameters") or {}
    properties = schema.get("properties", {}) if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or not all(isinstance(one, dict) for one in properties.values()):
        raise _Fault(f"{where}.parameters", "expected a JSON Schema of an object and of each parameter")
    if not all(map(is_writable_name, [name, *properties])):
        raise _Fault(where, "a name with brackets, quotes, commas or = in it cannot be written in a call")
    return Tool(
        name, str(rest.get("description") or ""), {**schema, "type": "object", "properties": properties}
    )


def _parse(text: str, where: str) -> Any:
    try:
        return read_json_value(text) if text.strip() else {}
    except CallSyntaxError as error:
        raise _Fault(where, str(error)) from None
