"""Talks as MultiWOZ 2.4 in its original layout, with the venue database and the turns at which bookings are.

`data.json` holds a test and a small validation set; slots are named as there (`arriveBy`, `book people`),
values are lower case, and each system turn's `metadata` is the state after the user's words before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from demo.files import write_json
from demo.goals import Goal
from demo.talk import Talk, Turn, draw_talk
from demo.world import Row, world

TEST, VALIDATION = 40, 4
MIXES = (
    ("restaurant",),
    ("hotel",),
    ("train",),
    ("attraction", "taxi"),
    ("restaurant", "taxi"),
    ("hotel", "restaurant"),
    ("attraction", "restaurant"),
    ("train", "hotel"),
)
SEMI = {
    "taxi": ("leaveAt", "destination", "departure", "arriveBy"),
    "restaurant": ("food", "pricerange", "name", "area"),
    "hotel": ("name", "area", "parking", "pricerange", "stars", "internet", "type"),
    "attraction": ("type", "name", "area"),
    "train": ("leaveAt", "destination", "day", "arriveBy", "departure"),
}
BOOK = {
    "taxi": (),
    "restaurant": ("people", "day", "time"),
    "hotel": ("people", "day", "stay"),
    "attraction": (),
    "train": ("people",),
}
_NAMES = {
    "leave": "leaveAt",
    "arrive": "arriveBy",
    "trainid": "trainID",
    "car": "car type",
    "fee": "entrance fee",
}
_ACT_SLOTS = {
    "pricerange": "Price",
    "departure": "Depart",
    "destination": "Dest",
    "address": "Addr",
    "postcode": "Post",
    "reference": "Ref",
    "trainid": "Id",
    "price": "Ticket",
    "duration": "Time",
    "count": "Choice",
}
_GENERAL = {"REQ_MORE": "general-reqmore", "THANK_YOU": "general-thank", "GOODBYE": "general-bye"}
_ACTS = {
    "INFORM": "Inform",
    "REQUEST": "Request",
    "OFFER": "Recommend",
    "INFORM_COUNT": "Inform",
    "CONFIRM": "Inform",
}


def write_benchmark(folder: Path) -> None:
    rng = Random("multiwoz")
    talks = {
        f"DEMO{number + 1:04d}": draw_talk(MIXES[number % len(MIXES)], number, "test", rng)
        for number in range(TEST + VALIDATION)
    }
    data = folder / "MULTIWOZ2.4"
    write_json(data / "data.json", {f"{name}.json": _dialogue(talk) for name, talk in talks.items()}, levels=3)
    write_json(data / "ontology.json", _ontology(talks.values()))
    names = [f"{name}.json\n" for name in talks]
    (data / "testListFile.json").write_text("".join(names[:TEST]), encoding="ascii")
    (data / "valListFile.json").write_text("".join(names[TEST:]), encoding="ascii")
    booked = {name.lower(): _booked_by_turn(talk) for name, talk in talks.items()}
    write_json(folder / "mwzeval" / "booked_domains.json", booked)
    _write_database(folder / "db")


def _dialogue(talk: Talk) -> dict[str, Any]:
    log = []
    for number, turn in enumerate(talk.turns):
        metadata = {} if turn.speaker == "USER" else _metadata(talk, turn, number // 2)
        log.append({"text": turn.text.text, "metadata": metadata, "dialog_act": _dialog_act(turn)})
    return {"goal": {goal.service: _goal(goal) for goal in talk.goals}, "log": log}


def _metadata(talk: Talk, turn: Turn, exchange: int) -> dict[str, Any]:
    metadata = {}
    for domain in SEMI:
        state = {_NAMES.get(slot, slot): value.lower() for slot, value in turn.state.get(domain, {}).items()}
        done = domain in talk.booked and talk.booked_at[domain] <= exchange
        booked = [dict(talk.booked[domain])] if done else []
        metadata[domain] = {
            "semi": {slot: state.get(slot, "") for slot in SEMI[domain]},
            "book": {**{slot: state.get(slot, "") for slot in BOOK[domain]}, "booked": booked},
        }
    return metadata


def _dialog_act(turn: Turn) -> dict[str, list[list[str]]]:
    acts: dict[str, list[list[str]]] = {}
    for act in turn.acts:
        name, slot = _act_name(turn, act.name), _ACT_SLOTS.get(act.slot, act.slot.capitalize())
        if name and act.slot != "intent":
            value = act.value or ("?" if act.name == "REQUEST" else "none")
            acts.setdefault(name, []).append([slot or "none", value])
    return acts


def _act_name(turn: Turn, act: str) -> str | None:
    domain = turn.service.capitalize()
    match act:
        case "NOTIFY_FAILURE":
            return "Booking-NoBook" if turn.call and turn.call[0].startswith("Book") else f"{domain}-NoOffer"
        case "NOTIFY_SUCCESS":
            return "Booking-Book"
        case _:
            return _GENERAL.get(act) or (f"{domain}-{_ACTS[act]}" if act in _ACTS else None)


def _goal(goal: Goal) -> dict[str, Any]:
    info = {_NAMES.get(slot, slot): value.lower() for slot, value in goal.wish.items() if value != "dontcare"}
    row: dict[str, Any] = {
        "info": info,
        "fail_info": {**info, goal.vain[0]: goal.vain[1].lower()} if goal.vain else {},
    }
    if goal.asks:
        row["reqt"] = [_NAMES.get(slot, slot) for slot in goal.asks]
    if goal.service == "taxi":
        row["reqt"] = ["car type", "phone"]
    if goal.booking:
        book = {slot: value.lower() for slot, value in goal.booking.items()}
        row["book"] = {**book, "invalid": bool(goal.full)}
        row["fail_book"] = {**book, goal.full[0]: goal.full[1].lower()} if goal.full else {}
    return row


def _booked_by_turn(talk: Talk) -> list[list[str]]:
    """The domains with a reference after each system turn; a taxi has none."""
    referenced = [domain for domain, outcome in talk.booked.items() if "reference" in outcome]
    exchanges = range(len(talk.turns) // 2)
    return [
        sorted(domain for domain in referenced if talk.booked_at[domain] <= exchange) for exchange in exchanges
    ]


def _ontology(talks: Any) -> dict[str, list[str]]:
    values: dict[str, set[str]] = {}
    for talk in talks:
        for turn in talk.turns:
            for domain, slots in turn.state.items():
                for slot, value in slots.items():
                    name = f"book {slot}" if slot in BOOK[domain] else _NAMES.get(slot, slot)
                    values.setdefault(f"{domain}-{name}", {"none"}).add(value.lower())
    return {slot: sorted(found) for slot, found in sorted(values.items())}


def _write_database(folder: Path) -> None:
    tables: dict[str, Any] = {
        name: [_venue(name, n, row) for n, row in enumerate(rows)] for name, rows in world().tables.items()
    }
    facts = world().facts
    colours, makes = zip(*(car.split(" ") for car in facts["cars"]), strict=True)
    tables["taxi"] = [
        {
            "taxi_colors": sorted(set(colours)),
            "taxi_types": sorted({make.lower() for make in makes}),
            "taxi_phone": ["^01555 [0-9]{6}$"],
        }
    ]
    for name, rows in tables.items():
        write_json(folder / f"{name}_db.json", rows)


def _venue(table: str, number: int, row: Row) -> Mapping[str, Any]:
    venue = {
        _NAMES.get(slot, slot): value if slot == "trainid" else value.lower() for slot, value in row.items()
    }
    if table == "train":
        return venue
    venue["id"] = str(number)
    if table == "hotel":
        venue["takesbookings"] = "yes"
    if table == "restaurant":
        venue["type"] = "restaurant"
    return venue
