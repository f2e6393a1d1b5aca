"""The paper's tables with what was measured beside them, as rows of cells; the two never share a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from coalm.report.measured import BenchmarkRun, EvalRun, Figure
from coalm.report.paper import About, Paper, Table

MISSING = "–"


@dataclass(frozen=True, slots=True)
class Cell:
    """`text` as shown, where it comes from, its interval where it was measured, and numbers of footnotes.

    `partial` cells stand for less than their column says, and must not be compared.
    """

    text: str
    source: str
    interval: str = ""
    marks: Sequence[int] = ()
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A row: a system of the paper, or (then `run` is its place among the evaluations) one of ours."""

    name: str
    about: str
    cells: Sequence[Cell]
    run: int | None = None
    marks: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Head:
    label: str
    marks: Sequence[int]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A table of the paper, ready to be shown. `gaps` are the reasons why columns of ours are empty."""

    table: Table
    groups: Sequence[tuple[str, int]]
    heads: Sequence[Head]
    measured: Sequence[Line]
    reported: Sequence[Line]
    gaps: Sequence[str]

    @property
    def has_partial(self) -> bool:
        return any(cell.partial for line in self.measured for cell in line.cells)


Measured = Sequence[tuple[int, EvalRun, BenchmarkRun]]


def compare_with_paper(paper: Paper, table: Table, measured: Measured) -> Comparison:
    """Our runs and the paper's systems under the columns of one of its tables."""
    spans = [(group, len(list(columns))) for group, columns in groupby(table.columns, lambda c: c.group)]
    return Comparison(
        table,
        groups=spans if any(group for group, _ in spans) else (),
        heads=[Head(column.label, table.marks(key=column.key)) for column in table.columns],
        measured=[_our_line(table, place, run, part) for place, run, part in measured],
        reported=_paper_lines(paper, table),
        gaps=_gaps(table, measured),
    )


def _our_line(table: Table, place: int, run: EvalRun, part: BenchmarkRun) -> Line:
    cells = []
    for column in table.columns:
        cell = measured_cell(
            part.figure(column.metric), table.digits, column.needs or "not measured by this run"
        )
        cells.append(replace(cell, partial=bool(cell.interval) and part.is_partial(column.metric)))
    return Line(run.label, f"{part.family} prompts" if part.family else "", cells, run=place)


def measured_cell(figure: Figure | None, digits: int = 1, reason: str = "not measured by this run") -> Cell:
    """A figure of ours: a dash where it was not measured, N/A where it is not defined for the run's items."""
    if figure is None:
        return Cell(MISSING, reason)
    if figure.value is None:
        return Cell("N/A", f"{figure.label}: not defined for the items of this run")
    return Cell(f"{figure.value:.{digits}f}", f"{figure.label}, measured here", interval(figure))


def interval(figure: Figure) -> str:
    """`51.0–57.3`, empty where there is none."""
    if figure.low is None or figure.high is None:
        return ""
    return f"{figure.low:.1f}–{figure.high:.1f}"


def _paper_lines(paper: Paper, table: Table) -> list[Line]:
    lines = []
    for row in table.rows:
        cells = []
        for column, value in zip(table.columns, row.values, strict=True):
            source = f"CoALM paper, Table {table.number}: {row.system}, {column.name}"
            text = MISSING if value is None else f"{value:.{table.digits}f}"
            marks = table.marks(row.system, column.key)
            cells.append(Cell(text, source if value is not None else f"{source}: not given", marks=marks))
        lines.append(
            Line(row.system, paper.kinds.get(row.kind, ""), cells, marks=table.marks(system=row.system))
        )
    return lines


def _gaps(table: Table, measured: Measured) -> list[str]:
    """Columns that none of our runs fills, and why: one sentence for each reason."""
    reasons: dict[str, list[str]] = {}
    for column in table.columns:
        found = [part.figure(column.metric) for _, _, part in measured]
        if not any(found):
            reasons.setdefault(column.needs or "not measured here", []).append(column.name)
        elif not any(figure and figure.value is not None for figure in found):
            reasons.setdefault("not defined for the items that ran", []).append(column.name)
    return [f"{', '.join(names)}: {reason}." for reason, names in reasons.items()]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a run's items are, where they are not the whole benchmark; `small` if too few to compare by."""

    items: str
    warning: str
    small: bool


def coverage(run: EvalRun, part: BenchmarkRun, about: About) -> Coverage | None:
    """What a reader must know before comparing with the paper; None where the whole benchmark was run."""
    if run.is_demo:
        warning = (
            f"Practice set: {part.items:,} {about.unit}, written for this repository in {about.title}’s format."
            " They tell whether the pipeline learns; they do not compare with the paper’s figures."
        )
        return Coverage("practice set", warning, small=True)
    if about.items is None or part.items >= about.items:
        return None
    items = f"{part.items:,} of {about.items:,} {about.unit}"
    if run.arguments.get("limit"):
        warning = f"A sample: {items} of {about.title}, drawn by a limit. Mind the intervals when you compare."
        return Coverage(items, warning, small=True)
    return Coverage(items, f"A part: {items} of {about.title}, those that this run covers.", small=False)


# ── the mixture ───────────────────────────────────────────────────────────────────────────────────


def mixture_rows(card: Mapping[str, Any]) -> list[tuple[str, str, list[str]]]:
    """(corpus, format, cells) for each source of a `card.json`, then the total; what it does not say is a dash.

    The cells are samples, the paper's samples, tokens, the paper's tokens, and tokens per sample.
    """
    rows = []
    for name, source in card.get("sources", {}).items():
        samples, paper = sum((source.get("samples") or {}).values()), source.get("paper") or {}
        counts = [samples, paper.get("samples"), source.get("tokens"), paper.get("tokens")]
        cells = [*map(_count, counts), _count(source.get("tokens_per_sample"))]
        rows.append((str(source.get("corpus") or name), str(source.get("format", "")), cells))
    samples, paper = sum((card.get("samples") or {}).values()), card.get("paper") or {}
    total = [samples, paper.get("samples"), card.get("tokens"), paper.get("tokens")]
    mean = card["tokens"] / samples if card.get("tokens") and samples else None
    return [*rows, ("Total", "", [*map(_count, total), _count(mean)])]


def _count(number: float | None) -> str:
    return MISSING if number is None else f"{number:,.0f}"
