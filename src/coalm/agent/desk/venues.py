"""Searching venues and trains, and finding the one that a name means."""

from __future__ import annotations

import difflib
import sqlite3
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Literal

from coalm.agent.desk.domains import CITIES
from coalm.agent.desk.values import Refused, is_any, plain_name, read_choice, write_day, write_time

Table = Literal["restaurants", "hotels", "attractions"]
TABLES: tuple[Table, ...] = ("restaurants", "hotels", "attractions")
SHOWN = 5
"""Rows that a search answers with; it says how many there are."""

_TIMES = {"opens", "closes"}
_HIDDEN = {"seats", "rooms"}
_CLOSE = 0.8  # similarity of names that are taken for one another


def search(
    connection: sqlite3.Connection, table: Table, wanted: Mapping[str, Any], name: str | None = None
) -> dict[str, Any]:
    """Venues whose columns have the wanted values (None: any) and whose name holds `name`, ordered by name.

    Where nothing fits, `note` says which wish stands in the way.
    """
    wishes = {column: value for column, value in wanted.items() if value is not None}
    rows = connection.execute(f"SELECT * FROM {table} ORDER BY name").fetchall()
    name = None if is_any(name) else name
    named = [row for row in rows if not name or _is_like(row["name"], name)]
    fitting = [row for row in named if all(row[column] == value for column, value in wishes.items())]
    answer: dict[str, Any] = {"found": len(fitting), table: [describe(row) for row in fitting[:SHOWN]]}
    if len(fitting) > SHOWN:
        answer["note"] = f"the first {SHOWN} of {len(fitting)}; more wishes narrow it down"
    if not fitting:
        answer["note"] = _without_one(rows, named, wishes, name)
    return answer


def describe(row: sqlite3.Row) -> dict[str, Any]:
    """A venue for the guest: times as 19:00, without what only the desk needs."""
    columns = {column: value for column, value in dict(row).items() if column not in _HIDDEN}
    return {column: write_time(value) if column in _TIMES else value for column, value in columns.items()}


def find_exactly(connection: sqlite3.Connection, table: Table, name: str) -> sqlite3.Row | None:
    """The venue of that name, but for case, punctuation and `the`."""
    rows = connection.execute(f"SELECT * FROM {table}")
    return next((row for row in rows if plain_name(row["name"]) == plain_name(name)), None)


def find(connection: sqlite3.Connection, table: Table, name: str) -> sqlite3.Row:
    """The venue that a name means, with small slips forgiven.

    Raises:
        Refused: none or several.
    """
    found = connection.execute(f"SELECT * FROM {table} ORDER BY name")
    rows: dict[str, sqlite3.Row] = {plain_name(row["name"]): row for row in found}
    said = plain_name(name)
    if said in rows:
        return rows[said]
    held = [key for key in rows if said and f" {said} " in f" {key} "]
    near = held or difflib.get_close_matches(said, rows, n=4, cutoff=_CLOSE)
    if len(near) == 1:
        return rows[near[0]]
    if near:
        raise Refused(f"`{name}` may be {' or '.join(rows[key]['name'] for key in near[:4])}; say which")
    guesses = difflib.get_close_matches(said, rows, n=3, cutoff=0.5)
    hint = (
        f"did you mean {' or '.join(rows[key]['name'] for key in guesses)}?"
        if guesses
        else "search for it first"
    )
    raise Refused(f"none of the {table} here is called `{name}`; {hint}")


def search_trains(
    connection: sqlite3.Connection,
    journey: tuple[str, str],
    day: date,
    leave_after: int | None,
    arrive_by: int | None,
    now: datetime,
) -> dict[str, Any]:
    """Trains of a day from one city to another; the last of them first where only `arrive_by` is wanted."""
    departure, destination = journey
    if not connection.execute(
        "SELECT 1 FROM trains WHERE departure = ? AND destination = ?", journey
    ).fetchone():
        hint = f"change at {CITIES[0]}" if CITIES[0] not in journey else "search the other way round"
        raise Refused(f"no direct train from {departure} to {destination}; {hint}")
    earliest = leave_after or 0
    if day == now.date():
        earliest = max(earliest, now.hour * 60 + now.minute)
    rows = connection.execute(
        "SELECT * FROM trains WHERE departure = ? AND destination = ? AND leaves >= ? AND leaves + minutes <= ?"
        " AND (days = 'daily' OR ?) ORDER BY leaves",
        (departure, destination, earliest, 10_000 if arrive_by is None else arrive_by, day.weekday() < 5),
    ).fetchall()
    if arrive_by is not None and leave_after is None:
        rows.reverse()
    answer: dict[str, Any] = {
        "found": len(rows),
        "trains": [describe_train(connection, row, day) for row in rows[:SHOWN]],
    }
    if len(rows) > SHOWN:
        answer["note"] = f"{SHOWN} of {len(rows)}; give leave_after or arrive_by for others"
    if not rows:
        answer["note"] = f"no train at that time on {write_day(day)}"
    return answer


def describe_train(connection: sqlite3.Connection, row: sqlite3.Row, day: date) -> dict[str, Any]:
    train_id = f"{row['line']}{write_time(row['leaves']).replace(':', '')}-{day:%Y%m%d}"
    return {
        "train_id": train_id,
        "departure": row["departure"],
        "destination": row["destination"],
        "day": write_day(day),
        "leaves": write_time(row["leaves"]),
        "arrives": write_time(row["leaves"] + row["minutes"]),
        "price": row["price"],
        "seats_left": row["seats"] - seats_taken(connection, train_id),
    }


def seats_taken(connection: sqlite3.Connection, train_id: str) -> int:
    question = "SELECT total(units) FROM bookings WHERE domain = 'train' AND name = ? AND cancelled IS NULL"
    return int(connection.execute(question, (train_id,)).fetchone()[0])


def read_city(text: str) -> str:
    """
    Raises:
        Refused: no train stops there.
    """
    city = read_choice(text, CITIES, "station")
    if city is None:
        raise Refused(f"say where: {', '.join(CITIES)}")
    return city


def _is_like(name: str, said: str) -> bool:
    name, said = plain_name(name), plain_name(said)
    return said in name or difflib.SequenceMatcher(None, name, said).ratio() >= _CLOSE


def _without_one(
    rows: list[sqlite3.Row], named: list[sqlite3.Row], wishes: Mapping[str, Any], name: str | None
) -> str:
    """How many would fit without each one of the wishes."""
    counts = {}
    for left_out in wishes:
        others = {column: value for column, value in wishes.items() if column != left_out}
        counts[left_out] = sum(all(row[column] == value for column, value in others.items()) for row in named)
    if name:
        counts["name"] = sum(all(row[column] == value for column, value in wishes.items()) for row in rows)
    found = [f"without {column}: {count}" for column, count in counts.items() if count]
    return f"nothing fits all of it; {', '.join(found)}" if found else "nothing fits"
