"""A conversation while it is played: who says what, calls at the real desk, and the thoughts of `cra`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from coalm.agent.desk import Desk
from coalm.agent.running import run_tool
from coalm.agent.tools import AgentTool
from coalm.cra.grounded import ground
from coalm.dialogue import Act, Dialogue, Tool, ToolCall, Turn
from coalm.guests.words import Said, as_typed, draw, start_upper, tidy, without_hello, words

_SPOKEN = {
    "leave_after": "earliest time of departure",
    "arrive_by": "latest time of arrival",
    "leaves": "departure_time",
    "arrives": "arrival_time",
    "night_price": "price_per_night",
    "train_id": "train",
    "fee": "entrance fee",
    "opens": "opening time",
    "closes": "closing time",
    "phone": "phone number",
    "seats_left": "number of free seats",
}
"""Slots under names that `cra/thoughts.yaml` has words for."""


@dataclass(slots=True)
class Scene:
    """One conversation with one desk. `service` is what is spoken of now."""

    random: Random
    desk: Desk
    tools: Mapping[str, AgentTool]
    service: str = ""
    turns: list[Turn] = field(default_factory=list)
    services: list[str] = field(default_factory=list)

    def speak_of(self, service: str) -> None:
        """From now on it is about this."""
        self.service = service
        if service not in self.services:
            self.services.append(service)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def user(self, text: str, acts: Sequence[Act] = (), function: str = "") -> None:
        """The guest says something, which may be about what a function does."""
        acts = tuple(replace(act, service=self.service) for act in acts)
        text = without_hello(text) if self.turns else text
        self.turns.append(
            Turn("user", as_typed(self.random, text), acts=acts, intents=(function,) if function else ())
        )

    def ask(self, rule: str, acts: Sequence[Act] = (), function: str = "", /, **values: object) -> None:
        """The guest says a sentence of a rule."""
        self.user(draw(self.random, rule, **values), acts, function)

    def call(self, function: str, /, **given: str | int) -> dict[str, Any]:
        """The assistant calls a function of the desk; what it answers, or `{"error": …}`."""
        tool = self.tools[function]
        arguments = {name: given[name] for name in tool.tool.properties if name in given}
        self.turns.append(Turn("assistant", calls=(ToolCall(function, arguments),)))
        text = run_tool(tool, arguments).text
        answer: dict[str, Any] = json.loads(text)
        self.turns.append(Turn("tool", text, results=_results(answer)))
        return answer

    def say(self, text: str, acts: Sequence[Act] = ()) -> None:
        """The assistant says something."""
        acts = tuple(replace(act, service=self.service) for act in acts)
        self.turns.append(Turn("assistant", start_upper(tidy(text)), acts=acts))

    def tell(self, rule: str, acts: Sequence[Act] = (), /, **values: object) -> None:
        """The assistant says a sentence of a rule."""
        self.say(draw(self.random, rule, **values), acts)

    def dialogue(self, id: str) -> Dialogue:
        """All that was said, with thoughts, as a chat at the desk would have it."""
        tools = tuple(tool.tool for tool in self.tools.values())
        context = Turn("system", self.desk.context())
        made = Dialogue(id, "guests", (context, *self.turns), tools, services=tuple(self.services))
        return _think(made)


# ── acts ──────────────────────────────────────────────────────────────────────────────────────────


def inform(found: Iterable[Said]) -> list[Act]:
    """The guest gives these; that there is to be wifi or parking is a yes, however it is said."""
    return [
        Act("INFORM", said.slot, (str(said.value) if said.value == "yes" else said.text,), (str(said.value),))
        for said in found
    ]


def facts(row: Mapping[str, Any], slots: Iterable[str], act: str = "OFFER") -> list[Act]:
    """The assistant offers or tells these of a row."""
    return [Act(act, slot, (str(row[slot]),), (str(row[slot]),)) for slot in slots if slot in row]


def request(slots: Iterable[str]) -> list[Act]:
    """Somebody asks for these."""
    return [Act("REQUEST", slot) for slot in slots]


def intent(function: str) -> Act:
    """The guest wants what a function does."""
    return Act("INFORM_INTENT", "intent", (function,))


def give_up(scene: Scene) -> None:
    """The guest lets it be."""
    scene.ask("give_up", [Act("NEGATE")])
    scene.tell("s_gave_up", [Act("REQ_MORE")])


# ── thoughts ──────────────────────────────────────────────────────────────────────────────────────


def _think(dialogue: Dialogue) -> Dialogue:
    """The dialogue with the thoughts that `ground` has for its twin."""
    thoughts = [turn.thought for turn in ground(_twin(dialogue)).turns]
    turns = [
        replace(turn, thought=thought, results=(), acts=())
        for turn, thought in zip(dialogue.turns, thoughts, strict=True)
    ]
    return replace(dialogue, turns=tuple(turns))


def _twin(dialogue: Dialogue) -> Dialogue:
    """The dialogue as a corpus would annotate it: all values are text, slots and goals in words."""
    goals = words()["goals"]
    return replace(
        dialogue,
        tools=tuple(_twin_tool(tool, goals[tool.name]) for tool in dialogue.tools),
        turns=tuple(
            replace(
                turn,
                calls=tuple(ToolCall(call.name, _spoken(call.arguments)) for call in turn.calls),
                results=tuple(map(_spoken, turn.results)),
                acts=tuple(replace(act, slot=_SPOKEN.get(act.slot, act.slot)) for act in turn.acts),
            )
            for turn in dialogue.turns
        ),
    )


def _twin_tool(tool: Tool, goal: str) -> Tool:
    properties = {_SPOKEN.get(name, name): schema for name, schema in tool.properties.items()}
    required = [_SPOKEN.get(name, name) for name in tool.required]
    return Tool(tool.name, goal, {"type": "object", "properties": properties, "required": required})


def _spoken(row: Mapping[str, Any]) -> dict[str, str]:
    return {_SPOKEN.get(key, key): str(value) for key, value in row.items()}


def _results(answer: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The rows of an answer, and an empty one for each that was found and is not shown."""
    for value in answer.values():
        if isinstance(value, list):
            return (*value, *({} for _ in range(int(answer.get("found", 0)) - len(value))))
    return (answer,)
