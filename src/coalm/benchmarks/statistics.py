"""From verdicts to figures with intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coalm.benchmarks.episode import Metric, Sums, Verdict

RESAMPLES = 1000
SEED = 20250212


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric's value in percent with its 95 % bootstrap interval; None where it is not defined (N/A)."""

    name: str
    label: str
    value: float | None
    low: float | None
    high: float | None
    primary: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Summary:
    """All figures of one benchmark run: `items` is the number of items, `whys` counts the kinds of error."""

    estimates: tuple[Estimate, ...]
    items: int
    verdicts: int
    whys: dict[str, int]

    def value(self, name: str) -> float | None:
        return next(estimate.value for estimate in self.estimates if estimate.name == name)


def summarize(verdicts: Sequence[Verdict], metrics: Sequence[Metric], resamples: int = RESAMPLES) -> Summary:
    """Every metric's value and percentile interval.

    Items are resampled whole (a dialogue's turns stay together) and within their group (a category keeps its
    size), seeded, so that the same verdicts always give the same interval.
    """
    names, table, groups = _count_table(verdicts)
    point = _sums(names, table.sum(axis=0, keepdims=True))
    drawn = _sums(names, _resample(table, groups, resamples))
    estimates = []
    for metric in metrics:
        value = float(metric.formula(point)[0])
        samples = np.asarray(metric.formula(drawn), dtype=np.float64)
        samples = samples[np.isfinite(samples)]
        if np.isnan(value) or not len(samples):
            estimates.append(Estimate(metric.name, metric.label, None, None, None, metric.primary))
            continue
        low, high = np.percentile(samples, [2.5, 97.5])
        estimates.append(Estimate(metric.name, metric.label, value, float(low), float(high), metric.primary))
    whys = Counter(verdict.why for verdict in verdicts if verdict.why)
    return Summary(tuple(estimates), len(groups), len(verdicts), dict(whys.most_common()))


def _count_table(verdicts: Sequence[Verdict]) -> tuple[list[str], NDArray[np.float64], NDArray[np.int64]]:
    """Names of the counts, their sums for each item (items x counts), and each item's group number."""
    columns: dict[str, int] = {}
    rows: dict[str, dict[str, float]] = {}
    groups: dict[str, str] = {}
    for verdict in verdicts:
        row = rows.setdefault(verdict.item, {})
        groups.setdefault(verdict.item, verdict.group)
        for name, count in verdict.counts.items():
            columns.setdefault(name, len(columns))
            row[name] = row.get(name, 0.0) + count
    table = np.zeros((len(rows), len(columns)))
    for index, row in enumerate(rows.values()):
        for name, count in row.items():
            table[index, columns[name]] = count
    numbers = {group: number for number, group in enumerate(sorted(set(groups.values())))}
    return list(columns), table, np.array([numbers[group] for group in groups.values()], dtype=np.int64)


def _resample(table: NDArray[np.float64], groups: NDArray[np.int64], resamples: int) -> NDArray[np.float64]:
    """Sums of `resamples` draws with replacement, stratified by group: resamples x counts."""
    random = np.random.default_rng(SEED)
    total = np.zeros((resamples, table.shape[1]))
    for group in np.unique(groups):
        rows = table[groups == group]
        distinct, times = np.unique(rows, axis=0, return_counts=True)  # few: drawing kinds of rows is the same
        weights = random.multinomial(len(rows), times / len(rows), size=resamples)
        total += weights.astype(np.float64) @ distinct
    return total


class _ZeroSums(dict[str, NDArray[np.float64]]):
    """Sums in which a count that no verdict had is zero."""

    def __init__(self, size: int, *args: Any) -> None:
        super().__init__(*args)
        self._size = size

    def __missing__(self, name: str) -> NDArray[np.float64]:
        return np.zeros(self._size)


def _sums(names: Sequence[str], table: NDArray[np.float64]) -> Sums:
    return _ZeroSums(len(table), {name: table[:, index] for index, name in enumerate(names)})
