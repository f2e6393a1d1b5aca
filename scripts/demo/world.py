"""The town of Wrenford as tables: venues, trains, and what a search in them finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

Row = dict[str, str]
HERE = Path(__file__).parent

_COLUMNS = {
    "restaurant": ("restaurants", ("name", "food", "pricerange", "area", "address")),
    "hotel": ("hotels", ("name", "type", "stars", "pricerange", "area", "parking", "internet", "address")),
    "attraction": ("attractions", ("name", "type", "area", "fee", "address")),
}
_HOME = "Wrenford"


@dataclass(frozen=True)
class World:
    """`tables` holds the rows of restaurant, hotel, attraction and train; `facts` what the YAML says."""

    tables: Mapping[str, tuple[Row, ...]]
    facts: Mapping[str, Any]

    def search(self, service: str, wish: Mapping[str, str]) -> list[Row]:
        """Rows that meet every wish; trains leave no earlier than `leave`, arrive no later than `arrive`."""
        return [row for row in self.tables[service] if all(_meets(row, *item) for item in wish.items())]


@cache
def world() -> World:
    facts = yaml.safe_load((HERE / "world.yaml").read_text(encoding="ascii"))
    rng = Random("venues")
    tables = {service: tuple(_venues(facts[key], columns, rng)) for service, (key, columns) in _COLUMNS.items()}
    return World({**tables, "train": tuple(_trains(facts))}, facts)


def reference(rng: Random) -> str:
    """A booking reference; digits and capitals that are not taken for one another."""
    return "".join(rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=6))


def phone(rng: Random) -> str:
    return f"01555 {rng.randrange(10**6):06d}"


def _venues(lines: list[str], columns: tuple[str, ...], rng: Random) -> list[Row]:
    rows = []
    for line in lines:
        row = dict(zip(columns, line.split(" | "), strict=True))
        postcode = f"WR{rng.randint(1, 9)} {rng.randint(1, 9)}{''.join(rng.choices('ABDEFGHJLNPQ', k=2))}"
        rows.append({**row, "postcode": postcode, "phone": phone(rng)})
    return rows


def _trains(facts: Mapping[str, Any]) -> list[Row]:
    """Three trains a day each way, five hours apart; the way back starts half an hour later."""
    rows: list[Row] = []
    for town, (minutes, first, price) in facts["trains"].items():
        for way, (departure, destination) in enumerate([(_HOME, town), (town, _HOME)]):
            for day in facts["days"]:
                for run in range(3):
                    leave = _minutes(first) + 300 * run + 30 * way
                    rows.append(
                        {
                            "trainid": f"WR{1000 + 7 * len(rows)}",
                            "departure": departure,
                            "destination": destination,
                            "day": day,
                            "leave": _clock(leave),
                            "arrive": _clock(leave + minutes),
                            "duration": f"{minutes} minutes",
                            "price": f"{price:.2f} pounds",
                        }
                    )
    return rows


def _meets(row: Row, slot: str, value: str) -> bool:
    match slot:
        case "leave":
            return row["leave"] >= value
        case "arrive":
            return row["arrive"] <= value
        case _:
            return value == "dontcare" or row[slot] == value


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return 60 * int(hours) + int(minutes)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
