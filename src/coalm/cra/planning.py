"""The fourth question of Appendix D, about the plan: calls that are incomplete or needless.

missing_parameter      a call without a parameter that it has to have
repeated_call          the same call again, and nothing can have changed since
unanswered_call        no result of the call is there
unused_result          the answer has nothing of what came back
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import takewhile
from typing import Any

from coalm.cra.findings import Finding, Place
from coalm.cra.mentions import Mentions
from coalm.cra.phrases import statements, tells_failure
from coalm.cra.reasoning import Tools
from coalm.cra.support import Support, count_results, fold, key, leaves, rows_of
from coalm.dialogue import Dialogue, ToolCall, Turn

_LOOKUPS = frozenset({"check", "fetch", "find", "get", "list", "look", "lookup", "query", "search", "show"})


def check_plan(dialogue: Dialogue, tools: Tools, today: date | None = None) -> Iterator[Finding]:
    """What is wrong with the calls of a dialogue as steps on the way to answers."""
    seen: dict[str, int] = {}  # calls of the function that was called last -> turn
    last = ""
    for index, turn in enumerate(dialogue.turns):
        place = Place(dialogue, index)
        for number, call in enumerate(turn.calls):
            if call.name != last:  # another function may have changed what this one returns
                seen, last = {}, call.name
            written = _write(call)
            if written in seen:
                why = f"the same call was made in turn {seen[written]}, and nothing can have changed since"
                yield place.call(number, "reasoning", "repeated_call", why)
            seen[written] = index
            yield from _check_parameters(place, number, tools)
        if turn.calls:
            yield from _check_use(place, today)


def _write(call: ToolCall) -> str:
    return f"{call.name} {sorted((name, key(value)) for name, value in call.arguments.items())}"


def _check_parameters(place: Place, number: int, tools: Tools) -> Iterator[Finding]:
    """Required parameters that are missing, unless others have been made up in their place."""
    call = place.turn.calls[number]
    missing: list[str] = []
    for tool in tools.get(call.name, ()):
        names = [name for name in tool.required if name not in call.arguments]
        unknown = [name for name in call.arguments if name not in tool.properties]
        missing.append(" and ".join(names) if len(names) > len(unknown) else "")
    if missing and all(missing):
        yield place.call(number, "reasoning", "missing_parameter", f"{call.name} needs {min(missing, key=len)}")


# ── results ───────────────────────────────────────────────────────────────────────────────────────


def _check_use(place: Place, today: date | None) -> Iterator[Finding]:
    """Whether each call of a turn has a result, and whether what follows until the user speaks uses these."""
    following = place.dialogue.turns[place.index + 1 :]
    observed = list(takewhile(lambda turn: turn.role == "tool", following))
    if len(observed) < len(place.turn.calls):
        yield place.call(len(observed), "reasoning", "unanswered_call", "no result of the call is observed")
        return
    steps = list(takewhile(lambda turn: turn.role != "user", following[len(observed) :]))
    if not _uses(steps, place.turn.calls, observed, today):
        yield place.call(0, "reasoning", "unused_result", "the answer has nothing of what came back")


def _uses(
    steps: Sequence[Turn], calls: Sequence[ToolCall], observed: Sequence[Turn], today: date | None
) -> bool:
    """Whether steps tell a value or the number of results, or that it failed, or call with a value.

    Of something that was done, and not looked up, any statement is enough: `Your cab is on its way`.
    """
    said = " ".join(turn.text for turn in steps)
    rows = [row for turn in observed for row in rows_of(turn)]
    count = sum(count_results(turn) or 0 for turn in observed)
    if tells_failure(said) or Mentions.of(said).has_number(count):
        return True
    looked_up = rows and all(_looks_up(call, count) for call in calls)
    if not looked_up and _states_something(said):
        return True
    asked = {key(value) for call in calls for value in call.arguments.values()}
    found = {key(value): value for row in rows for _, value in leaves(row) if key(value) not in asked}
    return _calls_with(found, steps) or _tells(found, said, today)


def _looks_up(call: ToolCall, results: int) -> bool:
    """Whether a call asks for something rather than does it; `GetRide` and its like, with one result, do."""
    verb = re.split(r"(?<=[a-z])(?=[A-Z])|_", call.name)[0].lower()
    return verb in _LOOKUPS and (verb != "get" or results != 1)


def _states_something(said: str) -> bool:
    return any(" " in fold(clause) for clause in statements(said)) or (bool(fold(said)) and "?" not in said)


def _calls_with(found: dict[str, Any], steps: Sequence[Turn]) -> bool:
    return any(
        key(value) in found for turn in steps for call in turn.calls for value in call.arguments.values()
    )


def _tells(found: dict[str, Any], said: str, today: date | None) -> bool:
    support = Support(today)
    support.follow(Turn("assistant", said))
    return any(map(support.says, found.values()))
