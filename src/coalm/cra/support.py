"""Whether a value follows from what has been said and observed so far in a dialogue.

    support = Support(today=date(2019, 3, 1))
    support.follow(turn)                                   # every turn, in order
    support.holds("city", "Palo Alto", schema)

Support is text of the user and of the system, `values` and `canonical_values` of the annotated acts, and all
that calls returned, with the rows that were not shown. Thoughts and earlier calls support nothing. Case,
accents, punctuation, and the ways to write a date, a time or a number do not matter.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

from coalm.cra.mentions import Mentions
from coalm.dialogue import Turn

SMALL = 20
"""Up to here a number is found in almost any dialogue, so that its parameter has to be looked at."""
ANY = "dontcare"


class Support:
    """What has been said and observed so far; `today` is the day of the conversation, where it is known."""

    def __init__(self, today: date | None = None) -> None:
        self._today = today
        self._acts: defaultdict[str, set[str]] = defaultdict(set)  # slot -> keys
        self._rows: list[Mapping[str, Any]] = []
        self._found: defaultdict[str, set[str]] = defaultdict(set)  # slot -> keys of the rows that were read
        self._texts: list[str] = []
        self._words = " "

    def follow(self, turn: Turn) -> None:
        """Take in what a turn says or observes."""
        for act in turn.acts:
            self._acts[act.slot].update(map(key, act.values), map(key, act.canonical_values))
        rows = rows_of(turn)
        self._rows += rows
        if turn.text and not (turn.role == "tool" and rows):
            self._texts.append(turn.text)

    def holds(self, slot: str, value: Any, schema: Mapping[str, Any]) -> bool:
        """Whether the value of a parameter follows; its default always does, and a list if all of it does."""
        if value is None or ("default" in schema and key(value) == key(schema["default"])):
            return True
        if isinstance(value, Mapping):
            return all(self.holds(str(name), part, {}) for name, part in value.items())
        if isinstance(value, Sequence) and not isinstance(value, str):
            return all(self.holds(slot, part, schema.get("items") or {}) for part in value)
        wanted = key(value)
        if wanted in self._acts.get(slot, ()):
            return True
        if _is_common(wanted):
            unspoken = slot not in self._acts
            return wanted in self._results().get(slot, ()) or (unspoken and self._hints(slot, wanted))
        annotated = any(wanted in keys for keys in self._acts.values())
        return annotated or any(wanted in keys for keys in self._results().values()) or self.says(value)

    def _results(self) -> Mapping[str, set[str]]:
        """Keys of all values in the rows so far; rows are read when they are first asked for."""
        for row in self._rows:
            for slot, value in leaves(row):
                self._found[slot].add(key(value))
        self._rows.clear()
        return self._found

    def _said(self) -> str:
        """All words so far, with a space at both ends; texts are read when they are first asked for."""
        for text in self._texts[self._words.count("\n") :]:
            self._words += f"{fold(text)} \n "
        return self._words

    def _hints(self, slot: str, wanted: str) -> bool:
        """Whether the text speaks of the thing, for values that are everywhere: small numbers, yes, no, any."""
        if wanted.isdecimal():
            return wanted == "1" or any(Mentions.of(text).has_number(float(wanted)) for text in self._texts)
        said = self._said()
        things = [word for word in fold(slot).split() if word not in _words()["beside"]]
        return f" {wanted} " in said or any(
            f" {t.rstrip('s')[:4]}" in said or _is_meant(t, said) for t in things
        )

    def says(self, value: Any) -> bool:
        """Whether some text gives the value: as a date, time, number, or in its words."""
        said, wanted = self._said(), key(value)
        if f" {wanted} " in said or _is_named(wanted, said) or _is_meant(wanted, said):
            return True
        mentions = [Mentions.of(text) for text in self._texts]
        if (day := read_date(value)) is not None:
            return any(mention.has_date(day, self._today) for mention in mentions)
        if is_time(value):
            return any(mention.has_time(value) for mention in mentions)
        if re.fullmatch(r"-?\d+(\.\d+)?", wanted):
            return any(mention.has_number(float(wanted)) for mention in mentions)
        return False


def _is_common(wanted: str) -> bool:
    """Yes, no, any and small numbers: they stand in almost any dialogue, for one thing or another."""
    return wanted in ("true", "false", "yes", "no", ANY) or (
        wanted.isdecimal() and len(wanted) < 3 and int(wanted) <= SMALL
    )


def _is_named(wanted: str, said: str) -> bool:
    """Whether a name of several words is said in part: without those that people leave out, or most of it."""
    words = wanted.split()
    kept = [word for word in words if word not in _words()["left_out"] and not word.isdecimal()]
    if len(kept) == 1:
        return len(words) > 1 and f" {kept[0]} " in said
    least = max(2, (len(kept) + 1) // 2)
    runs = (kept[start : start + least] for start in range(len(kept) - least + 1))
    return any(f" {' '.join(run)} " in said for run in runs)


def _is_meant(wanted: str, said: str) -> bool:
    """Whether it is said in other words: `pasta` for `Italian`."""
    return any(f" {words} " in said for words in _words()["meanings"].get(wanted, ()))


@cache
def _words() -> Mapping[str, Any]:
    text = (Path(__file__).parent / "concepts.yaml").read_text(encoding="utf-8")
    words: dict[str, Any] = yaml.safe_load(text)
    return words


# ── values ────────────────────────────────────────────────────────────────────────────────────────


def key(value: Any) -> str:
    """What is compared: `4.50` and `4.5`, `$1,420` and `1420`, `True` and `true`, `Napa` and `napa` are one."""
    return _key(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


@lru_cache(maxsize=1 << 16)
def _key(text: str) -> str:
    plain = text.strip().removeprefix("$").replace(",", "")
    if number := re.fullmatch(r"(-?)0*(\d+)(?:\.(\d*?)0*)?", plain):
        sign, whole, rest = number.groups()
        return f"{sign}{whole}.{rest}" if rest else f"{sign}{whole}"
    return fold(text) or text


def fold(text: str) -> str:
    """Lower-case words apart by single spaces, without accents and apostrophes."""
    text = text.casefold().replace("&", " and ")
    if not text.isascii():
        text = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return " ".join(re.sub(r"[^\w]+|_", " ", re.sub("['’]s\\b|['’]", "", text)).split())


def read_date(value: Any) -> date | None:
    """The day of `2019-03-01`, also with a time behind it; None for anything else."""
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d(?:[T ]\S+)?", value):
        return None
    try:
        return date.fromisoformat(value[:10])
    except ValueError:
        return None


def is_time(value: Any) -> bool:
    """Whether it is a time of day, `17:30` or `17:30:00`; `24:00` is midnight."""
    return isinstance(value, str) and bool(
        re.fullmatch(r"(?:([01]?\d|2[0-3]):[0-5]\d|24:00)(?::[0-5]\d)?", value)
    )


# ── observations ──────────────────────────────────────────────────────────────────────────────────


def rows_of(turn: Turn) -> Sequence[Mapping[str, Any]]:
    """The rows that a tool turn returned: its `results`, or what its text holds as JSON."""
    if turn.results or turn.role != "tool":
        return turn.results
    start = turn.text.lstrip()
    if not start.startswith(("[", "{")):
        return ()
    try:
        found, _ = json.JSONDecoder().raw_decode(start)
    except (ValueError, RecursionError):
        return ()
    rows = found if isinstance(found, list) else [found]
    return [row if isinstance(row, dict) else {"": row} for row in rows]


def count_results(observed: Turn) -> int | None:
    """Number of results of a tool turn, with those that are not shown; None where it cannot be told."""
    rows = rows_of(observed)
    if any("error" in row or "status" in row for row in rows):
        return None
    if not rows:
        return 0 if observed.text.lstrip().startswith("[]") else None
    more = re.search(r"\]\s*and (\d+) more results?\s*$", observed.text)
    return len(rows) + (int(more[1]) if more and not observed.results else 0)


def leaves(value: Any, slot: str = "") -> Iterator[tuple[str, Any]]:
    """(slot, value) of everything in a row, however deep."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from leaves(part, str(name))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from leaves(part, slot)
    else:
        yield slot, value
