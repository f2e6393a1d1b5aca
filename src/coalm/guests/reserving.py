"""Guests who book a table or a room: all said at once or asked for, refused, moved, or changed afterwards."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from coalm.agent.desk.values import read_day, read_time
from coalm.dialogue import Act
from coalm.guests.kinds import HOTEL, RESTAURANT, Kind, Row
from coalm.guests.scene import Scene, facts, give_up, inform, intent, request
from coalm.guests.words import (
    Said,
    alone,
    details,
    draw,
    join,
    money,
    phrase,
    say_day,
    say_number,
    say_time,
    words,
)
from coalm.guests.world import rows_of, take

ORDINALS = ("place_1", "place_2", "place_3")
"""Rules that name one of several offers by its place."""
Booking = Mapping[str, Said]
"""When and for how many, by slot."""


def book(scene: Scene, kind: Kind, row: Row, rule: str, early: Booking | None = None) -> bool:
    """The guest books, in the words of a rule; whether it came to a booking.

    `early` is what was said before there was a place; without a rule, too, the guest does not speak again.
    """
    wanted = early or _draw(scene, kind, row)
    given = list(wanted) if early or scene.chance(0.55) else _some(scene, wanted)
    if rule:
        told = [] if early else [wanted[slot] for slot in given]
        _ask_to_book(scene, kind, row["name"], "book_found" if early and rule == "book_it" else rule, told)
    known = {"name": row["name"], **_ask_missing(scene, kind, wanted, given)}
    answer = _try(scene, kind, known)
    if answer is None:
        return False
    _confirm(scene, kind, answer, known)
    return True


def draw_booking(scene: Scene, kind: Kind) -> Booking:
    """A booking at no place yet."""
    return _draw(scene, kind, scene.random.choice(rows_of(scene.desk, kind.table)))


def _some(scene: Scene, wanted: Booking) -> list[str]:
    return scene.random.sample(list(wanted), scene.random.randrange(3))


def change(scene: Scene, kind: Kind) -> None:
    """The guest wants the last booking otherwise: it is booked anew, then the old one is cancelled."""
    call = next(turn.calls[0] for turn in reversed(scene.turns) if turn.calls)
    booked = [row for row in scene.desk.bookings() if row["name"] == call.arguments.get("name")]
    if call.name != kind.book or len(booked) != 1:
        return
    known: dict[str, str | int] = dict(call.arguments)
    said = _draw_change(scene, kind, known, booked[0])
    text = phrase(scene.random, words()["make"][said.slot], said)
    scene.ask("make_it", inform([said]), kind.book, alone=text)
    known[said.slot] = said.value
    answer = _try(scene, kind, known)
    if answer is not None:
        old = booked[0]["reference"]
        scene.call("cancel_booking", reference=old)
        told = draw(scene.random, "s_changed", old=old)
        _confirm(scene, kind, answer, known, told)


def _ask_to_book(scene: Scene, kind: Kind, name: str, rule: str, told: Sequence[Said]) -> None:
    values = {
        "thing": scene.random.choice(words()["things"][kind.name]),
        "name": name,
        "details": details(scene.random, told, kind is HOTEL),
    }
    acts = [intent(kind.book), *inform(told)]
    if rule == "book_name":
        acts = [intent(kind.book), *inform([Said("name", name, name), *told])]
    else:
        acts = [Act("SELECT", "name", (name,)), *acts]
    if rule in ORDINALS:
        values["place"], rule = draw(scene.random, rule), "book_place"
    scene.ask(rule, acts, kind.book, **values)


def _try(scene: Scene, kind: Kind, known: dict[str, str | int]) -> Row | None:
    """The booking, after as many refusals as the guest bears; `known` is changed to what was booked."""
    for _ in range(4):
        answer = scene.call(kind.book, **known)
        if "error" not in answer:
            return answer
        if not _retry(scene, kind, known, answer["error"]):
            return None
    scene.turns.pop()  # instead of a fifth attempt
    give_up(scene)
    return None


# ── what is booked ────────────────────────────────────────────────────────────────────────────────


def _draw(scene: Scene, kind: Kind, row: Row) -> dict[str, Said]:
    """When and for how many; sometimes it is full then, or closed."""
    random, now = scene.random, scene.desk.now()
    stored = next(one for one in rows_of(scene.desk, kind.table) if one["name"] == row["name"])
    tonight = now.hour < 16 and scene.chance(0.1)
    text = random.choice(["tonight", "today", "this evening"] if kind is RESTAURANT else ["tonight", "today"])
    day = Said("day", text, "today") if tonight else say_day(random, now.date())
    on = read_day(str(day.value), now.date())
    [people] = random.choices(range(1, 9), [2, 6, 3, 5, 2, 2, 1, 1])
    found = {"day": day, "people": say_number(random, "people", people)}
    if kind is HOTEL:
        [nights] = random.choices(range(1, 8), [3, 5, 5, 3, 2, 1, 2])
        if scene.chance(0.22):
            take(scene.desk, "hotel", row["name"], on, stored["rooms"])
        return {**found, "nights": say_number(random, "nights", nights)}
    minutes = _draw_time(scene, stored, 18 * 60 if tonight else stored["opens"])
    if scene.chance(0.2):
        take(scene.desk, "restaurant", row["name"], on, stored["seats"], minutes)
    return {**found, "time": say_time(random, "time", minutes, dinner=True)}


def _draw_time(scene: Scene, stored: Row, earliest: int) -> int:
    """A half hour, or a quarter, at which a restaurant takes guests; rarely one at which it does not."""
    random, last = scene.random, stored["closes"] - 60
    if earliest == stored["opens"] and scene.chance(0.08):
        return int(random.choice([earliest - 60, earliest - 90, last + 60]))
    step = 15 if scene.chance(0.3) else 30
    return random.randrange(-(-earliest // step), last // step + 1) * step


def _draw_change(scene: Scene, kind: Kind, known: Row, booked: Row) -> Said:
    """Another number of people or nights, or another time."""
    slot = scene.random.choice([slot for slot in kind.needs if slot != "day"])
    if slot == "time":
        at = read_time(booked["time"])
        return say_time(scene.random, "time", at + scene.random.choice([-60, -30, 30, 60]), dinner=True)
    return say_number(scene.random, slot, scene.random.choice([n for n in range(1, 8) if n != known[slot]]))


def _ask_missing(scene: Scene, kind: Kind, wanted: Booking, given: Sequence[str]) -> dict[str, str | int]:
    """Questions for what the function needs, until the guest has said all of it."""
    missing = [slot for slot in kind.needs if slot not in given]
    while missing:
        names = {"day": "q_arrival"} if kind is HOTEL else {}
        asked = " ".join(draw(scene.random, names.get(slot, f"q_{slot}")) for slot in missing)
        scene.tell("s_ask", request(missing), questions=asked)
        told = missing if scene.chance(0.8) else missing[: scene.random.randint(1, len(missing))]
        said = [wanted[slot] for slot in told]
        scene.ask("given", inform(said), kind.book, alone=alone(scene.random, said))
        missing = [slot for slot in missing if slot not in told]
    return {slot: wanted[slot].value for slot in kind.needs}


def _confirm(scene: Scene, kind: Kind, answer: Row, known: Row, before: str = "") -> None:
    many = {"people": answer["people"], "nights": known.get("nights", 0)}
    ones = {"people": "1 person" if kind is RESTAURANT else "1 guest", "nights": "1 night"}
    told = {key: ones[key] if count == 1 else f"{count} {key}" for key, count in many.items()}
    values = {**answer, **told, "ref": answer["reference"], "price": money(answer.get("price"))}
    text = draw(scene.random, f"s_booked_{kind.name}", **values)
    acts = [Act("NOTIFY_SUCCESS"), *facts(answer, ["reference"], "INFORM")]
    scene.say(f"{text} {before} {draw(scene.random, 's_anything')}", acts)


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────


def _retry(scene: Scene, kind: Kind, known: dict[str, str | int], error: str) -> bool:
    """The desk refused: the assistant says what is free instead. Whether the guest takes it."""
    offered = _read_refusal(error)
    if not offered:
        scene.tell("s_refused", [Act("NOTIFY_FAILURE")])
        give_up(scene)
        return False
    slot = scene.random.choice(list(offered))
    return _take(scene, kind, known, _propose(scene, str(known["name"]), slot, offered[slot]))


def _read_refusal(error: str) -> dict[str, list[str]]:
    """What a refusal names instead: `hours` of a restaurant, or times, days and other places."""
    if hours := re.search(r"takes guests from (\S+) to (\S+),", error):
        return {"hours": [hours[1], hours[2]]}
    parts = {"time": "free at ", "day": "free from ", "name": "(?:that time|those nights): "}
    found = {slot: re.search(f"{start}([^;]+)", error) for slot, start in parts.items()}
    lists = {slot: re.sub(r" \([^)]*\)", "", one[1]).split(", ") for slot, one in found.items() if one}
    return {slot: values for slot, values in lists.items() if values}


def _propose(scene: Scene, name: str, slot: str, values: Sequence[str]) -> Said:
    """The assistant tells; what the guest would take."""
    random, fail = scene.random, Act("NOTIFY_FAILURE")
    if slot == "hours":
        first, last = values
        scene.tell("s_closed", [fail], name=name, first=first, last=last)
        at = random.randrange(read_time(first) // 30 + 1, read_time(last) // 30) * 30
        return say_time(random, "time", at, dinner=True)
    rule = {"time": "s_full_times", "day": "s_full_days", "name": "s_full_names"}[slot]
    told = join(values, "or")
    acts = [fail, Act("OFFER", slot, tuple(values), tuple(values))]
    scene.tell(rule, acts, name=name, times=told, names=told)
    chosen = random.choice(list(values))
    if slot == "time":
        return say_time(random, "time", read_time(chosen), dinner=True)
    weekday = chosen.split()[0]
    return Said("day", weekday.capitalize(), weekday) if slot == "day" else Said("name", chosen, chosen)


def _take(scene: Scene, kind: Kind, known: dict[str, str | int], said: Said) -> bool:
    """The guest takes what is offered instead, or lets it be."""
    if scene.chance(0.12):
        give_up(scene)
        return False
    if said.slot == "name":
        scene.ask("retry_name", inform([said]), kind.book, name=said.text)
    else:
        scene.ask("retry", inform([said]), kind.book, alone=alone(scene.random, [said]))
    known[said.slot] = said.value
    return True
