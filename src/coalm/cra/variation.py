"""CRA dialogues with other tool lists, so that a model reads the list instead of remembering it.

    1. FindRestaurants(cuisine, city)              1. movies.list(town)
    2. FindMovies(location) … of 53                2. restaurant_search(food, town)
    Thought: … so I call FindRestaurants.    ──▶   Thought: … so I call restaurant_search.
    Action: FindRestaurants(city='Arlen')          Action: restaurant_search(town='Arlen')

A list holds the functions that the dialogue calls or thinks of, and others, in any order (`tool_lists.py`). Its
names are the corpus' own, or the same in other words and another style, or functions are masked as Hammer masks
them. Parameters are never masked: a list of CRA has no descriptions (paper, Figure 6), so their names are what
is left to tell a masked function by. All is drawn by seed and dialogue alone.

A name changes wherever it stands: in list, calls, thoughts, annotation, and in what calls return. Words of user
and system stay as they are.

For state tracking, domains and slots get other names and another order in the same way (`vary_states`). There
slots may be masked, as the prompt describes them.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

from coalm.cra.grounded import write_observation
from coalm.dialogue import Dialogue, Domain, State, Tool, ToolCall, Turn
from coalm.sources.tool_lists import MOST, called, draw_tools

KINDS = {"own": 0.35, "words": 0.4, "masked": 0.25}
"""What the names of a list are, and how often."""
MASK_LENGTH = (5, 12)
MASKED_SLOTS = 0.2
"""Share of varied lists of domains whose slots are masked."""
ATTEMPTS = 8
"""Draws of a name in other words before it stays what it is."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
Names = Mapping[str, str]


def vary_some(dialogue: Dialogue, seed: int = 0, share: float = 0.0, most: int = MOST) -> Dialogue:
    """The dialogue, its list varied with probability `share`. `most`: functions of a varied list, unless the
    dialogue needs more.
    """
    random = Random(f"{seed}/tools/{dialogue.id}")
    return vary(dialogue, random, most) if random.random() < share else dialogue


def vary(dialogue: Dialogue, random: Random, most: int = MOST) -> Dialogue:
    """The dialogue with a part of its tools, in another order and, mostly, under other names."""
    thoughts = {word for turn in dialogue.turns for word in re.findall(r"[\w.]*\w", turn.thought)}
    needed = called(dialogue) | thoughts & {tool.name for tool in dialogue.tools}
    dialogue = replace(dialogue, tools=draw_tools(dialogue.tools, needed, random, most))
    [kind] = random.choices([*KINDS], [*KINDS.values()])
    functions = list(dict.fromkeys(tool.name for tool in dialogue.tools))
    slots = list(dict.fromkeys(name for tool in dialogue.tools for name in tool.properties))
    match kind:
        case "words":
            other, style = random.choice(FUNCTION_STYLES), random.choice(PARAMETER_STYLES)
            names = _draw(functions, lambda name: other(*_reword(name, random)))
            return _rename(dialogue, names, _draw(slots, lambda name: style(_rename_slot(name, random))))
        case "masked":
            return _rename(dialogue, _draw(functions, lambda name: _mask(random)), {})
        case _:
            return dialogue


def vary_states(dialogue: Dialogue, seed: int = 0, share: float = 0.0) -> Dialogue:
    """The dialogue, its domains and slots varied with probability `share`: other names, in any order."""
    random = Random(f"{seed}/domains/{dialogue.id}")
    if random.random() >= share:
        return dialogue
    style = random.choice(PARAMETER_STYLES)
    masked = random.random() < MASKED_SLOTS
    domains = _draw(
        [domain.name for domain in dialogue.domains], lambda name: style(_rename_domain(name, random))
    )
    slots = _draw(
        dict.fromkeys(slot.name for domain in dialogue.domains for slot in domain.slots),
        lambda name: _mask(random) if masked else style(_rename_slot(name, random)),
    )
    listed = [_rename_slots(replace(one, name=domains[one.name]), slots, random) for one in dialogue.domains]
    random.shuffle(listed)
    return replace(
        dialogue,
        domains=tuple(listed),
        turns=tuple(replace(turn, state=_rename_state(turn.state, domains, slots)) for turn in dialogue.turns),
    )


def _rename_slots(domain: Domain, names: Names, random: Random) -> Domain:
    slots = [replace(slot, name=names[slot.name]) for slot in domain.slots]
    random.shuffle(slots)
    return replace(domain, slots=tuple(slots))


def _rename_state(state: State | None, domains: Names, slots: Names) -> State | None:
    if state is None:
        return None
    return {domains.get(name, name): _rename_keys(values, slots) for name, values in state.items()}


# ── names ─────────────────────────────────────────────────────────────────────────────────────────


def _draw(names: Iterable[str], new: Callable[[str], str]) -> dict[str, str]:
    """A new name for each; all differ from each other and from those that others had."""
    drawn: dict[str, str] = {}
    used = set(names)
    for name in names:
        tries = (new(name) for _ in range(ATTEMPTS))
        drawn[name] = next((found for found in tries if found == name or found not in used), name)
        used.add(drawn[name])
    return drawn


def _mask(random: Random) -> str:
    """Letters, digits and underscores without a meaning."""
    rest = random.choices(f"{string.ascii_letters}{string.digits}_", k=random.randint(*MASK_LENGTH) - 1)
    return random.choice(string.ascii_letters) + "".join(rest)


def _reword(name: str, random: Random) -> tuple[list[str], list[str]]:
    """What a function does and what with: `FindRestaurants_2` as (search), (restaurant)."""
    verb, *rest = [word.lower() for word in _WORD.findall(name) if not word.isdigit()] or [name]
    others = _names()["verbs"].get(verb, ())
    if others and random.random() < 0.7:
        verb = random.choice(others)
    if rest and random.random() < 0.5:
        rest[-1] = rest[-1].removesuffix("s") if rest[-1].endswith("s") else f"{rest[-1]}s"
    return verb.split(), rest


def _rename_domain(name: str, random: Random) -> list[str]:
    """`Restaurants_1` as (restaurant), (dining) …"""
    words = [word.lower() for word in _WORD.findall(name) if not word.isdigit()] or [name]
    known, name = _names()["domains"], " ".join(words)
    others = known.get(name) or known.get(f"{name}s") or []
    if others and random.random() < 0.6:
        return str(random.choice(others)).split()
    return words


def _rename_slot(name: str, random: Random) -> list[str]:
    others = _names()["parameters"].get(name, ())
    return (random.choice(others) if others and random.random() < 0.5 else name.replace("_", " ")).split()


def _snake(words: Sequence[str]) -> str:
    return "_".join(words)


def _camel(words: Sequence[str]) -> str:
    return words[0] + "".join(map(str.capitalize, words[1:]))


def _pascal(words: Sequence[str]) -> str:
    return "".join(map(str.capitalize, words))


FUNCTION_STYLES: tuple[Callable[[Sequence[str], Sequence[str]], str], ...] = (
    lambda verb, thing: _snake([*verb, *thing]),
    lambda verb, thing: _snake([*thing, *verb]),
    lambda verb, thing: _camel([*verb, *thing]),
    lambda verb, thing: _pascal([*verb, *thing]),
    lambda verb, thing: ".".join(filter(None, [_snake(thing), _snake(verb)])),
)
PARAMETER_STYLES = (_snake, _snake, _camel)


@cache
def _names() -> dict[str, dict[str, list[str]]]:
    text = Path(__file__).with_name("names.yaml").read_text(encoding="utf-8")
    found: dict[str, dict[str, list[str]]] = yaml.safe_load(text)
    return found


# ── dialogues ─────────────────────────────────────────────────────────────────────────────────────


def _rename(dialogue: Dialogue, functions: Names, slots: Names) -> Dialogue:
    written = "|".join(map(re.escape, functions))
    pattern = re.compile(rf"(?<![\w.])(?:{written})(?!\w)")
    return replace(
        dialogue,
        tools=tuple(_rename_tool(tool, functions, slots) for tool in dialogue.tools),
        turns=tuple(_rename_turn(turn, functions, slots, pattern) for turn in dialogue.turns),
    )


def _rename_tool(tool: Tool, functions: Names, slots: Names) -> Tool:
    parameters = {**tool.parameters, "properties": _rename_keys(tool.properties, slots)}
    if "required" in parameters:
        parameters["required"] = [slots.get(name, name) for name in tool.required]
    return replace(tool, name=functions[tool.name], parameters=parameters)


def _rename_turn(turn: Turn, functions: Names, slots: Names, pattern: re.Pattern[str]) -> Turn:
    results = tuple(_rename_keys(row, slots) for row in turn.results)
    observed = turn.role == "tool" and turn.text == write_observation(turn.results)
    return replace(
        turn,
        text=write_observation(results) if observed else turn.text,
        thought=pattern.sub(lambda found: functions[found[0]], turn.thought),
        calls=tuple(
            ToolCall(functions.get(call.name, call.name), _rename_keys(call.arguments, slots))
            for call in turn.calls
        ),
        results=results,
        acts=tuple(replace(act, slot=slots.get(act.slot, act.slot)) for act in turn.acts),
        intents=tuple(functions.get(name, name) for name in turn.intents),
    )


def _rename_keys(values: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """The mapping under new keys. One that has a new name as a key already keeps what would collide."""
    renamed = {key: names.get(key, key) for key in values}
    taken = list(renamed.values())
    return {key if taken.count(new) > 1 else new: values[key] for key, new in renamed.items()}
