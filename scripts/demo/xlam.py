"""Rows as xLAM-60k publishes them, and irrelevance rows as Hammer adds: `tools` and `answers` are JSON texts.

As level 2 of API-Bank finds its tools by a searcher, some rows have nothing but `ToolSearcher` at hand.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from demo.files import write_json
from demo.functions import Function, Request, ask, ask_both, ask_twice, functions, others

SINGLE, TWICE, SEARCHED, IRRELEVANT = 12, 2, 2, 3
"""Rows for each function; and as many rows for two functions at once as for one twice."""

TOOL_SEARCHER = {
    "name": "ToolSearcher",
    "description": "Find a tool by keywords.",
    "parameters": {"keywords": {"description": "What the tool is for.", "type": "str"}},
}


def write_corpus(folder: Path) -> None:
    rng = Random("xlam")
    rows = [*_rows(rng)]
    rng.shuffle(rows)
    write_json(folder / "xlam_demo.json", [{"id": number, **row} for number, row in enumerate(rows)])
    rows = [_irrelevant(function, rng) for function in functions() for _ in range(IRRELEVANT)]
    rng.shuffle(rows)
    write_json(
        folder / "xlam_demo_irrelevance.json", [{"id": number, **row} for number, row in enumerate(rows)]
    )


def _rows(rng: Random) -> list[dict[str, Any]]:
    rows = []
    for function in functions():
        requests = [ask(function, "train", rng) for _ in range(SINGLE)]
        requests += [ask_twice(function, "train", rng) for _ in range(TWICE)]
        requests += [ask_both([function, *others([function], 1, rng)], "train", rng) for _ in range(TWICE)]
        rows += [_with_tools(request, rng) for request in requests]
        rows += [_searched(ask(function, "train", rng)) for _ in range(SEARCHED)]
    return rows


def _with_tools(request: Request, rng: Random) -> dict[str, Any]:
    """The row with the tools that it needs and, mostly, another; lists are short, as a demo has little time."""
    needed = list({call.function.name: call.function for call in request.calls}.values())
    listed = [*needed, *others(needed, rng.choice((0, 1, 1)), rng)]
    rng.shuffle(listed)
    return _row(request.text, [function.flat() for function in listed], [call.json() for call in request.calls])


def _searched(request: Request) -> dict[str, Any]:
    keywords = request.calls[0].function.keywords
    return _row(request.text, [TOOL_SEARCHER], [{"name": "ToolSearcher", "arguments": {"keywords": keywords}}])


def _irrelevant(function: Function, rng: Random) -> dict[str, Any]:
    listed = others([function], rng.choice((1, 1, 2)), rng)
    return _row(ask(function, "train", rng).text, [other.flat() for other in listed], [])


def _row(query: str, tools: Sequence[Any], answers: Sequence[Any]) -> dict[str, Any]:
    return {"query": query, "tools": json.dumps(tools), "answers": json.dumps(answers)}
