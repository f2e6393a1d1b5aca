"""API-Bank items in the form of Hammer's evaluation: the conversation before a call, the tools, the call.

Level 1 knows the tools; level 2 first asks the tool searcher, then calls what it found.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from demo.files import write_json
from demo.functions import Call, Function, ask, functions, others
from demo.toolace import Step, fulfil, help_request, offer
from demo.xlam import TOOL_SEARCHER

LEVEL_1, LEVEL_2 = 30, 14
"""Items; those of level 2 are pairs, one for the searcher and one for what it found."""

_CUE = "\nGenerate API Request:"
_ACKNOWLEDGED = ("Sure, one moment.", "Of course.", "All right, I will do that.", "Certainly, let me see.")
_SEARCHING = (
    "Let me look for a tool.",
    "I will search for a tool that can do this.",
    "Let me see what I have.",
)


def write_benchmark(folder: Path) -> None:
    rng = Random("apibank")
    known = functions()
    first = [_level_1(known[number % len(known)], number, rng) for number in range(LEVEL_1)]
    write_json(folder / "apibank_l1.json", first)
    second = [item for number in range(LEVEL_2 // 2) for item in _level_2(known[3 * number % len(known)], rng)]
    write_json(folder / "apibank_l2.json", second)


def _level_1(function: Function, number: int, rng: Random) -> dict[str, Any]:
    """In turn: asked and acknowledged, asked only, after a question back, after another call."""
    query: list[dict[str, str]] = []
    listed = [function, *others([function], rng.randint(0, 2), rng)]
    if number % 4 == 2:
        query += [_says("user", help_request(function, "test", rng)), _says("agent", offer(rng))]
    if number % 4 == 3:
        earlier = others([function], 1, rng)[0]
        listed = [function, earlier]
        query += _history(fulfil(earlier, "test", rng))
    call = _ask(query, function, rng)
    if number % 4 != 1:
        query.append(_says("agent", rng.choice(_ACKNOWLEDGED)))
    rng.shuffle(listed)
    return _item(query, [_tool(tool.flat()) for tool in listed], call.json())


def _level_2(function: Function, rng: Random) -> list[dict[str, Any]]:
    query: list[dict[str, str]] = []
    call = _ask(query, function, rng)
    query.append(_says("agent", rng.choice(_SEARCHING)))
    search = {"name": "ToolSearcher", "arguments": {"keywords": function.keywords}}
    item = _item(query, [_tool(TOOL_SEARCHER)], search)
    found = {**function.flat(), "input_parameters": function.flat()["parameters"], "output_parameters": {}}
    del found["parameters"]
    query += [_calls(search), _says("tool", str(found))]
    return [item, _item(query, [_tool(function.flat())], call.json())]


def _ask(query: list[dict[str, str]], function: Function, rng: Random) -> Call:
    """Put a request at the end of `query`; the call that it needs."""
    request = ask(function, "test", rng)
    query.append(_says("user", request.text))
    return request.calls[0]


def _history(steps: Sequence[Step]) -> list[dict[str, str]]:
    (_, text), (_, call), (_, result), (_, answer) = steps
    return [
        _says("user", text),
        _says("agent", _ACKNOWLEDGED[0]),
        _calls(call.json()),
        _says("tool", str(result)),
        _says("agent", answer),
    ]


def _item(query: Sequence[dict[str, str]], tools: Sequence[Any], call: dict[str, Any]) -> dict[str, Any]:
    *before, last = query
    asked = [*before, {**last, "content": last["content"] + _CUE}]
    return {"query": asked, "tools": list(tools), "answers": [call]}


def _says(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _calls(call: dict[str, Any]) -> dict[str, str]:
    return _says("assistant", f"```[{json.dumps(call)}]```")


def _tool(flat: dict[str, Any]) -> dict[str, Any]:
    return {**flat, "return": {}}
