"""Dialogues with errors planted: by hand (`transcripts.yaml`), and by machine into any annotated dialogue.

The machine knows nothing of how the checks work: it misspells, swaps, deletes and repeats what is there.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from coalm.calls import read_calls
from coalm.dialogue import Dialogue, Tool, ToolCall, Turn

LABEL = re.compile(r"^(User|Thought|Action|Observation|System):[ ]?(.*)$")


@dataclass(frozen=True)
class Plant:
    """A dialogue that was sound, the question it now fails, and the exchanges where that may show."""

    dialogue: Dialogue
    kind: str
    exchanges: frozenset[int]
    what: str


def exchange(dialogue: Dialogue, turn: int) -> int:
    """Number of the user turn that a turn answers."""
    return sum(t.role == "user" for t in dialogue.turns[: turn + 1])


# ── by hand ───────────────────────────────────────────────────────────────────────────────────────


def transcripts() -> tuple[list[Dialogue], list[Plant]]:
    """The dialogues of `transcripts.yaml` as they should be, and with each of their plants."""
    content = yaml.safe_load(Path(__file__).with_name("transcripts.yaml").read_text(encoding="utf-8"))
    tools = tuple(_tool(name, parameters) for name, parameters in content["tools"].items())
    sound, plants = [], []
    for record in content["dialogues"]:
        sound.append(parse(record["id"], record["text"], tools))
        for number, plant in enumerate(record["plants"]):
            old, new = _lines(plant["old"]), _lines(plant["new"])
            assert record["text"].count(old) >= 1, (record["id"], old)
            start = record["text"].index(old)
            text = record["text"].replace(old, new, 1)
            broken = parse(f"{record['id']}/{number}", text, tools)
            first = record["text"][:start].count("User: ")
            where = range(max(first, 1), first + 1 + new.count("User: "))
            plants.append(Plant(broken, plant["kind"], frozenset(where), new.strip()))
    return sound, plants


def _lines(text: str) -> str:
    return re.sub(r"\n +", "\n", text)


def parse(id: str, text: str, tools: Sequence[Tool]) -> Dialogue:
    """A conversation of labelled lines, one a line."""
    turns: list[Turn] = []
    thought = ""
    for line in text.splitlines():
        match LABEL.match(line.strip()).groups():  # type: ignore[union-attr]
            case "User", said:
                turns.append(Turn("user", said))
            case "Thought", thought:
                continue
            case "Action", written:
                turns.append(Turn("assistant", thought=thought, calls=read_calls(written)))
            case "Observation", seen:
                turns.append(Turn("tool", seen))
            case "System", said:
                turns.append(Turn("assistant", said, thought=thought))
        thought = ""
    return Dialogue(id, "llm", tuple(turns), tools=tuple(tools), services=(id.split("/")[0],))


def _tool(name: str, parameters: dict[str, Any]) -> Tool:
    properties = {}
    for parameter, kind in parameters.items():
        schema = {"type": "string", "enum": kind} if isinstance(kind, list) else {"type": kind}
        properties[parameter.rstrip("?")] = schema
    required = [parameter for parameter in parameters if not parameter.endswith("?")]
    return Tool(name, parameters={"type": "object", "properties": properties, "required": required})


# ── by machine ────────────────────────────────────────────────────────────────────────────────────

Pool = dict[str, list[str]]
"""Values that calls somewhere in a corpus have, by parameter."""


def pool_of(dialogues: Sequence[Dialogue]) -> Pool:
    pool: dict[str, dict[str, None]] = {}
    for dialogue in dialogues:
        for turn in dialogue.turns:
            for call in turn.calls:
                for name, value in call.arguments.items():
                    pool.setdefault(name, {})[value] = None
    return {name: list(values) for name, values in pool.items()}


def plant_all(dialogues: Sequence[Dialogue], pool: Pool, seed: int = 0) -> Iterator[Plant]:
    """One plant in each dialogue where one can be made, the kinds and ways taken in turn."""
    rng = random.Random(seed)
    ways = list(WAYS)
    for number, dialogue in enumerate(dialogues):
        for shift in range(len(ways)):
            way = ways[(number + shift) % len(ways)]
            if planted := way(dialogue, pool, rng):
                turns, place = planted
                broken = replace(dialogue, turns=turns)
                yield Plant(broken, WAYS[way], frozenset({exchange(broken, place)}), way.__name__)
                break


Planted = tuple[tuple[Turn, ...], int] | None


def misspell_function(dialogue: Dialogue, pool: Pool, rng: random.Random) -> Planted:
    def change(name: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        position = rng.randrange(1, len(name) - 1)
        return rng.choice(
            [name[:position] + name[position + 1 :], f"{name}s", f"Do{name}", name.lower()]
        ), arguments

    return _change_call(dialogue, rng, change)


def rename_parameter(dialogue: Dialogue, pool: Pool, rng: random.Random) -> Planted:
    def change(name: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        old = rng.choice(list(arguments))
        new = rng.choice([f"{old}_value", f"the_{old}", old.replace("_", "") + "X"])
        return name, {new if key == old else key: value for key, value in arguments.items()}

    return _change_call(dialogue, rng, change)


def add_parameter(dialogue: Dialogue, pool: Pool, rng: random.Random) -> Planted:
    extra = rng.choice(["user_id", "max_results", "language", "sort_by", "comment"])
    return _change_call(dialogue, rng, lambda name, arguments: (name, {**arguments, extra: "10"}))


def spell_out(dialogue: Dialogue, pool: Pool, rng: random.Random) -> Planted:
    """A date, time, number or truth value as people write it."""
    words = {
        "True": "absolutely",
        "False": "rather not",
        "1": "one",
        "2": "two",
        "3": "three",
        "4": "four",
        "5": "five",
    }

    def change(name: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        found = {}
        for key, value in arguments.items():
            if re.fullmatch(r"\d{4}-\d\d-\d\d", value):
                found[key] = f"{value[8:].lstrip('0')}.{value[5:7].lstrip('0')}."
            elif re.fullmatch(r"\d\d:\d\d", value) and key.split("_")[-1] == "time":
                found[key] = f"{int(value[:2]) % 12 or 12}:{value[3:]} {'pm' if value > '12' else 'am'}"
            elif value in words:
                found[key] = words[value]
        key = rng.choice(list(found)) if found else ""
        return (name, {**arguments, key: found[key]}) if found else None

    return _change_call(dialogue, rng, change)


def garble_choice(dialogue: Dialogue, pool: Pool, rng: random.Random) -> Planted:
    """A listed value with something behind it, or none at all."""
    tools = {tool.name: tool for tool in dialogue.tools}

    def change(name: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        listed = [key for key in arguments if tools[name].properties[key].get("enum")]
        key = rng.choice(listed) if listed else ""
        return (
            (name, {**arguments, key: rng.choice([f"{arguments[key]} or so", [arguments[key]], None])})
            if listed
            else None
        )

    return _change_call(dialogue, rng, change)


def borrow_value(dialogue: Dialogue, pool: Pool, rng: random.Random) -> Planted:
    """A value from another dialogue in place of the right one."""
    return _invent(dialogue, pool, rng, lambda name, arguments: list(arguments))


def add_detail(dialogue: Dialogue, pool: Pool, rng: random.Random) -> Planted:
    """An optional argument that nobody asked for, with a value from another dialogue."""
    tools = {tool.name: tool for tool in dialogue.tools}
    return _invent(
        dialogue, pool, rng, lambda name, arguments: [p for p in tools[name].properties if p not in arguments]
    )


def _invent(dialogue: Dialogue, pool: Pool, rng: random.Random, choose: Any) -> Planted:
    tools = {tool.name: tool for tool in dialogue.tools}
    everything = json.dumps([_plain(turn) for turn in dialogue.turns], ensure_ascii=False).casefold()
    words = dict(
        zip("123456789", ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"], strict=True)
    )

    def change(name: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        found = []
        for key in choose(name, arguments):
            schema = tools[name].properties[key]
            for value in pool.get(key, ()):
                forms = [value.casefold(), *[words[value] for _ in [0] if value in words]]
                if value == schema.get("default") or ("enum" in schema and value not in schema["enum"]):
                    continue
                if value in ("True", "False"):
                    if not any(act.slot == key for turn in dialogue.turns for act in turn.acts):
                        found.append((key, value))
                elif not any(re.search(rf"\b{re.escape(form)}\b", everything) for form in forms):
                    found.append((key, value))
        key, value = rng.choice(found) if found else ("", "")
        return (name, {**arguments, key: value}) if found else None

    return _change_call(dialogue, rng, change)


def _plain(turn: Turn) -> list[Any]:
    acts = [[*act.values, *act.canonical_values] for act in turn.acts]
    return [turn.text, acts, [dict(row) for row in turn.results], [dict(call.arguments) for call in turn.calls]]


def drop_thought(dialogue: Dialogue, pool: Pool, rng: random.Random) -> Planted:
    place = rng.choice([index for index, turn in enumerate(dialogue.turns) if turn.role == "assistant"])
    return _with(dialogue, place, thought=rng.choice(["", " ", "Thought:", "None"])), place


def repeat_call(dialogue: Dialogue, pool: Pool, rng: random.Random) -> Planted:
    """The same call once more after its observation."""
    places = [index for index, turn in enumerate(dialogue.turns) if turn.calls]
    if not places:
        return None
    place = rng.choice(places)
    turns = dialogue.turns
    again = replace(turns[place], thought="It may be better to be on the safe side here.")
    return (*turns[: place + 2], again, *turns[place + 1 :]), place


def ignore_result(dialogue: Dialogue, pool: Pool, rng: random.Random) -> Planted:
    """After an observation, a question that has nothing to do with it."""
    places = [
        index for index, turn in enumerate(dialogue.turns) if index and dialogue.turns[index - 1].role == "tool"
    ]
    if not places:
        return None
    place = rng.choice(places)
    said = rng.choice(
        ["What kind of day are you having?", "Which of the services do you use most?", "Could you say more?"]
    )
    return _with(dialogue, place, text=said, acts=(), thought="The user may have more to say about it."), place


def lose_result(dialogue: Dialogue, pool: Pool, rng: random.Random) -> Planted:
    """Nothing came back, and the thought goes on as if it had."""
    telling = re.compile(r"\b(?:results? came back|returned \d+|found \d+|worked|went through|success)")
    places = [
        index
        for index, turn in enumerate(dialogue.turns)
        if index and dialogue.turns[index - 1].results and telling.search(turn.thought)
    ]
    if not places:
        return None
    place = rng.choice(places)
    emptied = _with(dialogue, place - 1, text="[] (no results)", results=())
    return emptied, place


def drop_required(dialogue: Dialogue, pool: Pool, rng: random.Random) -> Planted:
    tools = {tool.name: tool for tool in dialogue.tools}

    def change(name: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        required = [key for key in tools[name].required if key in arguments]
        gone = rng.choice(required) if required else ""
        return (name, {key: value for key, value in arguments.items() if key != gone}) if required else None

    return _change_call(dialogue, rng, change)


def _change_call(dialogue: Dialogue, rng: random.Random, change: Any) -> Planted:
    places = [index for index, turn in enumerate(dialogue.turns) if turn.calls]
    rng.shuffle(places)
    for place in places:
        call = dialogue.turns[place].calls[0]
        if changed := change(call.name, dict(call.arguments)):
            return _with(dialogue, place, calls=(ToolCall(*changed),)), place
    return None


def _with(dialogue: Dialogue, place: int, **changes: Any) -> tuple[Turn, ...]:
    turns = list(dialogue.turns)
    turns[place] = replace(turns[place], **changes)
    return tuple(turns)


WAYS = {
    misspell_function: "undefined",
    spell_out: "type",
    borrow_value: "hallucination",
    drop_thought: "reasoning",
    rename_parameter: "undefined",
    garble_choice: "type",
    add_detail: "hallucination",
    repeat_call: "reasoning",
    add_parameter: "undefined",
    ignore_result: "reasoning",
    drop_required: "reasoning",
    lose_result: "reasoning",
}
