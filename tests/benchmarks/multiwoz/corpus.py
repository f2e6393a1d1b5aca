"""Two dialogues in MultiWOZ's layout, written for these tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Slots = dict[str, dict[str, Any]]  # also what no corpus should hold


def metadata(semi: Slots | None = None, book: Slots | None = None) -> dict[str, Any]:
    """A system entry's metadata with the empty fields that the corpus has."""
    content: dict[str, Any] = {
        "hotel": {
            "semi": {"name": "", "area": "", "type": ""},
            "book": {"booked": [], "people": "", "day": ""},
        },
        "train": {
            "semi": {"leaveAt": "", "arriveBy": "", "destination": ""},
            "book": {"booked": [], "people": ""},
        },
        "police": {"semi": {}, "book": {"booked": []}},
    }
    for part, slots in (("semi", semi or {}), ("book", book or {})):
        for domain, values in slots.items():
            content[domain][part].update(values)
    return content


def log(*exchanges: tuple[Any, dict[str, Any], str]) -> dict[str, Any]:
    entries: list[dict[str, Any]] = []
    for user, state, system in exchanges:
        entries += [{"text": user, "metadata": {}}, {"text": system, "metadata": state}]
    return {"goal": {}, "log": entries}


DIALOGUES = {
    "TRY0001.json": log(
        ("Hello there.", metadata(), "Hello, what can I do?"),
        (
            "A guest house up north, please.",
            metadata({"hotel": {"area": "north", "type": "guest house"}}),
            "The Blue Door has rooms.",
        ),
        (
            "Book it for two.",
            metadata(
                {"hotel": {"area": "north", "type": "guest house", "name": "blue door|red door"}},
                {"hotel": {"people": "2", "booked": [{"name": "blue door"}]}},
            ),
            "It is booked.",
        ),
    ),
    "Try0002.json": log(
        ("A train at five.", metadata({"train": {"leaveAt": "17:00"}}), "Where to?"),
    ),
    "TRY0003.json": log(("Not a test dialogue.", metadata(), "No.")),
}


def write(folder: Path, dialogues: Any = DIALOGUES, names: str = "TRY0001.json\nTry0002.json\n") -> Path:
    """`folder/multiwoz_2.4/MULTIWOZ2.4/`, with a decoy beside it; the folder."""
    data = folder / "multiwoz_2.4" / "MULTIWOZ2.4"
    data.mkdir(parents=True)
    (data / "data.json").write_text(json.dumps(dialogues))
    (data / "testListFile.json").write_text(names)
    decoy = folder / "multiwoz_2.4" / "AAA_dev"
    decoy.mkdir()
    (decoy / "data.json").write_text("{}")
    return folder
