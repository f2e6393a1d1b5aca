"""Looking things up in a dialogue's annotated acts and results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from coalm.cra import wording
from coalm.cra.wording import Pair
from coalm.dialogue import Act

_NAME = re.compile(r"(^|_)name$|(^|_)title$|^track$")


def first_act(acts: Iterable[Act], name: str) -> Act | None:
    """The first act of a kind."""
    return next((act for act in acts if act.name == name), None)


def slots_of(acts: Iterable[Act], name: str) -> list[str]:
    """Slots of the acts of a kind, each once."""
    return list(dict.fromkeys(act.slot for act in acts if act.name == name and act.slot))


def pairs_of(acts: Iterable[Act], name: str, spoken: bool = False) -> list[Pair]:
    """Slots and values of the acts of a kind: what they mean, or as they were spoken; several as `a or b`."""
    found = []
    for act in acts:
        values = (act.values or act.canonical_values) if spoken else (act.canonical_values or act.values)
        if act.name == name and act.slot and values:
            found.append(Pair(act.slot, wording.enumerate_words(values, "or")))
    return found


def spoken_and_meant(act: Act) -> str:
    """`today, that is 2019-03-01`, or the value alone where both are the same."""
    said, meant = act.values[0], (act.canonical_values or act.values)[0]
    return said if said.casefold() == meant.casefold() else f"{said}, that is {meant}"


def main_of(found: Iterable[Pair]) -> Pair | None:
    """What an offer is called: a restaurant's name, a movie's title. None where it has no name of its own."""
    return next((pair for pair in found if _is_name(pair.slot)), None)


def names_offered(acts: Iterable[Act]) -> tuple[str, ...]:
    """What `main_of` an offer would be, each of several names apart."""
    offer = next((act for act in acts if act.name == "OFFER" and _is_name(act.slot)), None)
    return (offer.canonical_values or offer.values) if offer else ()


def describe(main: Pair, found: Iterable[Pair]) -> str:
    """`Blue Spoon (city: Arlen)`."""
    rest = [pair for pair in found if pair != main]
    return f"{main.value} ({wording.details(rest)})" if rest else main.value


def row_of(found: Iterable[Pair], results: Sequence[Mapping[str, Any]]) -> int | None:
    """Index of the first result that has all these values."""
    pairs = list(found)
    for index, row in enumerate(results):
        if all(row.get(slot) == value for slot, value in pairs):
            return index
    return None


def _is_name(slot: str) -> bool:
    return bool(_NAME.search(slot)) and "station" not in slot
