"""API-Bank's library of APIs, and the tool searcher that level 2 is about.

The library is `all_apis.csv` of the release. The API an agent needs is found by keywords among all of them, by
BM25 over names and descriptions. The release's own searcher compares sentence embeddings and answers with one
API; ours needs no model and answers with the best few, and with the API that gives tokens where one of them
asks for a token, as the release's does.
"""

from __future__ import annotations

import ast
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from coalm.dialogue import Tool
from coalm.errors import DataError
from coalm.retrieval import Retriever

FOUND = 5
"""APIs that a search answers with."""

SEARCHER = Tool(
    "ToolSearcher",
    "Searches the library for tools that fit the keywords.",
    {
        "type": "object",
        "properties": {"keywords": {"type": "str", "description": "What the tool should do, in a few words."}},
        "required": ["keywords"],
    },
)
TOKENS = "GetUserToken"
"""The API that gives the token which others ask for."""


class Library:
    """APIs by name, and the search over them."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self.tools: Mapping[str, Tool] = {tool.name: tool for tool in tools}
        self._retriever = Retriever([self.tools[name] for name in sorted(self.tools)])

    def search(self, keywords: str, count: int = FOUND) -> list[Tool]:
        """At most `count` APIs that share a word with `keywords`, the best first; then the one for tokens."""
        found = self._retriever.search(keywords, count)
        if any("token" in tool.properties for tool in found) and TOKENS in self.tools:
            found = [*(tool for tool in found if tool.name != TOKENS), self.tools[TOKENS]]
        return found


def describe(tools: Sequence[Tool]) -> str:
    """What the model observes of a search: the tools, as the release writes them."""
    rows = [
        {"name": tool.name, "description": tool.description, "input_parameters": dict(tool.properties)}
        for tool in tools
    ]
    return repr(rows)


def read_library(text: str, where: str) -> Iterator[Tool]:
    """The APIs of `all_apis.csv`; a row whose description is none (one of the release has a dot) is left out.

    Raises:
        DataError: it is not that table.
    """
    rows = csv.DictReader(io.StringIO(text))
    if not {"类名", "api_info"} <= set(rows.fieldnames or ()):
        raise DataError("expected the columns 类名 (class name) and api_info", where=where)
    for row in rows:
        info = _assignments(row["api_info"])
        if isinstance(info.get("description"), str):
            yield read_tool({"name": row["类名"], **info})


def read_tool(info: Mapping[str, Any]) -> Tool:
    """An API as the release describes it: name, description and input_parameters, all of them required."""
    properties = info.get("input_parameters")
    if not isinstance(properties, dict):
        properties = {}  # two of the release have none
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return Tool(str(info["name"]), str(info.get("description", "")), schema)


def _assignments(source: str) -> dict[str, Any]:
    """`name = literal` lines of a Python text, as values; nothing of it is run."""
    try:
        statements = ast.parse(source).body
        return {
            target.id: ast.literal_eval(statement.value)
            for statement in statements
            if isinstance(statement, ast.Assign)
            for target in statement.targets
            if isinstance(target, ast.Name)
        }
    except (SyntaxError, ValueError):
        return {}
