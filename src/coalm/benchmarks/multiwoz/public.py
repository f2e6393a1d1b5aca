"""Predictions in the public context-to-response form, `{dialogue id: [{"response", "state"}, …]}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coalm.benchmarks.episode import Item
from coalm.benchmarks.multiwoz.data import item_id
from coalm.errors import DataError


def results_from_public(content: Any, items: Sequence[Item], where: object = "") -> dict[str, Any]:
    """Item id -> result that `score` takes. Where a dialogue has fewer turns than the item, these are scored.

    Raises:
        DataError: not of that form, or a dialogue that is none of `items`.
    """
    if not isinstance(content, Mapping):
        raise DataError("expected an object of dialogue id -> list of turns", where=where)
    known = {item.id for item in items}
    results: dict[str, Any] = {}
    for name, turns in content.items():
        if item_id(name) not in known:
            raise DataError(f"no test dialogue of MultiWOZ is called `{name}`", where=where)
        if not isinstance(turns, list):
            raise DataError("expected a list of turns", where=f"{where}#{name}")
        results[item_id(name)] = [
            {"state": _read_state(turn, f"{where}#{name}[{number}]"), "error": None}
            for number, turn in enumerate(turns)
        ]
    return results


def _read_state(turn: Any, where: str) -> Any:
    match turn:
        case {"state": dict(state)}:
            return state
        case _:
            raise DataError("expected a turn with a `state`", where=where)
