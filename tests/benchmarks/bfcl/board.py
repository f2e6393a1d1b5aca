"""A small board in BFCL's format, written for these tests: a few entries of each kind of task."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any


def describe(name: str, properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    schema = {"type": "dict", "properties": properties, "required": list(properties)[:1]}
    return {"name": name, "description": f"About {name}.", "parameters": schema | {"required": required or []}}


TEXT = {"type": "string", "description": "A text."}
WHOLE = {"type": "integer", "description": "A whole number."}
REAL = {"type": "float", "description": "A number."}
NAMES = {"type": "array", "items": {"type": "string"}, "description": "Names."}

PAINT = describe("walls.paint", {"colour": TEXT, "coats": WHOLE, "rooms": NAMES}, ["colour"])
MEASURE = describe("measure", {"side": REAL, "unit": TEXT}, ["side"])
HIRE = describe(
    "hire",
    {
        "person": {"type": "dict", "properties": {"name": TEXT, "age": WHOLE}},
        "days": {"type": "tuple", "items": {"type": "integer"}},
    },
    ["person"],
)
JAVA = describe(
    "Shed.open",
    {
        "door": {"type": "any", "description": "The door."},
        "count": {"type": "long", "description": "How often."},
        "keys": {"type": "ArrayList", "items": {"type": "String"}, "description": "Keys."},
    },
    ["door"],
)
JAVASCRIPT = describe(
    "openShed",
    {
        "wide": {"type": "Boolean", "description": "How."},
        "sizes": {"type": "array", "items": {"type": "integer"}, "description": "Sizes."},
        "colour": {"type": "dict", "properties": {"red": WHOLE}, "description": "Colour."},
    },
    ["wide"],
)

PAINTED = {"walls.paint": {"colour": ["sea green"], "coats": [2, ""], "rooms": [["hall", "attic"], ""]}}
MEASURED = {"measure": {"side": [2.5], "unit": ["m", "metre", ""]}}
HIRED = {"hire": {"person": [{"name": ["Ann"], "age": [40, ""]}], "days": [[1, 2], ""]}}
OPENED = {"Shed.open": {"door": ["frontDoor"], "count": [3, ""], "keys": [["a", "b"], ""]}}
WIDE = {"openShed": {"wide": [True], "sizes": [[1, 2], ""], "colour": [{"red": [7]}, ""]}}

# category -> (functions, key) of each entry; no key where no calls are compared
BOARD: dict[str, list[tuple[list[dict[str, Any]], list[dict[str, Any]] | None]]] = {
    "simple": [([PAINT], [PAINTED]), ([MEASURE], [MEASURED]), ([HIRE], [HIRED])],
    "multiple": [([MEASURE, PAINT], [PAINTED]), ([PAINT, HIRE, MEASURE], [HIRED])],
    "parallel": [([MEASURE], [MEASURED, {"measure": {"side": [4.0], "unit": ["cm"]}}])],
    "parallel_multiple": [([MEASURE, PAINT], [PAINTED, MEASURED])],
    "java": [([JAVA], [OPENED])],
    "javascript": [([JAVASCRIPT], [WIDE])],
    "irrelevance": [([MEASURE], None), ([PAINT], None)],
    "live_simple": [([MEASURE], [MEASURED])],
    "live_relevance": [([MEASURE], None), ([PAINT], None)],
}


def ids(category: str) -> list[str]:
    if category == "live_relevance":
        return ["live_relevance_0-0-0"] * len(BOARD[category])
    suffix = "-0-0" if category.startswith("live_") else ""
    return [f"{category}_{number}{suffix}" for number in range(len(BOARD[category]))]


def lines(category: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of a category's questions and of its answers."""
    questions, answers = [], []
    for id, (functions, key) in zip(ids(category), BOARD[category], strict=True):
        turns = [[{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"Do {id}."}]]
        questions.append({"id": id, "question": turns, "function": functions})
        if key is not None:
            answers.append({"id": id, "ground_truth": key})
    return questions, answers


def write(root: Path) -> Path:
    """The board as a folder `bfcl_v3` in `root`; `root` itself."""
    folder = root / "bfcl_v3" / "data"
    for category in BOARD:
        questions, answers = lines(category)
        write_lines(folder / f"BFCL_v3_{category}.json", questions)
        if answers:
            write_lines(folder / "possible_answer" / f"BFCL_v3_{category}.json", answers)
    return root


def write_lines(path: Path, rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def pack(folder: Path, path: Path) -> None:
    """A zip of what is in `folder`."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.json")):
            archive.write(file, file.relative_to(folder).as_posix())
