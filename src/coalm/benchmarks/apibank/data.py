"""API-Bank's two levels in the form of Hammer's evaluation: a conversation, tools, and the gold call.

Origin: AlibabaResearch/DAMO-ConvAI (MIT), rewritten by MadeAgents/Hammer as `apibank_l1.json` (399 items) and
`apibank_l2.json` (127). In L-1 the tools are given, in L-2 they are found through a tool searcher first. An
item is `{"query": [{"role", "content"}, …], "tools": […], "answers": [{"name", "arguments"}]}`.

What has to be known about it:
- Roles are user, agent (words), assistant (a call, as fenced JSON) and tool (its result, as a Python literal).
- The last turn, whosever it is, ends in a line that asks for the API request. It stays, as part of the item.
- Argument values are strings throughout; a tool's parameters are listed flat, all of them without `required`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coalm.benchmarks.episode import Item
from coalm.calls import CallSyntaxError, calls_from_json, read_json_calls
from coalm.dialogue import Tool, ToolCall, Turn
from coalm.errors import DataError
from coalm.files import open_tree

NAMES = ("api_bank", "api-bank", "apibank", "hammer_format")
HINT = (
    "get apibank_l1.json and apibank_l2.json from https://github.com/MadeAgents/Hammer and put them in the "
    "data folder as api_bank/hammer_format/ or api_bank.zip"
)
LEVELS = {"L-1": "apibank_l1.json", "L-2": "apibank_l2.json"}


@dataclass(frozen=True, slots=True)
class Question:
    """What an item asks, and the calls that answer it."""

    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...]
    gold: tuple[ToolCall, ...]

    @property
    def reference(self) -> str:
        """The gold calls as text."""
        return write_as_published(self.gold)


def load(root: Path) -> list[Item]:
    """All items, L-1 then L-2, called `l1-0` … in the order of their files; `item.data` is a Question.

    Raises:
        DataError: a file is missing, or an item is broken.
    """
    tree = open_tree(root, NAMES, holding="apibank_l*.json", hint=HINT)
    items = []
    for level, file in LEVELS.items():
        name = tree.find(file)
        rows = tree.read_json(name)
        if not isinstance(rows, list):
            raise DataError("expected a list of items", where=tree.where(name))
        for index, row in enumerate(rows):
            question = _read_question(row, f"{tree.where(name)}#{index}")
            items.append(Item(f"{level_key(level)}-{index}", level, question))
    return items


def write_as_published(calls: Sequence[ToolCall]) -> str:
    """`[Name(key='value', …)]` as published evaluations compare it: every value in single quotes, none escaped.

    Where a value has a quote in it (a list of names, say) this is not a call that could be read back.
    """
    written = []
    for call in calls:
        arguments = ", ".join(f"{key}='{value}'" for key, value in call.arguments.items())
        written.append(f"{call.name}({arguments})")
    return f"[{', '.join(written)}]"


def level_key(level: str) -> str:
    """`L-1` -> `l1`, as ids and names of figures have it."""
    return level.lower().replace("-", "")


def _read_question(row: Any, where: str) -> Question:
    match row:
        case {"query": [_, *_] as turns, "tools": [*tools], "answers": [*answers]}:
            pass
        case _:
            raise DataError("expected an object with query, tools and answers", where=where)
    try:
        gold = calls_from_json(answers)
    except CallSyntaxError as error:
        raise DataError(f"gold answer: {error}", where=where) from None
    return Question(tuple(_read_turns(turns, where)), tuple(_read_tool(tool, where) for tool in tools), gold)


def _read_turns(rows: list[Any], where: str) -> Iterator[Turn]:
    for row in rows:
        match row:
            case {"role": "user", "content": str(text)}:
                yield Turn("user", text)
            case {"role": "agent", "content": str(text)}:
                yield Turn("assistant", text)
            case {"role": "assistant", "content": str(text)}:
                yield _read_call_turn(text)
            case {"role": "tool", "content": str(text)}:
                yield Turn("tool", text)
            case _:
                raise DataError("expected turns of user, agent, assistant or tool", where=where)


def _read_call_turn(text: str) -> Turn:
    try:
        return Turn("assistant", calls=read_json_calls(text))
    except CallSyntaxError:
        return Turn("assistant", text)


def _read_tool(row: Any, where: str) -> Tool:
    match row:
        case {"name": str(name), "parameters": dict(properties), **rest}:
            return Tool(name, str(rest.get("description", "")), {"type": "object", "properties": properties})
        case _:
            raise DataError("expected tools with name and parameters", where=where)
