"""The benchmarks, and how to find one: a name, or `my_package.module:BENCHMARK` for one of your own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from coalm.benchmarks import apibank, bfcl, multiwoz, sgd, snips
from coalm.benchmarks.apibank import dialogues as apibank_dialogues
from coalm.benchmarks.episode import Benchmark, Item
from coalm.benchmarks.multiwoz import end_to_end as multiwoz_end_to_end
from coalm.benchmarks.multiwoz import interactive as multiwoz_interactive
from coalm.errors import DataError, did_you_mean, named

_ALL = (
    multiwoz.BENCHMARK,
    multiwoz_end_to_end.BENCHMARK,
    multiwoz_interactive.BENCHMARK,
    apibank.BENCHMARK,
    apibank_dialogues.BENCHMARK,
    bfcl.BENCHMARK,
    snips.BENCHMARK,
    sgd.BENCHMARK,
)
BENCHMARKS = {one.name: one for one in _ALL}


def benchmark(name: str) -> Benchmark:
    """The benchmark called `name`, or the one that `module:ATTRIBUTE` points to.

    Raises:
        DataError: there is none.
    """
    if ":" in name:
        return named(name, Benchmark, "benchmark")
    if name not in BENCHMARKS:
        raise DataError(f"unknown benchmark `{name}`", hint=did_you_mean(name, BENCHMARKS))
    return BENCHMARKS[name]


def draw(items: Sequence[Item], limit: int | None) -> list[Item]:
    """`limit` items in their order, drawn by the hash of their ids: a smaller draw is part of a larger one."""
    if limit is None or limit >= len(items):
        return list(items)
    ranks = sorted(items, key=lambda item: hashlib.sha256(item.id.encode()).digest())
    drawn = {item.id for item in ranks[:limit]}
    return [item for item in items if item.id in drawn]
