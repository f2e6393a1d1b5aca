"""ToolACE: conversations with function calls, as published and as ShareGPT rows.

Origin: Team-ACE/ToolACE on the Hugging Face Hub (`data.json`); Apache-2.0. A JSON list, or JSON lines, of rows:

    published  {"system": "… [{\\"name\\": …}, …] …", "conversations": [
                 {"from": "user", "value": "…"}, {"from": "assistant", "value": "[Find(city=\\"Oslo\\")]"},
                 {"from": "tool", "value": "[…]"}, {"from": "assistant", "value": "It is …"}]}
    ShareGPT   {"tools": "[]", "system": "…", "conversations": [
                 {"from": "human", …}, {"from": "function_call", "{\\"name\\": …, \\"arguments\\": …}"},
                 {"from": "observation", …}, {"from": "gpt", …}]}

What has to be known about it:
- The tools stand as a JSON list in the middle of the system text; `tools`, where there is one, may be empty.
- Names of functions may hold spaces, and need not be among the tools; types are `dict`, `float`, `string` ….
- Calls that cannot be read stay what they are, words of the assistant; `unread` counts them by kind of fault.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from coalm.calls import CallSyntaxError, read_calls, read_json_calls
from coalm.dialogue import Dialogue, Role, Tool, Turn
from coalm.errors import DataError, NotFound, did_you_mean
from coalm.files import Tree, open_tree
from coalm.sources.xlam import parse_json, read_rows

NAMES = ("toolace", "function_calling")
HINT = (
    "get data.json from https://huggingface.co/datasets/Team-ACE/ToolACE and put it in the corpora folder as "
    "toolace/data.json"
)
SPLITS = ("train",)
ROLES: Mapping[str, Role] = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "observation": "tool",
}

_FILE = "*[Tt]ool[Aa][Cc][Ee]*.json*"
_FOLDER = "*[Tt]ool[Aa][Cc][Ee]*/*.json*"
_CALL = re.compile(r"\[\s*[^\[\](){}=,'\"\n]+\(")


def load(root: Path, split: str = "train", unread: Counter[str] | None = None) -> Iterator[Dialogue]:
    """Yield the conversations in file order; `unread` counts calls that stay text, by kind of fault.

    Raises:
        DataError: the corpus is missing, or a row is broken.
    """
    faults = Counter[str]() if unread is None else unread
    tree, names = find(root, split)
    for name in names:
        for index, (row, where) in enumerate(read_rows(tree, name)):
            yield _to_dialogue(row, f"{PurePosixPath(name).stem}/{index}", where, faults)


def find(root: Path, split: str = "train") -> tuple[Tree, list[str]]:
    """Where the corpus lies, and its files: those with `toolace` in their own or their folder's name.

    Raises:
        DataError: no such corpus or split.
    """
    if split not in SPLITS:
        raise DataError(f"ToolACE has no split `{split}`", hint=did_you_mean(split, SPLITS))
    try:
        tree = open_tree(root, NAMES, holding=_FOLDER, hint=HINT)
    except NotFound:
        tree = open_tree(root, NAMES, holding=_FILE, hint=HINT)
    found = {name for pattern in (_FILE, _FOLDER) for name in tree.glob(pattern)}
    return tree, sorted(name for name in found if name.endswith((".json", ".jsonl")))


def _to_dialogue(row: Any, id: str, where: str, faults: Counter[str]) -> Dialogue:
    match row:
        case {"system": str(system), "conversations": [*records], **rest}:
            pass
        case _:
            raise DataError("expected an object with system and conversations", where=where)
    listed: Any = rest.get("tools")
    rows = parse_json(listed, f"{where} (tools)") if isinstance(listed, str) else listed
    tools = tuple(_tool(tool, where) for tool in rows or _tools_in(system))
    turns = tuple(_to_turn(record, where, faults) for record in records)
    return Dialogue(id, "toolace", turns, tools=tools, origin=where)


def _tools_in(system: str) -> list[Any]:
    """The first JSON list of objects in a text; empty where there is none."""
    decoder = json.JSONDecoder()
    for found in re.finditer(r"\[\s*\{", system):
        try:
            content, _ = decoder.raw_decode(system, found.start())
        except ValueError:
            continue
        return list(content)
    return []


def _tool(row: Any, where: str) -> Tool:
    match row:
        case {"name": str(name), **rest}:
            schema: Any = rest.get("parameters") or {}
            properties, required = schema.get("properties") or {}, schema.get("required") or []
            parameters = {"type": "object", "properties": properties, "required": list(required)}
            return Tool(name, str(rest.get("description") or ""), parameters)
        case _:
            raise DataError("expected tools with a name", where=where)


def _to_turn(record: Any, where: str, faults: Counter[str]) -> Turn:
    match record:
        case {"from": str(speaker), "value": str(text)} if speaker in ROLES:
            pass
        case _:
            raise DataError(f"expected turns with from ({', '.join(ROLES)}) and value", where=where)
    read = read_json_calls if speaker == "function_call" else read_calls
    if speaker == "function_call" or (speaker == "assistant" and _CALL.match(text.lstrip())):
        try:
            return Turn("assistant", calls=read(text))
        except CallSyntaxError as error:
            faults[error.kind] += 1
    return Turn(ROLES[speaker], text)
