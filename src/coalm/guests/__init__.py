"""Scripted guests at the travel desk, as a source of CRA: `coalm data build --sources …,coalm.guests:SOURCE`.

    words.py     what is said (`guests.yaml`)        world.py      a real desk with invented places
    scene.py     one conversation, thoughts of `cra`
    venues.py    restaurants, hotels, attractions    journeys.py   trains         bookings.py   list and cancel

Every conversation is played at a desk of its own (`coalm.agent.desk`), so calls, results and refusals are what
the desk answers, and its prompts are those of `coalm chat`. No place is one that the desk ships: what is to be
learned is to copy names from results.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from coalm.agent.desk import Desk
from coalm.agent.tools import AgentTool
from coalm.card import Tally
from coalm.corpora import Part, Plan, Source
from coalm.cra import variation
from coalm.dialogue import Act, Dialogue, Sample, Tool, ToolCall, Turn
from coalm.families.coalm import act_samples
from coalm.guests import bookings, journeys, kinds, taxis, venues
from coalm.guests.scene import Scene
from coalm.guests.words import FILE, draw, fill, words
from coalm.guests.world import open_desk, other_cities

COUNT = 2400
"""Conversations."""
TASKS = {"restaurant": 10, "hotel": 8, "train": 7, "attraction": 1.5, "taxi": 1.5, "bookings": 4}
"""What guests come for, and how often."""
LONG = 2600
"""Characters after which a guest does not begin with something else."""
FOREIGN = 0.5
"""Share of varied lists that are drawn from functions of others, too."""


def conversations(seed: int = 0, count: int = COUNT) -> Iterator[Dialogue]:
    """Yield conversations, the same for the same seed; each lists all functions of the desk, in its order."""
    with tempfile.TemporaryDirectory(prefix="coalm-guests-") as folder:
        path = Path(folder) / "desk.sqlite"
        tools = Desk(path).tools()
        for number in range(count):
            yield _play(path, tools, seed, number)


def vary(dialogue: Dialogue, plan: Plan) -> Dialogue:
    """The dialogue, its list varied as the plan says: shortened, renamed, mixed with functions of others."""
    random = Random(f"{plan.seed}/guests/{dialogue.id}")
    if random.random() >= plan.vary_tools:
        return dialogue
    others = _foreign() if random.random() < FOREIGN else ()
    return variation.vary(replace(dialogue, tools=(*dialogue.tools, *others)), random, plan.most_tools)


def _load(part: Part, plan: Plan, tally: Tally) -> Iterator[Dialogue]:
    for dialogue in conversations(plan.seed):
        tally.services.update(dialogue.services)
        if not plan.services or set(dialogue.services) <= set(plan.services):
            yield dialogue


def _samples(dialogue: Dialogue, plan: Plan) -> Iterable[Sample]:
    return act_samples(dialogue, plan.layout)


SOURCE = Source(
    lambda root: FILE,
    _load,
    _samples,
    lambda dialogue, plan, tally: (vary(dialogue, plan),),
    archived=True,
)


# ── one conversation ──────────────────────────────────────────────────────────────────────────────


def _play(path: Path, tools: Sequence[AgentTool], seed: int, number: int) -> Dialogue:
    random = Random(f"{seed}/guests/{number}")
    desk = open_desk(path, random)
    scene = Scene(random, desk, {tool.name: _at(desk, tool) for tool in tools})
    cities = other_cities(random)
    tasks = random.choices([*TASKS], [*TASKS.values()], k=random.choice([1, 1, 2]))
    if random.random() < 0.06:
        _small_talk(scene)
    elif random.random() < 0.12:
        scene.ask("greet")
        scene.tell("s_greet")
    for task in dict.fromkeys(tasks):
        if sum(len(turn.text) for turn in scene.turns) > LONG:
            break
        _do(scene, task)
        if random.random() < 0.1:
            bookings.cancel_last(scene)
        if random.random() < 0.08:
            scene.ask("thanks", [Act("THANK_YOU")])
            scene.tell("s_welcome", [Act("REQ_MORE")])
    if random.random() < 0.6:
        _part(scene)
    return _rename(scene.dialogue(f"{number:05}"), cities)


def _at(desk: Desk, tool: AgentTool) -> AgentTool:
    """The same tool of another desk; to make it from the desk's function again would take most of the time."""
    return replace(tool, run=lambda arguments: getattr(desk, tool.name)(**arguments))


def _do(scene: Scene, task: str) -> None:
    match task:
        case "train":
            journeys.play(scene)
        case "taxi":
            taxis.play(scene)
        case "bookings":
            bookings.play(scene)
        case _:
            venues.play(scene, next(kind for kind in kinds.ALL if kind.name == task))


def _part(scene: Scene) -> None:
    text = draw(scene.random, "bye")
    said = {"THANK_YOU": "thank" in text, "NEGATE": text.startswith(("no", "Nothing")), "GOODBYE": True}
    scene.user(text, [Act(name) for name, holds in said.items() if holds])
    scene.tell("s_bye", [Act("GOODBYE")])


def _small_talk(scene: Scene) -> None:
    found = scene.random.choice(words()["small_talk"])
    scene.user(fill(scene.random, scene.random.choice(found["say"])))
    scene.say(fill(scene.random, scene.random.choice(found["answer"])))


# ── names ─────────────────────────────────────────────────────────────────────────────────────────


def _rename(dialogue: Dialogue, cities: dict[str, str]) -> Dialogue:
    """The dialogue between other cities. The desk knows but its own, so this comes after it was played."""
    names = cities | {old.lower(): new.lower() for old, new in cities.items()}
    pattern = re.compile(rf"\b({'|'.join(names)})\b")

    def change(text: str) -> str:
        return pattern.sub(lambda found: names[found[1]], text)

    return replace(dialogue, turns=tuple(_rename_turn(turn, change) for turn in dialogue.turns))


def _rename_turn(turn: Turn, change: Callable[[str], str]) -> Turn:
    calls = tuple(ToolCall(call.name, _rename_values(call.arguments, change)) for call in turn.calls)
    return replace(turn, text=change(turn.text), thought=change(turn.thought), calls=calls)


def _rename_values(values: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    return {key: change(value) if isinstance(value, str) else value for key, value in values.items()}


@cache
def _foreign() -> tuple[Tool, ...]:
    """Functions that are none of the desk's."""
    return tuple(_read_tool(text) for text in words()["others"])


def _read_tool(signature: str) -> Tool:
    name, _, rest = signature.rstrip(")").partition("(")
    properties = {slot: {"type": "string"} for slot in rest.split(", ")}
    return Tool(name, "", {"type": "object", "properties": properties, "required": list(properties)})
