"""JSON files that a person can read and a diff can show: outer levels are broken into lines, inner ones not."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def write_json(path: Path, value: Any, *, levels: int = 1) -> None:
    """Write `value`; its outermost `levels` of lists and objects have a line for each element."""
    _write(path, _layout(value, levels) + "\n")


def write_lines(path: Path, rows: Iterable[Any]) -> None:
    """Write JSON lines."""
    _write(path, "".join(f"{_line(row)}\n" for row in rows))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii", newline="\n")


def _line(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _layout(value: Any, levels: int) -> str:
    if levels == 0 or not isinstance(value, list | dict) or not value:
        return _line(value)
    if isinstance(value, list):
        return "[\n" + ",\n".join(_layout(item, levels - 1) for item in value) + "\n]"
    items = (f"{json.dumps(key)}: {_layout(item, levels - 1)}" for key, item in value.items())
    return "{\n" + ",\n".join(items) + "\n}"
