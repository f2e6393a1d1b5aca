"""Native function calling of the chat completions API, to and from the text that families speak in.

    Prompt.tools                              ──▶ tools: [{"type": "function", "function": {…}}]
    assistant "…```[{"name", "arguments"}]```" ──▶ tool_calls with ids, if the tools' answers follow
    answer's tool_calls                       ──▶ the same fenced list, behind what was said

The API takes names of letters, digits, _ and - only, up to 64 of them: others go by a name that fits, and come
back as their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from coalm.calls import split_calls
from coalm.dialogue import Prompt, Tool, ToolCall

LONGEST_NAME = 64

_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")


def fitting_names(tools: Sequence[Tool]) -> dict[str, str]:
    """A tool's name -> the name it goes by: `math.sqrt` is `math_sqrt`; two that would be one get a number."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for tool in tools:
        base = name = _UNFIT.sub("_", tool.name)[:LONGEST_NAME] or "tool"
        number = 1
        while name in taken:
            number += 1
            name = f"{base[: LONGEST_NAME - len(str(number)) - 1]}_{number}"
        taken.add(name)
        names[tool.name] = name
    return names


def write_tools(tools: Sequence[Tool], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """The request's `tools`; parameters are always a JSON Schema of type object."""
    rows = []
    for tool in tools:
        parameters = {"type": "object", "properties": {}, **tool.parameters}
        function = {"name": names[tool.name], "description": tool.description, "parameters": parameters}
        rows.append({"type": "function", "function": function})
    return rows


def write_messages(prompt: Prompt, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """The request's `messages`. Calls that no answers belong to stay text, and answers without calls become the
    user's: the API takes neither alone.
    """
    rows: list[dict[str, Any]] = []
    place = 0
    while place < len(prompt.messages):
        role, text = prompt.messages[place]
        place += 1
        if role != "assistant":
            rows.append({"role": "user" if role == "tool" else role, "content": text})
            continue
        answers = list(_answers(prompt, place))
        said, calls = split_calls(text)
        if not calls or len(calls) != len(answers):
            rows.append({"role": role, "content": text})
            continue
        ids = [f"call_{len(rows)}_{number}" for number in range(len(calls))]
        made = [_write_call(id, call, names) for id, call in zip(ids, calls, strict=True)]
        rows.append({"role": role, "content": said or None, "tool_calls": made})
        rows += [
            {"role": "tool", "tool_call_id": id, "content": answer}
            for id, answer in zip(ids, answers, strict=True)
        ]
        place += len(answers)
    return rows


def _answers(prompt: Prompt, start: int) -> Iterator[str]:
    for role, text in prompt.messages[start:]:
        if role != "tool":
            return
        yield text


def _write_call(id: str, call: ToolCall, names: Mapping[str, str]) -> dict[str, Any]:
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    return {
        "id": id,
        "type": "function",
        "function": {"name": names.get(call.name, call.name), "arguments": arguments},
    }


def read_message(said: str, tool_calls: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> str:
    """An answer as text. Arguments that are no JSON object stay the string they are: for the family to refuse.

    Raises:
        LookupError, TypeError: the calls are not of the API's form.
    """
    own = {name: tool for tool, name in names.items()}
    rows = []
    for call in tool_calls:
        function = call["function"]
        name, arguments = function["name"], function.get("arguments") or {}
        if isinstance(arguments, str):
            with suppress(ValueError, RecursionError):
                arguments = json.loads(arguments)
        rows.append({"name": own.get(name, name), "arguments": arguments})
    return "\n".join([*([said] if said else []), "```", json.dumps(rows, ensure_ascii=False), "```"])
