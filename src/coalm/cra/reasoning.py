"""The fourth question of Appendix D, about thoughts: those that are empty or at odds with their step.

empty_thought, empty_step       nothing is thought; nothing is said or called
denied_call, other_function     the thought rules out the call that it makes, or announces another
announced_call                  the thought announces a call, and words follow
other_value                     dates, times or listed values in thought and call exclude each other
wrong_outcome, wrong_count      the thought takes an empty result for a full one, or miscounts
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from coalm.cra.findings import Finding, Place
from coalm.cra.mentions import Mentions
from coalm.cra.phrases import (
    announces_call,
    counted_results,
    denies_call,
    sees_nothing,
    sees_something,
    sentences,
)
from coalm.cra.support import count_results, fold, is_time, key, read_date
from coalm.dialogue import Tool, ToolCall

Tools = Mapping[str, Sequence[Tool]]
"""Tools by name. Services may share a function's name and parameters, and differ in the values they take."""

_PLACEHOLDERS = frozenset({"", "thought", "none", "n a", "no thought", "null", "todo", "empty"})


def check_thought(place: Place, tools: Tools, today: date | None = None) -> Iterator[Finding]:
    """What is wrong with the thought of an assistant's turn."""
    turn = place.turn
    if not turn.calls and not turn.text.strip():
        yield place.text("empty_step", "neither a call nor words")
    if fold(turn.thought).removeprefix("thought ") in _PLACEHOLDERS:
        yield place.thought("empty_thought", "nothing is thought")
        return
    yield from _check_claims(place, tools)
    if turn.calls:
        yield from _check_moments(place, today)
        yield from _check_choices(place, tools)
    else:
        yield from _check_outcome(place)


def _check_claims(place: Place, tools: Tools) -> Iterator[Finding]:
    """Whether the call that is made, or not made, is the one that the thought speaks of."""
    called = {call.name for call in place.turn.calls}
    for found in sentences(place.turn.thought):
        named = {name for name in re.findall(r"\w+", found[0]) if name in tools}
        if called and (not named or named & called) and denies_call(found[0]):
            yield place.thought("denied_call", "the thought rules out a call, and a call follows", found.span())
        elif announces_call(found[0]):
            if not called:
                yield place.thought(
                    "announced_call", "the thought announces a call, words follow", found.span()
                )
            elif named and not named & called:
                why = f"the thought announces {_names(named)}, the call is of {_names(called)}"
                yield place.thought("other_function", why, found.span())


def _names(names: set[str]) -> str:
    return " and ".join(sorted(names))


def _check_moments(place: Place, today: date | None) -> Iterator[Finding]:
    """Whether the days and times of the thought are others than those of the calls, all of them."""
    values = [value for call in place.turn.calls for value in call.arguments.values()]
    days = [day for day in map(read_date, values) if day]
    times = [value for value in values if is_time(value)]
    if not days and not times:
        return
    said = Mentions.of(place.turn.thought)
    if (
        days
        and (said.dates or said.weekdays or said.offsets)
        and not any(said.has_date(d, today) for d in days)
    ):
        yield place.thought("other_value", f"the call is for {days[0]}, the thought speaks of another day")
    if times and said.times and not any(map(said.has_time, times)):
        yield place.thought("other_value", f"the call is for {times[0]}, the thought speaks of another time")


def _check_choices(place: Place, tools: Tools) -> Iterator[Finding]:
    """Whether the thought names another one of the values that a parameter can take."""
    thought = f" {fold(place.turn.thought)} "
    for call in place.turn.calls:
        rest = thought
        for value in call.arguments.values():
            rest = rest.replace(f" {key(value)} ", "  ")
        for name, value in call.arguments.items():
            if f" {key(value)} " not in thought and (other := _other_choice(rest, call, name, value, tools)):
                why = f"the call has {value!r} as {name}, the thought speaks of {other!r}"
                yield place.thought("other_value", why)


def _other_choice(words: str, call: ToolCall, name: str, value: Any, tools: Tools) -> str | None:
    schemas = [tool.properties.get(name) or {} for tool in tools.get(call.name, ())]
    choices = [str(choice) for schema in schemas for choice in schema.get("enum", ())]
    telling = [choice for choice in choices if len(choice) > 3 and key(choice) != key(value)]
    return next((choice for choice in telling if f" {key(choice)} " in words), None)


def _check_outcome(place: Place) -> Iterator[Finding]:
    """What the thought makes of the observation before it: whether there is something, and how much."""
    observed = place.dialogue.turns[place.index - 1]
    count = count_results(observed) if place.index and observed.role == "tool" else None
    if count is None:
        return
    for found in sentences(place.turn.thought):
        told = counted_results(found[0])
        if count and sees_nothing(found[0]):
            why = f"the thought sees nothing, and there are {count} results"
            yield place.thought("wrong_outcome", why, found.span())
        elif not count and not sees_nothing(found[0]) and sees_something(found[0]):
            yield place.thought("wrong_outcome", "the thought sees a result, and there is none", found.span())
        elif count and told not in (None, count):
            why = f"the thought counts {told} results, and there are {count}"
            yield place.thought("wrong_count", why, found.span())
