"""What is said: sentences drawn from the rules of `guests.yaml`, and values as guests say them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

FILE = Path(__file__).with_name("guests.yaml")
_CHOICE = re.compile(r"\(([^()]*)\)")
_RULE = re.compile(r"<(\w+)>")
_NUMBERS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@dataclass(frozen=True, slots=True)
class Said:
    """A value as the guest says it, and as the desk wants it."""

    slot: str
    text: str
    value: str | int


@cache
def words() -> dict[str, Any]:
    """All of `guests.yaml`."""
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


def draw(random: Random, rule: str, **values: object) -> str:
    """A sentence of a rule, its values filled in.

    Raises:
        KeyError: no such rule, or a value is missing.
    """
    return fill(random, random.choice(words()["rules"][rule]), **values)


def fill(random: Random, text: str, **values: object) -> str:
    """A text with its choices made, its rules drawn and its values filled in."""
    while (found := _RULE.search(text)) or (found := _CHOICE.search(text)):
        if found.re is _RULE:
            drawn = f"({random.choice(words()['rules'][found[1]])})"
        else:
            drawn = random.choice(found[1].split("|"))
        text = f"{text[: found.start()]}{drawn}{text[found.end() :]}"
    return tidy(text.format_map({key: str(value) for key, value in values.items()}))


def tidy(text: str) -> str:
    """Single spaces, none before punctuation, and `a` or `an` by what follows."""
    text = re.sub(r"\ba~ (?=[aeiou])", "an ", text, flags=re.IGNORECASE).replace("a~ ", "a ")
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r" +(?=[,.?!;:])", "", text)
    text = re.sub(r",+(?=[,.?!])|(?<=[.?!]),", "", text)
    text = re.sub(r"\b(1|one) (star|night|guest|seat|ticket)s\b", r"\1 \2", text)
    return re.sub(r"\.\.+", ".", text).strip(" ,")


def start_upper(text: str) -> str:
    """The text with capitals where sentences begin."""
    return re.sub(r"(^|[.?!] )([a-z])", lambda found: found[1] + found[2].upper(), text)


def join(parts: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    return f" {last} ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def without_hello(text: str) -> str:
    """A sentence without the greeting before it: nobody greets twice."""
    hello = "|".join(sorted(words()["rules"]["hello"], key=len, reverse=True))
    return re.sub(rf"^({hello})[,.!] (?=.)", "", text, flags=re.IGNORECASE)


def money(value: Any) -> str:
    """`79` or `8.40`; nothing for None."""
    return "" if value is None else f"{value:g}" if float(value).is_integer() else f"{value:.2f}"


# ── values ────────────────────────────────────────────────────────────────────────────────────────


def say_wish(random: Random, slot: str, value: str | int) -> Said:
    """A wish of a search in one of its wordings: `mid-range` for moderate, `four` for 4."""
    if isinstance(value, int):
        return say_number(random, slot, value)
    forms = words()["surfaces"].get(slot, {}).get(value)
    text = random.choice(forms) if forms else value
    return Said(
        slot, text.capitalize() if text in words()["capitals"] and random.random() < 0.7 else text, value
    )


def say_number(random: Random, slot: str, value: int) -> Said:
    """`4` or `four`."""
    word = value < len(_NUMBERS) and random.random() < 0.45
    return Said(slot, _NUMBERS[value] if word else str(value), value)


def say_day(random: Random, today: date) -> Said:
    """A day within three weeks, and what the desk takes for it: `the 8th of May` is `8 may`."""
    ahead = random.randint(1, 6) if random.random() < 0.85 else random.randint(7, 21)
    day = today + timedelta(days=ahead)
    if ahead == 1 and random.random() < 0.7:
        return Said("day", "tomorrow", "tomorrow")
    if ahead < 7 and random.random() < 0.8:
        name = f"{day:%A}"
        return Said("day", random.choice([name, name, f"this {name}"]) if ahead > 1 else name, name.lower())
    if random.random() < 0.15:
        return Said("day", day.isoformat(), day.isoformat())
    number, month = day.day, _MONTHS[day.month - 1]
    nth = f"{number}{_ending(number)}"
    forms = [
        f"{number} {month}",
        f"{month} {number}",
        f"{nth} {month}",
        f"the {nth} of {month}",
        f"{month} {nth}",
    ]
    return Said("day", random.choice(forms), f"{number} {month.lower()}")


def say_time(random: Random, slot: str, minutes: int, dinner: bool = False) -> Said:
    """A time of day, and the desk's `18:30` for it. At `dinner`, an hour alone is after noon."""
    hour, minute = divmod(minutes, 60)
    value = f"{hour:02d}:{minute:02d}"
    twelve = (hour + 11) % 12 + 1
    half = "am" if hour < 12 else "pm"
    part = "morning" if hour < 12 else "afternoon" if hour < 18 else "evening"
    plain = dinner and 13 <= hour <= 23
    forms = [value, value, f"{hour}:{minute:02d}"]
    spoken = {0: "", 15: "quarter past ", 30: "half past "}
    if minute == 0:
        forms += [
            f"{twelve} {half}",
            f"{twelve}{half}",
            f"{_NUMBERS[twelve]} in the {part}",
            f"{twelve} in the {part}",
        ]
        forms += [str(twelve), f"{_NUMBERS[twelve]} o'clock", _NUMBERS[twelve]] if plain else []
    else:
        forms += [
            f"{twelve}:{minute:02d} {half}",
            f"{twelve}:{minute:02d}{half}",
            f"{twelve}.{minute:02d} {half}",
        ]
        if minute in spoken:
            forms.append(f"{spoken[minute]}{_NUMBERS[twelve]} in the {part}")
            forms += [f"{spoken[minute]}{_NUMBERS[twelve]}", f"{twelve}:{minute:02d}"] if plain else []
        if minute == 45:
            forms.append(f"quarter to {_NUMBERS[twelve % 12 + 1]} in the {part}" if twelve != 11 else value)
    if minutes == 12 * 60:
        forms = [value, "noon", "12 pm", "midday"]
    return Said(slot, random.choice(forms), value)


def _ending(number: int) -> str:
    return "th" if 10 < number < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


# ── phrases ───────────────────────────────────────────────────────────────────────────────────────


def noun_phrase(random: Random, kind: str, wishes: Sequence[Said]) -> str:
    """`cheap thai restaurant in the north`: wishes before the noun or behind it, in any order."""
    found = words()
    noun = random.choice(found["nouns"][kind])
    head, tail = [], []
    for said in wishes:
        if said.slot == "kind":
            noun = said.text
        elif (forms := found["before"][kind].get(said.slot)) and random.random() < 0.65:
            head.append((said.slot != "price", phrase(random, forms, said)))
        else:
            forms = found["on_day"] if said.slot == "day" else found["after"][kind][said.slot]
            tail.append(phrase(random, forms, said))
    before = " ".join(text for _, text in sorted(head))
    random.shuffle(tail)
    behind = " ".join(tail) if len(tail) < 3 or random.random() < 0.5 else ", ".join(tail)
    return tidy(f"{before} {noun} {behind}")


def phrase(random: Random, forms: Sequence[str], said: Said) -> str:
    """One of the forms with what was said in it; `tomorrow` stands alone, and what is one has its own."""
    if said.slot == "day" and said.text.startswith(("tomorrow", "today", "tonight", "this ")):
        return said.text
    if said.value == 1 and (ones := words()["one"].get(said.slot)):
        return str(random.choice(ones))
    if said.slot == "time" and said.text.isalnum() and said.text not in ("noon", "midday"):
        return f"at {said.text}"  # a number alone might be of people
    return random.choice(list(forms)).replace("{v}", said.text)


def alone(random: Random, found: Sequence[Said], forms: Mapping[str, Sequence[str]] | None = None) -> str:
    """Values as an answer: `in the north, something cheap`."""
    table = {**words()["alone"], "day": words()["on_day"], **(forms or {})}
    parts = [phrase(random, table[said.slot], said) for said in found]
    random.shuffle(parts)
    return join(parts) if random.random() < 0.4 else random.choice([", ", " "]).join(parts)


def behind(random: Random, kind: str, found: Sequence[Said]) -> str:
    """Wishes behind `one`: `in the north with parking`."""
    return " ".join(phrase(random, words()["after"][kind][said.slot], said) for said in found)


def details(random: Random, found: Sequence[Said], arrival: bool = False) -> str:
    """What a booking is for, in any order: `for 4 people on friday at 7`."""
    table = {**words()["booked"], "day": words()["from_day" if arrival else "on_day"]}
    parts = [phrase(random, table[said.slot], said) for said in found]
    random.shuffle(parts)
    return " ".join(parts) if random.random() < 0.8 else ", ".join(parts)


def as_typed(random: Random, text: str) -> str:
    """As a guest types it: with capitals or without, with a full stop or without."""
    text = re.sub(r"(\bplease\b.*?),? please\b", r"\1", text)
    case = random.random()
    if case < 0.3:
        text = text.lower()
    elif case < 0.85:
        text = start_upper(text)
    if random.random() < 0.3:
        text = text.rstrip(".?")
    return text
