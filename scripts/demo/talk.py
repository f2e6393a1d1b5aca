"""A dialogue as it goes on: who says what, with acts, state, calls and results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any

import yaml

from demo.goals import Goal, draw_goal
from demo.grammar import Side, Text, write, write_for
from demo.world import HERE, Row, phone, reference, world

FIND = {
    "restaurant": "FindRestaurant",
    "hotel": "FindHotel",
    "attraction": "FindAttraction",
    "train": "FindTrain",
}
BOOK = {"restaurant": "BookRestaurant", "hotel": "BookHotel", "train": "BookTrain", "taxi": "BookTaxi"}
SHOWN = 2
"""Rows that a search returns at most."""


@dataclass(frozen=True)
class Act:
    name: str
    slot: str = ""
    value: str = ""


@dataclass(frozen=True)
class Part:
    """One thing to say: an act, the patterns for it, and the values that they may use."""

    act: str
    patterns: Sequence[str]
    values: Mapping[str, str] = field(default_factory=dict)
    slots: tuple[str, ...] = ()


@dataclass(frozen=True)
class Turn:
    speaker: str
    service: str
    text: Text
    acts: tuple[Act, ...]
    state: Mapping[str, Mapping[str, str]]
    intent: str = ""
    requested: tuple[str, ...] = ()
    call: tuple[str, Mapping[str, str]] | None = None
    results: tuple[Row, ...] = ()


@dataclass
class Talk:
    """A dialogue under construction.

    `booked` maps the services booked so far to their outcome, `booked_at` to the exchange in which it was.
    """

    side: Side
    rng: Random
    confirming: bool
    turns: list[Turn] = field(default_factory=list)
    state: dict[str, dict[str, str]] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)
    booked: dict[str, Row] = field(default_factory=dict)
    booked_at: dict[str, int] = field(default_factory=dict)
    intent: str = ""

    def user(self, service: str, parts: Sequence[Part], acts: Sequence[Act] = (), forget: bool = False) -> None:
        said = [Act(part.act, slot, value) for part in parts for slot, value in part.values.items()]
        said += [Act(part.act, slot) for part in parts for slot in part.slots]
        said += [Act(part.act) for part in parts if not part.values and not part.slots and part.act]
        text = write_for(self.side, lambda: self._write(parts))
        informed = {act.slot: act.value for act in said if act.name == "INFORM" and act.value != "dontcare"}
        if set(text.slots) != set(informed):
            raise ValueError(f"{text.text!r} tells {text.slots}, not {list(informed)}")
        slots = self.state.setdefault(service, {})
        slots.update({act.slot: act.value for act in said if act.name == "INFORM"})
        requested = tuple(act.slot for act in said if act.name == "REQUEST")
        intent = "NONE" if forget else self.intent
        self.turns.append(Turn("USER", service, text, (*acts, *said), self._snapshot(), intent, requested))

    def system(
        self,
        service: str,
        parts: Sequence[Part],
        call: tuple[str, Mapping[str, str]] | None = None,
        results: Sequence[Row] = (),
    ) -> None:
        pieces = [(part, self._write([part])) for part in parts]
        acts = [act for part, piece in pieces for act in _system_acts(part, piece)]
        text = _join([piece for _, piece in pieces])
        state = self._snapshot()
        self.turns.append(Turn("SYSTEM", service, text, tuple(acts), state, call=call, results=tuple(results)))

    def _write(self, parts: Sequence[Part]) -> Text:
        values = {slot: value for part in parts for slot, value in part.values.items()}
        return write([self.rng.choice(part.patterns) for part in parts], values, self.rng)

    def _snapshot(self) -> dict[str, dict[str, str]]:
        return {service: dict(slots) for service, slots in self.state.items() if slots}


def draw_talk(services: Sequence[str], number: int, side: Side, rng: Random) -> Talk:
    """The dialogue of 6 to 14 turns about these services that comes `number`-th in its corpus.

    In half of them, bookings are read back before they are made.
    """
    while True:
        longest = rng.choice((8, 10, 12, 14))
        talk = Talk(side, rng, confirming=rng.random() < 0.5)
        for service in services:
            places = [goal.place["name"] for goal in talk.goals if "name" in goal.place]
            goal = draw_goal(service, number, rng, places)
            _pursue(talk, goal)
            talk.goals.append(goal)
        _part_ways(talk)
        if 6 <= len(talk.turns) <= longest:
            return talk


# ── the course of a dialogue ──────────────────────────────────────────────────────────────────────


def _pursue(talk: Talk, goal: Goal) -> None:
    if goal.service == "weather":
        _ask_for_weather(talk, goal)
    elif goal.service == "taxi":
        _tell_wishes(talk, goal, BOOK["taxi"])
        _book(talk, goal, dict(goal.wish))
    else:
        _tell_wishes(talk, goal, FIND[goal.service])
        _search(talk, goal)
        if goal.asks:
            _ask_about(talk, goal, last=not goal.booking)
        if goal.booking:
            _choose_and_book(talk, goal)


def _tell_wishes(talk: Talk, goal: Goal, intent: str) -> None:
    """The opening, then one question of the system and its answer for each wish that was left out."""
    talk.intent = intent
    wish = {**goal.wish, **dict([goal.vain] if goal.vain else [])}
    if goal.slip and goal.service == "taxi":
        wish.update([goal.slip])
    told = {slot: wish[slot] for slot in list(wish)[: goal.told]}
    opening = _phrases("user", goal.service, "next" if talk.turns else "find")
    things = _phrases("user", goal.service, "thing")
    patterns = [pattern.replace("{thing}", thing) for pattern in opening for thing in things]
    talk.user(
        goal.service, [Part("INFORM" if told else "", patterns, told)], [Act("INFORM_INTENT", "intent", intent)]
    )
    for slot in list(wish)[goal.told :]:
        _answer(talk, goal.service, slot, wish[slot])


def _answer(talk: Talk, service: str, slot: str, value: str) -> None:
    talk.system(service, [Part("REQUEST", _phrases("system", service, slot), slots=(slot,))])
    section = "dontcare" if value == "dontcare" else service
    patterns = [f"{_phrases('user', 'answer')} {pattern}" for pattern in _phrases("user", section, slot)]
    talk.user(service, [Part("INFORM", patterns, {slot: value})])


def _search(talk: Talk, goal: Goal) -> None:
    service = goal.service
    if goal.vain:
        failure = Part("NOTIFY_FAILURE", _phrases("system", service, "none"))
        talk.system(service, [failure], _find(talk, service))
        slot = goal.vain[0]
        talk.user(service, [Part("INFORM", _phrases("user", "relax", slot), {slot: goal.wish[slot]})])
    offer, count = _phrases("system", service, "offer"), str(len(goal.found))
    parts = [Part("INFORM_COUNT", _phrases("system", "count"), {"count": count})] if goal.found[1:] else []
    parts.append(Part("OFFER", offer, goal.found[0]))
    talk.system(service, parts, _find(talk, service), goal.found[:SHOWN])
    if goal.another:
        talk.user(service, [Part("REQUEST_ALTS", _phrases("user", "another"))])
        talk.system(service, [Part("OFFER", offer, goal.place)])


def _find(talk: Talk, service: str) -> tuple[str, dict[str, str]]:
    return FIND[service], {slot: value for slot, value in talk.state[service].items() if value != "dontcare"}


def _ask_about(talk: Talk, goal: Goal, last: bool) -> None:
    asks = goal.asks
    names = _phrases("user", "request")["names"]
    patterns = _phrases("user", "request", "one" if len(asks) == 1 else "two")
    for number, slot in enumerate(asks, 1):
        name = f"[{'|'.join(names[slot])}]"
        patterns = [pattern.replace(f"{{slot{number}}}", name) for pattern in patterns]
    talk.user(goal.service, [Part("REQUEST", patterns, slots=asks)])
    parts = [Part("INFORM", _phrases("system", "inform", slot), goal.place) for slot in asks]
    talk.system(goal.service, [*parts, *([_more()] if last else [])])


def _choose_and_book(talk: Talk, goal: Goal) -> None:
    """The offer is taken, what the booking needs is told or asked for, then it is booked."""
    service = goal.service
    talk.intent = BOOK[service]
    booking = {**goal.booking, **dict(pair for pair in (goal.full, goal.slip) if pair)}
    told = dict(talk.rng.sample(list(booking.items()), talk.rng.randint(0, len(booking))))
    told = {slot: booking[slot] for slot in booking if slot in told}
    chosen = {} if service == "train" else {"name": goal.place["name"]}
    talk.state[service].update(chosen)
    acts = [Act("SELECT"), Act("INFORM_INTENT", "intent", BOOK[service])]
    talk.user(service, [Part("INFORM" if told else "", _select(service, told), told)], acts)
    for slot in booking:
        if slot not in told:
            _answer(talk, service, slot, booking[slot])
    trip = ("departure", "destination", "day", "leave", "arrive")
    needed = {slot: goal.wish[slot] for slot in trip if slot in goal.wish} if service == "train" else chosen
    _book(talk, goal, {**needed, **goal.booking})


def _select(service: str, told: Mapping[str, str]) -> Sequence[str]:
    plain: Sequence[str] = _phrases("user", service, "select_plain")
    if not told:
        return plain
    bookings = _phrases("user", service, "booking")
    return [p.replace("{booking}", b) for p in _phrases("user", service, "select") for b in bookings]


def _book(talk: Talk, goal: Goal, wanted: dict[str, str]) -> None:
    """Read the booking back, put a slip right, book; where that fails, try what is really wanted."""
    service, confirm = goal.service, _phrases("system", goal.service, "confirm")
    first = {**wanted, **dict(pair for pair in (goal.full, goal.slip) if pair)}
    if talk.confirming or goal.slip:
        talk.system(service, [Part("CONFIRM", confirm, first)])
        if goal.slip:
            slot = goal.slip[0]
            change = Part("INFORM", _phrases("user", "changed", slot), {slot: wanted[slot]})
            talk.user(service, [Part("NEGATE", _phrases("user", "refuse")), change])
            first = wanted
            talk.system(service, [Part("CONFIRM", confirm, first)])
        talk.user(service, [Part("AFFIRM", _phrases("user", "affirm"))])
    if goal.full:
        failure = [Part("NOTIFY_FAILURE", _phrases("system", service, "failure"))]
        talk.system(service, failure, (BOOK[service], first))
        slot = goal.full[0]
        talk.user(service, [Part("INFORM", _phrases("user", service, "retry"), {slot: wanted[slot]})])
    outcome = _outcome(talk, goal)
    success = Part("NOTIFY_SUCCESS", _phrases("system", service, "success"), outcome)
    talk.booked[service], talk.booked_at[service] = outcome, len(talk.turns) // 2
    talk.system(service, [success, _more()], (BOOK[service], wanted), [{**wanted, **outcome}])


def _outcome(talk: Talk, goal: Goal) -> Row:
    if goal.service == "taxi":
        return {"car": talk.rng.choice(world().facts["cars"]), "phone": phone(talk.rng)}
    train = {"trainid": goal.place["trainid"]} if goal.service == "train" else {}
    return {**train, "reference": reference(talk.rng)}


def _ask_for_weather(talk: Talk, goal: Goal) -> None:
    _tell_wishes(talk, goal, "GetWeather")
    sky = world().facts["weather"]
    forecast = {slot: str(talk.rng.choice(sky[slot])) for slot in ("condition", "temperature", "wind")}
    row = {**goal.wish, **forecast}
    answer = Part("INFORM", _phrases("system", "weather", "answer"), row)
    more = [] if goal.asks else [_more()]
    talk.system("weather", [answer, *more], ("GetWeather", dict(goal.wish)), [row])
    if goal.asks:
        _ask_about(talk, Goal("weather", goal.wish, goal.told, goal.asks, found=(row,)), last=True)


def _part_ways(talk: Talk) -> None:
    service = talk.turns[-1].service
    talk.user(service, [Part("THANK_YOU", _phrases("user", "thanks"))], [Act("NEGATE")], forget=True)
    talk.system(service, [Part("GOODBYE", _phrases("system", "goodbye"))])


# ── phrases and texts ─────────────────────────────────────────────────────────────────────────────


@cache
def _book_of_phrases() -> Mapping[str, Any]:
    phrases: Mapping[str, Any] = yaml.safe_load((HERE / "phrases.yaml").read_text(encoding="ascii"))
    return phrases


def _phrases(*keys: str) -> Any:
    found: Any = _book_of_phrases()
    for key in keys:
        found = found[key]
    return found


def _more() -> Part:
    return Part("REQ_MORE", _phrases("system", "more"))


def _system_acts(part: Part, piece: Text) -> list[Act]:
    if part.slots:
        return [Act(part.act, slot) for slot in part.slots]
    told = [
        Act("INFORM" if part.act == "NOTIFY_SUCCESS" else part.act, slot, part.values[slot])
        for slot in piece.slots
    ]
    return [Act(part.act), *told] if part.act == "NOTIFY_SUCCESS" or not told else told


def _join(pieces: Sequence[Text]) -> Text:
    text, mentions = "", []
    for piece in pieces:
        text += " " if text else ""
        mentions += [(slot, start + len(text), end + len(text)) for slot, start, end in piece.mentions]
        text += piece.text
    return Text(text, tuple(mentions))
