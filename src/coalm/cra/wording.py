"""From annotation to English: names of intents and slots, lists of values, sentences drawn by seed.

The words themselves stand in `thoughts.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import yaml

DONT_CARE = "dontcare"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Pair(NamedTuple):
    """A slot and its value, as the corpus writes them."""

    slot: str
    value: str


class Template(NamedTuple):
    text: str
    needs: frozenset[str]


class Thought:
    """A thought in the making. What is drawn depends on `key` alone, so neither on order nor on processes."""

    def __init__(self, key: str) -> None:
        self._number = int.from_bytes(blake2b(key.encode(), digest_size=16).digest(), "big")
        self._text: list[str] = []
        self._skeleton: list[str] = []

    @property
    def text(self) -> str:
        return " ".join(self._text)

    @property
    def skeleton(self) -> str:
        """The text with placeholders where something was filled in."""
        return " ".join(self._skeleton)

    def say(self, kind: str, **values: str | None) -> None:
        """Add a sentence of this kind, one that needs nothing but the values that are given (not None)."""
        template = self._draw("thoughts", kind, values)
        self._skeleton.append(template)
        self._text.append(template.format_map(values))

    def say_user(self, deeds: Sequence[tuple[str, dict[str, str]]]) -> None:
        """Add what the user did: `The user thanks me and wants to find a hotel.` Nothing for no deeds."""
        if not deeds:
            return
        drawn = [(self._draw("user", kind, values), values) for kind, values in deeds]
        self._skeleton.append(f"The user {enumerate_words([template for template, _ in drawn])}.")
        filled = [template.format_map(values) for template, values in drawn]
        self._text.append(f"The user {enumerate_words(filled)}.")

    def _draw(self, section: str, kind: str, values: dict[str, Any]) -> str:
        given = {name for name, value in values.items() if value is not None}
        fitting = [template.text for template in _templates(section)[kind] if template.needs <= given]
        self._number, index = divmod(self._number, len(fitting))
        return fitting[index]


# ── names ─────────────────────────────────────────────────────────────────────────────────────────


def known_goal(service: str, intent: str) -> str:
    """What an intent does, as a verb phrase of ours: `find a restaurant`. Empty where we have none."""
    goals = _words()["goals"]
    return str(goals.get(f"{service}/{intent}") or goals.get(intent, ""))


def goal(intent: str, description: str = "") -> str:
    """The same for any intent, from its schema's description, or else from its name."""
    return _lower(description.rstrip(". ")) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", intent).lower()


def noun(slot: str) -> str:
    """`the check-in date`, `live music`."""
    flag = _words()["flags"].get(slot)
    return str(flag[0]) if flag else f"the {label(slot)}"


def question(slot: str) -> str:
    """`the check-in date`, `whether there is live music`."""
    flag = _words()["flags"].get(slot)
    return f"whether {flag[1]}" if flag else f"the {label(slot)}"


@cache
def label(slot: str) -> str:
    """`check-in date`."""
    known = _words()["labels"].get(slot)
    return str(known) if known else slot.replace("_", " ").removesuffix(" name")


def is_flag(slot: str) -> bool:
    return slot in _words()["flags"]


# ── lists of slots and values ─────────────────────────────────────────────────────────────────────


def nouns(slots: Sequence[str]) -> str:
    """`the city and live music`."""
    return enumerate_words([noun(slot) for slot in slots])


def questions(slots: Sequence[str]) -> str:
    """`the city and whether there is live music`."""
    return enumerate_words([question(slot) for slot in slots])


def pairs(found: Sequence[Pair]) -> str:
    """`the city (Arlen) and live music (yes)`."""
    return enumerate_words([f"{noun(slot)} ({_short(value)})" for slot, value in found])


def pairs_values_first(found: Sequence[Pair]) -> str:
    """`Arlen as the city and no preference for the cuisine`."""
    return enumerate_words([_value_first(pair) for pair in found])


def wishes(found: Sequence[Pair]) -> str:
    """`the city is Arlen and live music is wanted`."""
    return enumerate_words([_wish(pair) for pair in found])


def facts(found: Sequence[Pair]) -> str:
    """`the city is Arlen and there is live music`."""
    return enumerate_words([_fact(pair) for pair in found])


def details(found: Sequence[Pair]) -> str:
    """`city: Arlen, date: 2019-03-01`."""
    names = [noun(slot) if is_flag(slot) else label(slot) for slot, _ in found]
    return ", ".join(f"{name}: {_short(pair.value)}" for name, pair in zip(names, found, strict=True))


def enumerate_words(words: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _short(value: str) -> str:
    return {"True": "yes", "False": "no", DONT_CARE: "any"}.get(value, value)


def _value_first(pair: Pair) -> str:
    if pair.value == DONT_CARE:
        return f"no preference for {noun(pair.slot)}"
    if is_flag(pair.slot):
        return f"{'a' if pair.value == 'True' else 'no'} wish for {noun(pair.slot)}"
    return f"{pair.value} as the {label(pair.slot)}"


def _wish(pair: Pair) -> str:
    if pair.value == DONT_CARE:
        return f"{noun(pair.slot)} does not matter"
    if is_flag(pair.slot):
        return f"{noun(pair.slot)} is {'' if pair.value == 'True' else 'not '}wanted"
    return f"the {label(pair.slot)} is {pair.value}"


def _fact(pair: Pair) -> str:
    flag = _words()["flags"].get(pair.slot)
    if flag and pair.value in ("True", "False"):
        return str(flag[1] if pair.value == "True" else flag[2])
    return f"the {label(pair.slot)} is {_short(pair.value)}"


def _lower(text: str) -> str:
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


# ── the file ──────────────────────────────────────────────────────────────────────────────────────


@cache
def _words() -> dict[str, Any]:
    text = (Path(__file__).parent / "thoughts.yaml").read_text(encoding="utf-8")
    words: dict[str, Any] = yaml.safe_load(text)
    return words


@cache
def _templates(section: str) -> dict[str, tuple[Template, ...]]:
    return {
        kind: tuple(Template(text, frozenset(_PLACEHOLDER.findall(text))) for text in texts)
        for kind, texts in _words()[section].items()
    }
