"""A travel desk of invented places, others in each conversation: nothing to learn by heart."""

from __future__ import annotations

import csv
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import cache
from importlib import resources
from pathlib import Path
from random import Random
from typing import Any

from coalm.agent.desk import Desk, store
from coalm.agent.desk.domains import AREAS, ATTRACTION_KINDS, CITIES, FOODS, HOTEL_KINDS, PRICES
from coalm.agent.desk.values import plain_name
from coalm.guests.words import words

TABLES = ("restaurants", "hotels", "attractions", "trains")
_FIRST_DAY = datetime(2025, 1, 6)
_DAYS = 1400
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"


def open_desk(path: Path, random: Random) -> Desk:
    """The desk over `path` on some day, all of its entries drawn anew and nothing booked."""
    moment = _FIRST_DAY + timedelta(days=random.randrange(_DAYS), minutes=random.randrange(7 * 60, 19 * 60))
    desk = Desk(path, seed=random.getrandbits(32), now=lambda: moment)
    names = Names(random)
    rows = {
        "restaurants": [_restaurant(random, names) for _ in range(random.randint(14, 45))],
        "hotels": [_hotel(random, names) for _ in range(random.randint(10, 30))],
        "attractions": [_attraction(random, names) for _ in range(random.randint(8, 20))],
        "trains": list(_trains(random)),
    }
    with store.writing(path) as connection:
        connection.execute("DELETE FROM bookings")
        for table in TABLES:
            connection.execute(f"DELETE FROM {table}")
            _insert(connection, table, rows[table])
    return desk


def rows_of(desk: Desk, table: str) -> list[dict[str, Any]]:
    """All entries of a table of the desk."""
    with store.reading(desk.path) as connection:
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY rowid")]


def take(desk: Desk, domain: str, name: str, day: date, units: int, time: int = 0) -> None:
    """Other guests' booking of so many seats or rooms, so that they are gone."""
    row = {
        "reference": "OTHERS",
        "guest": "others",
        "domain": domain,
        "name": name,
        "day": day.isoformat(),
        "time": time,
        "people": units,
        "nights": 7 if domain == "hotel" else 0,
        "units": units,
        "price": 0.0,
        "details": "{}",
        "made": desk.now().isoformat(timespec="seconds"),
        "cancelled": None,
    }
    with store.writing(desk.path) as connection:
        _insert(connection, "bookings", [row])


def other_cities(random: Random) -> dict[str, str]:
    """Invented names for the cities that trains run between; our own keeps its name in every second world."""
    names = Names(random)
    kept = CITIES[:1] if random.random() < 0.5 else ()
    return {city: names.new(names.town) for city in CITIES if city not in kept}


class Names:
    """Draws names that differ from each other, and from all that the package ships."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._used: set[str] = set()

    def new(self, make: Callable[[], str]) -> str:
        """A name of `make` that is not used yet."""
        while (plain := plain_name(name := make())) in self._used or _shipped().search(plain):
            pass
        self._used.add(plain)
        return name

    def venue(self, kind: str) -> str:
        """`The Quiet Heron`, `Zelmiro`, `Copper Kettle Inn` …"""
        pick, found = self._random.choice, words()["names"]
        first, second, word = pick(found["first"]), pick(found["second"]), self.word()
        forms = [f"The {first} {second}", f"{first} {second}", f"{second} and {pick(found['second'])}"]
        forms += [f"{word} {pick(found[kind])}", f"{word}", f"{second} {pick(found[kind])}"]
        forms += [f"{first} {second} {pick(found[kind])}", f"{word}'s", f"The {second} {pick(found[kind])}"]
        if kind != "restaurant":
            forms = [form for form in forms if form.split()[-1] in found[kind]]
        return pick(forms)

    def street(self) -> str:
        """`Heron Row`."""
        pick, found = self._random.choice, words()["names"]
        return f"{pick([pick(found['second']), self.word(), pick(found['first'])])} {pick(found['street'])}"

    def word(self) -> str:
        """`Velmindor`."""
        pick, found = self._random.choice, words()["names"]
        middle = pick(found["middles"]) if self._random.random() < 0.6 else ""
        return f"{pick(found['starts'])}{middle}{pick(found['ends'])}"

    def town(self) -> str:
        """`Thornwick`."""
        pick, found = self._random.choice, words()["names"]
        return f"{pick(found['town_starts'])}{pick(found['town_ends'])}"


@cache
def _shipped() -> re.Pattern[str]:
    """Plain names of all entries that the desk ships, and of its cities, also within a name."""
    found = {plain_name(city) for city in CITIES}
    for table in ("restaurants", "hotels", "attractions"):
        text = resources.files("coalm.agent.desk").joinpath(f"{table}.csv").read_text(encoding="utf-8")
        found |= {plain_name(row["name"]) for row in csv.DictReader(text.splitlines())}
    return re.compile(rf"\b({'|'.join(map(re.escape, sorted(found)))})\b")


# ── entries ───────────────────────────────────────────────────────────────────────────────────────


def _place(random: Random, names: Names, kind: str) -> dict[str, Any]:
    """What all venues have."""
    street = names.new(names.street)
    letters = "".join(random.choices(_LETTERS, k=4))
    phone = random.choice(words()["phones"])
    return {
        "name": names.new(lambda: names.venue(kind)),
        "area": random.choice(AREAS),
        "address": f"{random.randint(1, 140)} {street}",
        "postcode": f"{letters[:2]}{random.randint(1, 9)} {random.randint(1, 9)}{letters[2:]}",
        "phone": f"{phone}{random.randrange(1000):03d}",
    }


def _restaurant(random: Random, names: Names) -> dict[str, Any]:
    row = _place(random, names, "restaurant")
    kept = {"food": random.choice(FOODS), "price": random.choice(PRICES), "seats": random.randint(4, 12) * 4}
    opens = random.choice([11, 11.5, 12, 12, 17, 17.5, 18])
    return _ordered(
        "name area food price address postcode phone opens closes seats",
        {**row, **kept, "opens": int(opens * 60), "closes": int(random.choice([22, 22.5, 23]) * 60)},
    )


def _hotel(random: Random, names: Names) -> dict[str, Any]:
    row = _place(random, names, "hotel")
    price = random.choice(PRICES)
    least = {"cheap": 35, "moderate": 70, "expensive": 130}[price]
    kept = {
        "kind": random.choice(HOTEL_KINDS),
        "price": price,
        "stars": random.randint(1, 5),
        "wifi": random.choice(["yes", "yes", "no"]),
        "parking": random.choice(["yes", "no"]),
        "night_price": float(least + random.randrange(least)),
        "rooms": random.randint(6, 40),
    }
    columns = "name area kind price stars wifi parking night_price address postcode phone rooms"
    return _ordered(columns, {**row, **kept})


def _attraction(random: Random, names: Names) -> dict[str, Any]:
    row = _place(random, names, "attraction")
    kept = {"kind": random.choice(ATTRACTION_KINDS), "fee": float(random.choice([0, 0, *range(2, 25)]))}
    hours = {"opens": random.choice([8, 9, 10]) * 60, "closes": random.choice([16, 17, 18, 20]) * 60}
    return _ordered("name area kind fee address postcode phone opens closes", {**row, **kept, **hours})


def _trains(random: Random) -> Iterator[dict[str, Any]]:
    """Lines between our city and the others, and two between others."""
    pairs = [(CITIES[0], city) for city in CITIES[1:]] + [tuple(random.sample(CITIES[1:], 2)) for _ in range(2)]
    lines = random.sample([one + other for one in _LETTERS for other in _LETTERS], 2 * len(pairs))
    for departure, destination in dict.fromkeys(pairs):
        minutes, price = random.randint(15, 130), round(random.uniform(4, 40), 1)
        every = random.choice([30, 45, 60, 60, 90, 120])
        for ends in ((departure, destination), (destination, departure)):
            line, first = lines.pop(), 5 * 60 + 5 * random.randrange(18)
            kept = {"minutes": minutes, "price": price, "seats": random.randint(3, 12) * 8, "days": "daily"}
            for leaves in range(first, 22 * 60, every):
                ends_of = {"line": line, "departure": ends[0], "destination": ends[1], "leaves": leaves}
                yield {**ends_of, **kept}


def _ordered(columns: str, row: dict[str, Any]) -> dict[str, Any]:
    return {column: row[column] for column in columns.split()}


def _insert(connection: sqlite3.Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    columns, marks = ", ".join(rows[0]), ", ".join(f":{column}" for column in rows[0])
    connection.executemany(f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})", rows)
