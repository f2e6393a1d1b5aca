"""A handful of worked examples: a seeded mix of right and wrong, the same item side by side for all runs."""

from __future__ import annotations

import difflib
import json
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

from coalm.report.measured import BenchmarkRun, Step

EXAMPLES = 8
SEED = 2502
LONGEST_DIFF = 4000
"""Characters; longer texts are compared as wholes (word by word costs the square)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one run made of it: `run` is its label, `steps` lead to the verdict."""

    run: str
    steps: tuple[Step, ...]
    correct: bool
    why: str | None
    got: Any


@dataclass(frozen=True, slots=True)
class Example:
    item: str
    part: str
    group: str
    want: Any
    answers: tuple[Answer, ...]

    @property
    def last(self) -> Answer:
        return self.answers[-1]


def choose_examples(parts: Sequence[tuple[str, BenchmarkRun]], count: int = EXAMPLES) -> list[Example]:
    """Up to `count` examples that all runs answered, if there are such, else of the last run alone.

    Right and wrong ones (in the last run's verdict) take turns; wrong ones differ in kind as far as they can,
    right ones in group, and an item comes twice only where there are too few.
    """
    sets = [set(found) for found in (_judged(part) for _, part in parts)]
    common = set.intersection(*sets)
    chosen = parts if common else parts[-1:]
    judged = [(label, part, _judged(part)) for label, part in chosen]
    keys = sorted(common or sets[-1])
    random.Random(f"{SEED} {parts[-1][1].benchmark}").shuffle(keys)
    examples = [_example(key, judged) for key in keys]
    wrong = _varied([e for e in examples if not e.last.correct], lambda e: (e.last.why or "").split(":")[0])
    right = _varied([e for e in examples if e.last.correct], lambda e: e.group)
    turns = [e for e in chain.from_iterable(zip_longest(wrong, right)) if e is not None]
    return _one_per_item_first(turns)[:count]


Judged = Mapping[tuple[str, str], tuple[Mapping[str, Any], tuple[Step, ...]]]


def _judged(part: BenchmarkRun) -> Judged:
    """(item, part) -> the verdict, and the steps that it judges: its own where there is one for each."""
    found = {}
    for kept in part.kept.values():
        paired = len(kept.verdicts) == len(kept.steps)
        for place, verdict in enumerate(kept.verdicts):
            steps = kept.steps[place : place + 1] if paired else kept.steps
            found[kept.id, str(verdict.get("part", ""))] = (verdict, steps)
    return found


def _example(key: tuple[str, str], judged: Iterable[tuple[str, BenchmarkRun, Judged]]) -> Example:
    answers = []
    for label, _, found in judged:
        verdict, steps = found[key]
        why = verdict.get("why")
        got = verdict.get("got")
        answers.append(
            Answer(label, steps, bool(verdict.get("correct")), None if why is None else str(why), got)
        )
    return Example(*key, group=str(verdict.get("group", "")), want=verdict.get("want"), answers=tuple(answers))


def _varied(examples: list[Example], kind: Callable[[Example], str]) -> list[Example]:
    """The first of each kind, then the second of each, and so on."""
    queues: dict[str, list[Example]] = {}
    for example in examples:
        queues.setdefault(kind(example), []).append(example)
    rounds = chain.from_iterable(zip_longest(*queues.values()))
    return [example for example in rounds if example is not None]


def _one_per_item_first(examples: list[Example]) -> list[Example]:
    seen: set[str] = set()
    first: list[Example] = []
    again: list[Example] = []
    for example in examples:
        (again if example.item in seen else first).append(example)
        seen.add(example.item)
    return first + again


# ── showing values ────────────────────────────────────────────────────────────────────────────────


def show_value(value: Any, room: int = 64) -> str:
    """A result for people: text as it is, anything else as JSON, broken only where a line would be too long."""
    return value if isinstance(value, str) else _lay_out(value, room)


def _lay_out(value: Any, room: int) -> str:
    line = json.dumps(value, ensure_ascii=False)
    if len(line) <= room or not value or not isinstance(value, dict | list):
        return line
    if isinstance(value, dict):
        parts = [f"{json.dumps(key, ensure_ascii=False)}: {_lay_out(v, room - 2)}" for key, v in value.items()]
    else:
        parts = [_lay_out(part, room - 2) for part in value]
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    inside = ",\n".join(parts).replace("\n", "\n  ")
    return f"{opening}\n  {inside}\n{closing}"


def compare(got: str, want: str) -> list[tuple[str, bool]]:
    """`got` in pieces, each with whether it differs from `want`; put together they are `got` again."""
    if max(len(got), len(want)) > LONGEST_DIFF:
        return [(got, got != want)]
    mine, other = _words(got), _words(want)
    pieces = []
    for tag, start, end, _, _ in difflib.SequenceMatcher(None, mine, other, autojunk=False).get_opcodes():
        text = "".join(mine[start:end])
        if text:
            pieces.append((text, tag != "equal" and not text.isspace()))
    return pieces


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|\s+|[^\w\s]", text)
