"""The talks as Schema-Guided Dialogue files: `sgd/{train,dev,test}/schema.json` and `dialogues_001.json`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

from demo.files import write_json
from demo.grammar import Side
from demo.talk import Act, Talk, Turn, draw_talk
from demo.world import HERE

SIZES: dict[str, tuple[int, Side]] = {"train": (160, "train"), "dev": (4, "test"), "test": (8, "test")}
MIXES = (
    ("restaurant",),
    ("hotel",),
    ("attraction",),
    ("train",),
    ("restaurant", "taxi"),
    ("hotel", "taxi"),
    ("restaurant",),
    ("hotel",),
    ("weather",),
    ("attraction", "taxi"),
    ("train",),
    ("weather", "train"),
    ("restaurant", "attraction"),
    ("hotel", "restaurant"),
    ("attraction",),
    ("train", "hotel"),
    ("taxi",),
)
"""What the dialogues are about, in turn."""


def write_corpus(folder: Path) -> None:
    for number, (split, (size, side)) in enumerate(SIZES.items()):
        rng = Random(f"sgd {split}")
        talks = [draw_talk(MIXES[index % len(MIXES)], index, side, rng) for index in range(size)]
        rows = [_dialogue(f"{number + 1}_{index:05d}", talk) for index, talk in enumerate(talks)]
        write_json(folder / split / "schema.json", _schema(), levels=4)
        write_json(folder / split / "dialogues_001.json", rows, levels=4)


def _dialogue(name: str, talk: Talk) -> dict[str, Any]:
    services = list(dict.fromkeys(turn.service for turn in talk.turns))
    return {"dialogue_id": name, "services": services, "turns": [_turn(turn) for turn in talk.turns]}


def _turn(turn: Turn) -> dict[str, Any]:
    spans = [
        {"slot": slot, "start": start, "exclusive_end": end}
        for slot, start, end in turn.text.mentions
        if slot != "count" and slot not in _categorical(turn.service)
    ]
    frame: dict[str, Any] = {
        "service": turn.service,
        "actions": [_action(act) for act in turn.acts],
        "slots": spans,
    }
    if turn.speaker == "USER":
        frame["state"] = {
            "active_intent": turn.intent,
            "requested_slots": list(turn.requested),
            "slot_values": {slot: [value] for slot, value in turn.state.get(turn.service, {}).items()},
        }
    if turn.call:
        frame["service_call"] = {"method": turn.call[0], "parameters": dict(turn.call[1])}
        frame["service_results"] = [dict(row) for row in turn.results]
    return {"speaker": turn.speaker, "utterance": turn.text.text, "frames": [frame]}


def _action(act: Act) -> dict[str, Any]:
    values = [act.value] if act.value else []
    return {"act": act.name, "slot": act.slot, "values": values, "canonical_values": values}


@cache
def _services() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((HERE / "services.yaml").read_text(encoding="ascii"))
    return services


@cache
def _categorical(service: str) -> frozenset[str]:
    slots = _services()[service]["slots"]
    return frozenset(name for name, (_, *values) in slots.items() if values)


def _schema() -> list[dict[str, Any]]:
    return [
        {
            "service_name": name,
            "description": service["description"],
            "slots": [_slot(slot, *facts) for slot, facts in service["slots"].items()],
            "intents": [_intent(intent, *facts) for intent, facts in service["intents"].items()],
        }
        for name, service in _services().items()
    ]


def _slot(name: str, description: str, values: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "name": name,
        "description": description,
        "is_categorical": bool(values),
        "possible_values": list(values),
    }


def _intent(
    name: str, description: str, required: list[str], optional: list[str], results: list[str]
) -> dict[str, Any]:
    return {
        "name": name,
        "description": description,
        "is_transactional": name.startswith("Book"),
        "required_slots": required,
        "optional_slots": dict.fromkeys(optional, "dontcare"),
        "result_slots": results,
    }
