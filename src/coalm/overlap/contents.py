"""What counts: of a test item what the user says and the functions that it brings, of a training sample the
conversation, the answer and the list of tools.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coalm.benchmarks import benchmark
from coalm.benchmarks.bfcl.multi_turn_data import Conversation
from coalm.benchmarks.episode import Item
from coalm.benchmarks.multiwoz.data import Exchange
from coalm.benchmarks.sgd.data import Talk
from coalm.dialogue import Sample, Tool
from coalm.errors import DataError

BENCHMARKS = ("multiwoz", "apibank", "bfcl", "snips", "sgd")

# A turn of a conversation as our prompts and the paper's write it, or a block of a prompt, begins here.
_TURN = re.compile(
    r"^(?:User|System|Assistant|Thought\d?|Action|Observation|Context):|^\[(?:BEGIN|END) OF [A-Z ]+\]$",
    re.MULTILINE,
)
_TOOLS = ("[BEGIN OF AVAILABLE TOOLS]", "[END OF AVAILABLE TOOLS]")
_FORMAT_END = "[END OF FORMAT INSTRUCTION]"
_SIGNATURE = re.compile(r"^\d+\. ([^\s(]+)\((.*)\)", re.MULTILINE)
_NAME_IN_TEXT = re.compile(r"""["']name["']\s*:\s*["']([^"']+)["']""")


# ── test items ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Content:
    """What a test item holds: the user's words, turn by turn, and its functions."""

    id: str
    said: tuple[str, ...]
    tools: tuple[Tool, ...] = ()


def read_contents(name: str, root: Path) -> list[Content]:
    """The contents of a benchmark's items.

    Raises:
        DataError: no such benchmark, its data is missing, or its items are not of a kind that can be compared.
    """
    return [_content(name, item) for item in benchmark(name).load(root)]


def _content(name: str, item: Item) -> Content:
    match item.data:
        case Conversation() as played:
            said = tuple(turn.text for turns in played.script.turns for turn in turns if turn.role == "user")
            return Content(item.id, said, played.tools(len(played.script.turns)))
        case tuple() as exchanges if all(isinstance(one, Exchange) for one in exchanges):
            return Content(item.id, tuple(one.user for one in exchanges))
    data = item.data.dialogue() if isinstance(item.data, Talk) else item.data
    turns = getattr(data, "turns", None)
    if turns is None:
        raise DataError(f"the items of {name} cannot be compared", hint=f"choose of: {', '.join(BENCHMARKS)}")
    said = tuple(turn.text for turn in turns if turn.role == "user")
    return Content(item.id, said, _tools(data))


def _tools(data: Any) -> tuple[Tool, ...]:
    """A question's functions: tools, or as the board describes them."""
    if hasattr(data, "functions"):
        return tuple(Tool(one["name"], "", one.get("parameters") or {}) for one in data.functions)
    return tuple(getattr(data, "tools", ()))


# ── training samples ──────────────────────────────────────────────────────────────────────────────


def split_sample(sample: Sample) -> tuple[str, str]:
    """The list of tools in a sample's instruction, and what of the instruction is conversation.

    That is what stands behind the format instruction, or all of it where there is neither one nor an input.
    """
    text = sample.instruction
    begin, end = (text.find(mark) for mark in _TOOLS)
    tools = text[begin + len(_TOOLS[0]) : end].strip() if 0 <= begin < end else ""
    place = text.rfind(_FORMAT_END)
    if place >= 0:
        return tools, text[place + len(_FORMAT_END) :]
    return tools, "" if sample.input or tools else text


def split_turns(text: str) -> Iterator[str]:
    """The turns of a conversation, without who speaks."""
    return (turn for turn in _TURN.split(text) if turn)


# ── functions ─────────────────────────────────────────────────────────────────────────────────────


def signature(name: str, parameters: Iterable[str]) -> tuple[str, frozenset[str]]:
    """A function without what is no difference: letter case and punctuation of its names."""
    return _plain(name), frozenset(map(_plain, parameters))


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def parameters_of(schema: object) -> Sequence[str]:
    """Names of parameters, of a JSON Schema or of a mapping of them."""
    if not isinstance(schema, Mapping):
        return ()
    properties = schema.get("properties")
    return list(properties if isinstance(properties, Mapping) else schema)


def read_tools(text: str) -> Iterator[tuple[str, Sequence[str]]]:
    """(name, parameters) of a list of tools: JSON, or numbered signatures; of what is neither, names."""
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError):
        rows = None
    if isinstance(rows, list):
        for row in rows:
            row = row.get("function", row) if isinstance(row, dict) else row
            if isinstance(row, dict) and isinstance(row.get("name"), str):
                yield row["name"], parameters_of(row.get("parameters"))
        return
    signatures = _SIGNATURE.findall(text)
    for name, parameters in signatures:
        yield name, [one.partition("=")[0].strip() for one in parameters.split(",") if one.strip()]
    if not signatures:
        yield from ((name, ()) for name in _NAME_IN_TEXT.findall(text))
