"""Dates, times and numbers that an English text mentions, however they are written.

    said = Mentions.of("Book it for two on the 9th, at half past 5 in the evening.")
    said.has_date(date(2019, 3, 9)), said.has_time("17:30"), said.has_number(2)

What is left open stays open: `the 9th` is that day of any month, `5:30` morning and evening, `Friday` any
Friday, and `tomorrow` any date unless it is known what day it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

DAY = 24 * 60
NEAR = 14
"""Days in which the next Friday lies, or Friday next week."""


def _split(words: str) -> list[str]:
    return words.split()


_MONTHS = _split("january february march april may june july august september october november december")
_WEEKDAYS = _split("monday tuesday wednesday thursday friday saturday sunday")
_UNITS = _split(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_TENS = _split("twenty thirty forty fifty sixty seventy eighty ninety")
_ORDINALS = _split(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)
_NUMBERS = {word: number for number, word in enumerate(_UNITS)}
_NUMBERS |= {word: 10 * number for number, word in enumerate(_TENS, 2)}
_AMOUNTS = _NUMBERS | {"hundred": 100, "thousand": 1000, "couple": 2, "pair": 2, "dozen": 12, "single": 1}
_DAYS = {word: number for number, word in enumerate(_ORDINALS, 1)}
_DAYS |= {
    f"{ten}-{word}": 10 * tens + n for tens, ten in ((2, "twenty"), (3, "thirty")) for word, n in _DAYS.items()
}

_MONTH = rf"(?P<month>{'|'.join(rf'{name[:3]}(?:{name[3:]})?' for name in _MONTHS)}|sept)\b\.?"
_NTHS = "|".join(sorted(_DAYS, key=len, reverse=True))
_NTH = rf"(?P<day>\d{{1,2}}(?:st|nd|rd|th)?|{_NTHS})\b"
_YEAR = r"(?:,? (?P<year>(?:19|20)\d\d)\b)?"
_HOUR = rf"(?P<hour>\d{{1,2}}|{'|'.join(_UNITS[1:13])})"
_HALF = r"(?P<half>[ap])\.? ?m\b\.?"
_PARTS = "morning|afternoon|evening|night"
_PART = rf"(?P<part>{_PARTS})\b"
_REST = rf"(?: ?{_HALF}|,? in the {_PART})?"

# Tried in this order; what one of them took, the next ones do not see.
_DATES = tuple(
    re.compile(pattern)
    for pattern in (
        r"\b(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)\b",
        r"\b(?P<month>\d{1,2})/(?P<day>\d{1,2})(?:/(?P<year>\d{4}))?\b",
        rf"\b{_MONTH} (?:the )?{_NTH}{_YEAR}",
        rf"\b{_NTH} (?:day )?(?:of )?{_MONTH}{_YEAR}",
        r"\b(?P<day>\d{1,2})(?:st|nd|rd|th)\b",
        rf"\bthe (?P<day>{_NTHS})\b(?! (?:one|option|result|row|choice))",
    )
)
_TIMES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\b(?P<shift>half|quarter) (?P<way>past|to|after|before) {_HOUR}\b{_REST}",
        rf"\b{_PART},? (?:at )?{_HOUR}(?::(?P<minute>[0-5]\d))?\b(?!:)",
        rf"(?<![:.\d]){_HOUR}:(?P<minute>[0-5]\d)(?::\d\d)?\b{_REST}",
        rf"(?<![$:.\d]){_HOUR}\.(?P<minute>[0-5]\d) ?{_HALF}",
        rf"\b{_HOUR} ?{_HALF}",
        rf"\b{_HOUR} ?o['’\"]? ?clock\b{_REST}",
        rf"\b{_HOUR} in the {_PART}",
        rf"\b(?:at|by|around|about|after|before|from|until|till) {_HOUR}\b(?!:| [a-z]+s\b)",
        r"\b(?P<word>noon|midday|midnight)\b",
    )
)
_HALF_OF = {"morning": "a", "afternoon": "p", "evening": "p"}  # at night it can be either
_NUMBER = re.compile(r"(?<![\w.])\$?(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)(?!\w)")
_WORDS = re.compile(rf"\b(?:{'|'.join(_AMOUNTS)})(?:(?:[ -]|,? and )(?:{'|'.join(_AMOUNTS)}))*\b")
_WEEKDAY = re.compile(rf"\b(?P<name>{'|'.join(rf'{name[:3]}(?:{name[3:]})?' for name in _WEEKDAYS)})\b")
_RELATIVE = re.compile(
    rf"\b(?P<far>day after tomorrow)|\b(?P<next>tomorrow)|\b(?P<now>today|tonight|this (?:{_PARTS}))\b"
)


@dataclass(frozen=True, slots=True)
class Mentions:
    """What one text says. Dates are (year, month, day) with None for what it leaves open, times minutes."""

    dates: frozenset[tuple[int | None, int | None, int]]
    weekdays: frozenset[int]
    offsets: frozenset[int]  # days from today
    times: frozenset[int]
    numbers: frozenset[float]

    @staticmethod
    @lru_cache(maxsize=4096)
    def of(text: str) -> Mentions:
        """What `text` mentions. A number that is part of a date or time is no number of its own."""
        text = text.casefold()
        weekdays = {
            next(i for i, day in enumerate(_WEEKDAYS) if day[:3] == found["name"][:3])
            for found in _WEEKDAY.finditer(text)
        }
        offsets = {2 if found["far"] else 1 if found["next"] else 0 for found in _RELATIVE.finditer(text)}
        dates, text = _take(text, _DATES)
        times, text = _take(text, _TIMES)
        return Mentions(
            frozenset(map(_read_date, dates)),
            frozenset(weekdays),
            frozenset(offsets),
            frozenset(minute for found in times for minute in _read_time(found)),
            frozenset(_read_numbers(text)),
        )

    def has_date(self, day: date, today: date | None = None) -> bool:
        """Whether this day is meant by some date, weekday or `tomorrow` in the text."""
        if any(
            year in (None, day.year) and month in (None, day.month) and day.day == number
            for year, month, number in self.dates
        ):
            return True
        if today is None:
            return bool(self.offsets) or day.weekday() in self.weekdays
        near = timedelta() <= day - today <= timedelta(NEAR)
        return (near and day.weekday() in self.weekdays) or any(
            today + timedelta(n) == day for n in self.offsets
        )

    def has_time(self, clock: str) -> bool:
        """Whether this time (`17:30`) is meant by some time in the text."""
        hour, minute = clock.split(":")[:2]
        return (60 * int(hour) + int(minute)) % DAY in self.times

    def has_number(self, number: float) -> bool:
        return number in self.numbers


def _take(text: str, patterns: tuple[re.Pattern[str], ...]) -> tuple[list[re.Match[str]], str]:
    """All matches, and the text without them."""
    found: list[re.Match[str]] = []
    for pattern in patterns:
        matches = list(pattern.finditer(text))
        found += matches
        for match in matches:
            text = f"{text[: match.start()]}{'|' * len(match[0])}{text[match.end() :]}"
    return found, text


def _read_date(found: re.Match[str]) -> tuple[int | None, int | None, int]:
    parts = found.groupdict()
    month = parts.get("month")
    if month and not month.isdecimal():
        number = next(index for index, name in enumerate(_MONTHS, 1) if name[:3] == month[:3])
    else:
        number = int(month) if month else 0
    day = parts["day"]
    return (
        int(parts["year"]) if parts.get("year") else None,
        number or None,
        _DAYS[day] if day in _DAYS else int(re.sub(r"\D", "", day)),
    )


def _read_time(found: re.Match[str]) -> Iterator[int]:
    """Minutes since midnight: one reading with am, pm or 13 and more hours, else two."""
    parts = found.groupdict()
    if word := parts.get("word"):
        yield 0 if word == "midnight" else DAY // 2
        return
    hour = _NUMBERS[parts["hour"]] if parts["hour"] in _NUMBERS else int(parts["hour"])
    minutes = 60 * hour + int(parts.get("minute") or 0)
    if shift := parts.get("shift"):
        step = 30 if shift == "half" else 15
        minutes += step if parts["way"] in ("past", "after") else -step
    half = parts.get("half") or _HALF_OF.get(parts.get("part") or "")
    if hour > 12:
        yield minutes % DAY
        return
    if half != "p":
        yield minutes % (DAY // 2)
    if half != "a":
        yield minutes % (DAY // 2) + DAY // 2


def _read_numbers(text: str) -> Iterator[float]:
    for found in _NUMBER.finditer(text):
        yield float(found["digits"].replace(",", ""))
    for found in _WORDS.finditer(text):
        yield _add_up(re.findall(r"[a-z]+", found[0]))


def _add_up(words: list[str]) -> int:
    """`one thousand seven hundred and thirty` as 1730."""
    total = current = 0
    for word in words:
        amount = _AMOUNTS.get(word, 0)
        if amount == 1000:
            total, current = total + max(current, 1) * 1000, 0
        elif amount == 100:
            current = max(current, 1) * 100
        else:
            current += amount
    return total + current
