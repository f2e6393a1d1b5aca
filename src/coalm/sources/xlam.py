"""xLAM's function-calling rows and Hammer's irrelevance rows: one request, the tools at hand, the calls.

Origin: Salesforce/xlam-function-calling-60k (CC BY 4.0) and MadeAgents/xlam-irrelevance-7.5k on the Hugging
Face Hub; a JSON list, or JSON lines, of rows whose `tools` and `answers` are JSON texts (or what these hold):

    {"query": "Weather in Oslo?", "tools": "[{\\"name\\": \\"weather\\", \\"description\\": …, \\"parameters\\":
      {\\"city\\": {\\"description\\": …, \\"type\\": \\"str\\", \\"default\\": \\"London\\"}}}]",
     "answers": "[{\\"name\\": \\"weather\\", \\"arguments\\": {\\"city\\": \\"Oslo\\"}}]"}

What has to be known about it:
- Types are Python's (`str`, `List[int]`) and stay as they are; a parameter that may be left out has
  `, optional` behind its type. A default alone does not make one optional.
- Where no tool fits, `answers` is empty, and the assistant's turn has neither calls nor words.
- Hammer masks names and defaults, three times over: `sources/masking.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from coalm.calls import CallSyntaxError, calls_from_json
from coalm.dialogue import Dialogue, Tool, Turn
from coalm.errors import DataError, did_you_mean
from coalm.files import Tree, open_tree

NAMES = ("function_calling", "xlam", "xlam-function-calling-60k", "hammer")
HINT = (
    "get xlam_function_calling_60k.json (Salesforce/xlam-function-calling-60k) and the irrelevance rows "
    "(MadeAgents/xlam-irrelevance-7.5k) from the Hugging Face Hub and put both in the corpora folder as "
    "function_calling/ or function_calling.zip"
)
SPLITS = ("train",)
_OPTIONAL = ", optional"


def load(root: Path, split: str = "train") -> Iterator[Dialogue]:
    """Yield each row as a dialogue of two turns, irrelevance files after the others.

    Raises:
        DataError: the corpus is missing, or a row is broken.
    """
    tree, names = find(root, split)
    for name in names:
        for index, (row, where) in enumerate(read_rows(tree, name)):
            yield _to_dialogue(row, f"{PurePosixPath(name).stem}/{index}", where)


def find(root: Path, split: str = "train") -> tuple[Tree, list[str]]:
    """Where the corpus lies, and its files: xLAM's and irrelevance rows, but not Hammer's masked samples.

    Raises:
        DataError: no such corpus or split.
    """
    if split not in SPLITS:
        raise DataError(f"xLAM has no split `{split}`", hint=did_you_mean(split, SPLITS))
    tree = open_tree(root, NAMES, holding="*xlam*.json*", hint=HINT)
    found = {name for pattern in ("*xlam*.json", "*xlam*.jsonl") for name in tree.glob(pattern)}
    folders = {PurePosixPath(name).parent for name in found}
    beside = {
        name
        for pattern in ("*irrelevance*.json", "*irrelevance*.jsonl")
        for name in tree.glob(pattern)
        if PurePosixPath(name).parent in folders
    }
    return tree, sorted(found | beside, key=lambda name: ("irrelevance" in name, name))


def read_rows(tree: Tree, name: str) -> Iterator[tuple[Any, str]]:
    """The rows of a JSON list or of JSON lines, each with where it stands (`file#index`, `file:line`).

    Raises:
        DataError: the file is damaged, or not JSON.
    """
    where = tree.where(name)
    raw = tree.read_bytes(name)
    if raw.lstrip()[:1] == b"[":
        for index, row in enumerate(tree.read_json(name)):
            yield row, f"{where}#{index}"
        return
    for number, line in enumerate(raw.splitlines(), start=1):
        if line.strip():
            yield parse_json(line, f"{where}:{number}"), f"{where}:{number}"


def parse_json(text: str | bytes, where: str) -> Any:
    """Parsed JSON.

    Raises:
        DataError: the text is not JSON, or its bytes not UTF-8.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f"not valid JSON: {error}", where=where) from None


def _to_dialogue(row: Any, id: str, where: str) -> Dialogue:
    match row:
        case {"query": str(query), "tools": tools, "answers": answers}:
            pass
        case _:
            raise DataError("expected an object with query, tools and answers", where=where)
    listed, wanted = _list(tools, "tools", where), _list(answers, "answers", where)
    try:
        calls = calls_from_json(wanted)
    except CallSyntaxError as error:
        raise DataError(f"answers: {error}", where=where) from None
    turns = (Turn("user", query), Turn("assistant", calls=calls))
    return Dialogue(id, "xlam", turns, tools=tuple(_tool(tool, where) for tool in listed), origin=where)


def _list(value: Any, key: str, where: str) -> list[Any]:
    content = parse_json(value, f"{where} ({key})") if isinstance(value, str) else value
    if not isinstance(content, list):
        raise DataError(f"expected {key} to be a list", where=where)
    return content


def _tool(row: Any, where: str) -> Tool:
    match row:
        case {"name": str(name), "parameters": dict(parameters)} if all(map(_is_object, parameters.values())):
            return Tool(name, str(row.get("description", "")), from_flat(parameters))
        case _:
            raise DataError("expected tools with name and parameters", where=where)


def from_flat(parameters: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A schema of xLAM's flat parameters: `, optional` behind a type becomes absence from `required`.

    `families.coalm.flat_tool` is the way back.
    """
    properties, required = {}, []
    for name, about in parameters.items():
        kind = str(about.get("type", "str"))
        if not kind.endswith(_OPTIONAL):
            required.append(name)
        properties[name] = {**about, "type": kind.removesuffix(_OPTIONAL)}
    return {"type": "object", "properties": properties, "required": required}


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)
