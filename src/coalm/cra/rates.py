"""From judgements of dialogues to rates with intervals, over all and for each service."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coalm.cra.findings import QUESTIONS, Kind

PAPER = (9, 100)
"""Dialogues with errors among those that were judged, in the paper's Appendix D."""

_HEADS: Mapping[Kind, str] = {
    "undefined": "undefined function",
    "type": "argument type",
    "hallucination": "hallucination",
    "reasoning": "reasoning, planning",
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """The questions that a dialogue fails."""

    dialogue: str
    services: tuple[str, ...]
    failed: frozenset[str]


def summarize(judgements: Sequence[Judgement]) -> dict[str, Any]:
    """Rates of dialogues with errors: any, per question, and both for each service.

    A dialogue over several services counts for each of them.
    """
    by_service: defaultdict[str, list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        for service in judgement.services:
            by_service[service].append(judgement)
    services = {name: _rates(by_service[name]) for name in sorted(by_service)}
    return {**_rates(judgements), "services": services, "paper": estimate(*PAPER)}


def _rates(judgements: Sequence[Judgement]) -> dict[str, Any]:
    counts = Counter(kind for judgement in judgements for kind in judgement.failed)
    total = len(judgements)
    return {
        "dialogues": total,
        "any": estimate(sum(bool(judgement.failed) for judgement in judgements), total),
        "questions": {kind: estimate(counts[kind], total) for kind in QUESTIONS},
    }


def estimate(count: int, total: int, z: float = 1.959964) -> dict[str, Any]:
    """A share in percent with its 95 % Wilson score interval (Wilson 1927); 0 to 100 for none of none."""
    if not total:
        return {"count": 0, "total": 0, "percent": None, "low": 0.0, "high": 100.0}
    share, weight = count / total, z * z / total
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / total + weight / total / 4)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return {"count": count, "total": total, "percent": 100 * share, "low": 100 * low, "high": 100 * high}


def write_table(summary: Mapping[str, Any]) -> str:
    """The table of Appendix D as Markdown: dialogues with errors in percent and intervals, per service too."""
    titles = ["", "dialogues", *(_HEADS[kind] for kind in QUESTIONS), "any error"]
    rows = [_row("**all**", summary), *(_row(name, part) for name, part in summary["services"].items())]
    rows.append(["paper (Appendix D)", str(PAPER[1]), *[""] * len(QUESTIONS), _cell(summary["paper"])])
    widths = [max(len(row[column]) for row in [titles, *rows]) for column in range(len(titles))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [_line(row, widths) for row in (titles, rule, *rows)]
    return "\n".join(lines)


def _row(name: str, part: Mapping[str, Any]) -> list[str]:
    cells = [_cell(part["questions"][kind]) for kind in QUESTIONS]
    return [name, f"{part['dialogues']:,}", *cells, _cell(part["any"])]


def _cell(rate: Mapping[str, Any]) -> str:
    if rate["percent"] is None:
        return "–"
    return f"{rate['percent']:.1f} ({rate['low']:.1f}–{rate['high']:.1f})"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
    return f"| {' | '.join(padded)} |"
