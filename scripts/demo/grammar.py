"""Phrase patterns: how every sentence of the demo data is made.

    I'd like [a|some] <food:{food} >food[| please].

    [a|b|c]      one of these, at random; may be nested, may be empty
    <slot:text>  `text`, if the slot has a value; <!slot:text>, if it has none
    {slot}       the slot's value
    {slot=text}  `text`, which stands for the slot's value ("with {parking=free parking}")

A sentence belongs either to training or to test data, by a hash of its words: the two can never share one.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

Side = Literal["train", "test"]

SPOKEN = {"moderate": "moderately priced"}
"""Values that are said otherwise than they are written."""

_CONDITION = re.compile(r"<(!?)(\w+):([^<>]*)>")
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)(?:=([^{}]*))?\}")
_MARK = re.compile(r"\x02(\w+)\x04([^\x03]*)\x03")
_ARTICLE = re.compile(r"\b([Aa]) (?=(?:\x02\w+\x04)?(?:[aeio]|8|11|18|u(?!ni|s)))", re.IGNORECASE)
_PLEASE = re.compile(r"(\bplease\b.*), please(?=[.?!]?$)", re.IGNORECASE)
_SENTENCE = re.compile(r"(?:^|(?<=[.?!] ))[a-z]")


@dataclass(frozen=True)
class Text:
    """A sentence or several; `mentions` are (slot, start, end) of what stands for a slot's value."""

    text: str
    mentions: tuple[tuple[str, int, int], ...] = ()

    @property
    def slots(self) -> list[str]:
        return [slot for slot, _, _ in self.mentions]


def write(patterns: Sequence[str], values: Mapping[str, object], rng: Random) -> Text:
    """The patterns one after the other, with all choices made and all values put in."""
    text = " ".join(_expand(pattern, values, rng) for pattern in patterns)
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r" (?=[,.?!;])", "", text)
    text = _PLEASE.sub(r"\1", text)
    text = _ARTICLE.sub(r"\1n ", text)
    return _read_marks(_SENTENCE.sub(lambda match: match.group().upper(), text))


def write_for(side: Side, make: Callable[[], Text]) -> Text:
    """The first sentence out of `make` that belongs to this side.

    Raises:
        ValueError: the patterns behind `make` have too few forms.
    """
    made = Text("")
    for _ in range(2000):
        made = make()
        if is_held_out(made.text) == (side == "test"):
            return made
    raise ValueError(f"no form of this belongs to {side}: {made.text}")


def is_held_out(text: str) -> bool:
    """Whether a sentence is kept for testing: a quarter of all are."""
    return zlib.crc32(normalise(text).encode()) % 4 == 0


def normalise(text: str) -> str:
    return " ".join(text.lower().split())


def _expand(pattern: str, values: Mapping[str, object], rng: Random) -> str:
    pattern = _CONDITION.sub(lambda match: match[3] if (match[2] in values) != bool(match[1]) else "", pattern)
    while (chosen := _CHOICE.sub(lambda match: rng.choice(match[1].split("|")), pattern)) != pattern:
        pattern = chosen

    def put(match: re.Match[str]) -> str:
        value = str(values[match[1]])
        return f"\x02{match[1]}\x04{match[2] or SPOKEN.get(value, value)}\x03"

    return _SLOT.sub(put, pattern)


def _read_marks(marked: str) -> Text:
    text, mentions, position = "", [], 0
    for match in _MARK.finditer(marked):
        text += marked[position : match.start()]
        mentions.append((match[1], len(text), len(text) + len(match[2])))
        text += match[2]
        position = match.end()
    return Text(text + marked[position:], tuple(mentions))
