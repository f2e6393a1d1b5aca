"""The kinds of places at the desk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
"""An entry, as a search answers with it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of place: its table and functions, what can be wished for, what a booking needs, what is asked."""

    name: str
    wishes: tuple[str, ...]
    needs: tuple[str, ...]
    details: tuple[str, ...]
    shown: tuple[str, ...]

    @property
    def table(self) -> str:
        return f"{self.name}s"

    @property
    def search(self) -> str:
        return f"search_{self.name}s"

    @property
    def book(self) -> str:
        return f"book_{self.name}"


RESTAURANT = Kind(
    "restaurant",
    ("area", "food", "price"),
    ("day", "time", "people"),
    ("phone", "phone", "address", "address", "postcode", "price", "area", "food", "opens"),
    ("name", "area", "food", "price"),
)
HOTEL = Kind(
    "hotel",
    ("area", "price", "kind", "stars", "wifi", "parking"),
    ("day", "nights", "people"),
    ("phone", "phone", "address", "address", "postcode", "stars", "night_price", "wifi", "parking", "price"),
    ("name", "area", "kind", "price", "stars"),
)
ATTRACTION = Kind(
    "attraction",
    ("area", "kind"),
    (),
    ("phone", "address", "address", "postcode", "fee", "opens", "area"),
    ("name", "area", "kind"),
)
ALL = (RESTAURANT, HOTEL, ATTRACTION)
