"""Utterances as SNIPS publishes them: `<Intent>/train_<Intent>_full.json` and `validate_<Intent>.json`.

An utterance is a list of pieces of text; a piece that is a slot's value names the slot as its `entity`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import yaml

from demo.files import write_json
from demo.grammar import Side, Text, normalise, write, write_for
from demo.world import HERE

TRAIN, VALIDATE = 108, 22
"""Utterances of an intent."""


def write_corpus(folder: Path) -> None:
    content = yaml.safe_load((HERE / "snips.yaml").read_text(encoding="ascii"))
    for intent, facts in content["intents"].items():
        values = {**content["values"], **facts.get("values", {})}
        train = _draw(intent, facts["patterns"], values, "train", TRAIN)
        held_out = _draw(intent, facts["patterns"], values, "test", VALIDATE)
        home = folder / "2017-06-custom-intent-engines" / intent
        write_json(home / f"train_{intent}_full.json", {intent: train}, levels=2)
        write_json(home / f"validate_{intent}.json", {intent: held_out}, levels=2)


def _draw(
    intent: str, patterns: Sequence[str], values: Mapping[str, Sequence[str]], side: Side, count: int
) -> list[dict[str, Any]]:
    """`count` different utterances, all patterns in turn."""
    rng = Random(f"snips {intent} {side}")
    found: dict[str, Text] = {}
    while len(found) < count:
        pattern = patterns[len(found) % len(patterns)]
        text = write_for(side, partial(_write, pattern, values, rng))
        found.setdefault(normalise(text.text), text)
    rows = list(found.values())
    rng.shuffle(rows)
    return [{"data": _pieces(text)} for text in rows]


def _write(pattern: str, values: Mapping[str, Sequence[str]], rng: Random) -> Text:
    return write([pattern], {slot: rng.choice(pool) for slot, pool in values.items()}, rng)


def _pieces(text: Text) -> list[dict[str, str]]:
    pieces: list[dict[str, str]] = []
    position = 0
    for slot, start, end in text.mentions:
        pieces += [{"text": text.text[position:start]}] if position < start else []
        pieces.append({"text": text.text[start:end], "entity": slot})
        position = end
    return [*pieces, {"text": text.text[position:]}] if position < len(text.text) else pieces
