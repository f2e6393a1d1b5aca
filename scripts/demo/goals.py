"""What the user of a dialogue wants: drawn so that Wrenford can grant it, with some setbacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from demo.world import Row, world

BOOKED_SLOTS = {
    "restaurant": ("people", "day", "time"),
    "hotel": ("people", "day", "stay"),
    "train": ("people",),
}
_WISHES = {
    "restaurant": {"food": 1.0, "area": 0.6, "pricerange": 0.5},
    "hotel": {"area": 1.0, "type": 0.5, "pricerange": 0.4, "stars": 0.3, "parking": 0.25, "internet": 0.25},
    "attraction": {"type": 1.0, "area": 0.6},
}
_CAN_BE_ANY = {
    "restaurant": ("area", "pricerange"),
    "hotel": ("type", "stars", "pricerange"),
    "attraction": ("area",),
}
_ASKED = {
    "restaurant": ("phone", "address", "postcode"),
    "hotel": ("phone", "address", "postcode"),
    "attraction": ("phone", "address", "postcode", "fee"),
    "train": ("price", "duration", "trainid"),
    "weather": ("wind",),
}
_FULL_SLOT = {"restaurant": "time", "hotel": "day"}


@dataclass(frozen=True)
class Goal:
    """One service's part of a dialogue.

    `wish` holds what is searched for, in the order told; the first `told` of it in the opening. `vain` is
    a slot's value that is asked for first and finds nothing, `full` one that cannot be booked at first,
    `slip` one that is put right when the booking is read back. `found` is what the search finds, in the order
    in which it is offered.
    """

    service: str
    wish: Mapping[str, str]
    told: int
    asks: tuple[str, ...] = ()
    another: bool = False
    found: Sequence[Row] = ()
    booking: Mapping[str, str] = field(default_factory=dict)
    vain: tuple[str, str] | None = None
    full: tuple[str, str] | None = None
    slip: tuple[str, str] | None = None

    @property
    def place(self) -> Row:
        """What is chosen in the end; empty where nothing is searched for."""
        return self.found[self.another] if self.found else {}


def draw_goal(service: str, number: int, rng: Random, places: Sequence[str] = ()) -> Goal:
    """A goal for `service`; a taxi goes to or from the last of `places`, if there are any.

    `number` picks the venue, so that a series of dialogues gets round to all of them.
    """
    match service:
        case "taxi":
            return _taxi_goal(rng, places)
        case "weather":
            wish = {"city": rng.choice(world().facts["towns"]), "day": rng.choice(world().facts["days"])}
            return Goal(service, _shuffled(wish, rng), rng.choice((1, 1, 2)), asks=_asks(service, rng, 0.6))
        case "train":
            return _train_goal(rng)
        case _:
            return _venue_goal(service, number, rng)


def _venue_goal(service: str, number: int, rng: Random) -> Goal:
    venues = world().tables[service]
    venue = venues[number % len(venues)]
    wish = {slot: venue[slot] for slot, chance in _WISHES[service].items() if rng.random() < chance}
    wish = {slot: value for slot, value in wish.items() if value != "no"}
    amenities = [slot for slot in ("parking", "internet") if slot in wish]
    wish = {slot: wish[slot] for slot in [*amenities, *_shuffled(wish, rng)]}
    told = rng.randint(max(1, len(amenities)), len(wish))
    for slot in _CAN_BE_ANY[service]:
        if slot not in wish and rng.random() < 0.3:
            wish[slot] = "dontcare"
    found = sorted(world().search(service, wish), key=lambda row: row != venue)
    another = len(found) > 1 and rng.random() < 0.35
    booking = _booking(service, rng) if service in BOOKED_SLOTS and rng.random() < 0.75 else {}
    full = _other_value(_FULL_SLOT[service], booking, rng) if booking and rng.random() < 0.2 else None
    slip = _other_value("people", booking, rng) if booking and not full and rng.random() < 0.15 else None
    asks = _asks(service, rng, 0.35 if booking else 1)
    vain = _vain(service, wish, told, rng) if rng.random() < 0.25 else None
    return Goal(service, wish, told, asks, another, found, booking, vain, full, slip)


def _train_goal(rng: Random) -> Goal:
    train = rng.choice(world().tables["train"])
    wish = {slot: train[slot] for slot in ("departure", "destination", "day")}
    times = world().facts["times"]
    slot = rng.choice(("leave", "arrive"))
    fitting = [time for time in times if world().search("train", {**wish, slot: time})]
    wish = _shuffled({**wish, slot: rng.choice(fitting)}, rng)
    booking = _booking("train", rng) if rng.random() < 0.7 else {}
    slip = _other_value("people", booking, rng) if booking and rng.random() < 0.15 else None
    found = world().search("train", wish)
    offered = found[-1:] if slot == "arrive" else found[:1]
    asks = _asks("train", rng, 0.3 if booking else 1)
    return Goal("train", wish, rng.randint(1, 4), asks, False, offered, booking, slip=slip)


def _taxi_goal(rng: Random, places: Sequence[str]) -> Goal:
    names = [row["name"] for table in ("hotel", "attraction") for row in world().tables[table]]
    ends = [*places[-1:], *rng.sample([name for name in names if name not in places], 2)][:2]
    rng.shuffle(ends)
    wish = {"departure": ends[0], "destination": ends[1]}
    wish[rng.choice(("leave", "arrive"))] = rng.choice(world().facts["times"])
    slip = _other_value("leave", wish, rng) if "leave" in wish and rng.random() < 0.15 else None
    return Goal("taxi", _shuffled(wish, rng), rng.randint(1, 3), slip=slip)


def _booking(service: str, rng: Random) -> dict[str, str]:
    return {slot: rng.choice(_values(slot)) for slot in BOOKED_SLOTS[service]}


def _values(slot: str) -> list[str]:
    facts = world().facts
    pools = {"day": facts["days"], "time": facts["times"], "leave": facts["times"]}
    return pools.get(slot) or [str(number) for number in range(2, 7 if slot == "stay" else 9)]


def _other_value(slot: str, values: Mapping[str, str], rng: Random) -> tuple[str, str]:
    return slot, rng.choice([value for value in _values(slot) if value != values[slot]])


def _asks(service: str, rng: Random, chance: float) -> tuple[str, ...]:
    known = _ASKED[service]
    return tuple(rng.sample(known, rng.randint(1, min(2, len(known))))) if rng.random() < chance else ()


def _vain(service: str, wish: Mapping[str, str], told: int, rng: Random) -> tuple[str, str] | None:
    """A value for one of the wishes told at first, with which nothing is found."""
    for slot in rng.sample(list(wish)[:told], told):
        if slot not in ("food", "area", "pricerange"):
            continue
        others = {row[slot] for row in world().tables[service]} - {wish[slot]}
        vain = [value for value in sorted(others) if not world().search(service, {**wish, slot: value})]
        if vain:
            return slot, rng.choice(vain)
    return None


def _shuffled(wish: Mapping[str, str], rng: Random) -> dict[str, str]:
    return dict(rng.sample(list(wish.items()), len(wish)))
