"""How far a run is: a bar on a terminal, a line now and then where standard error goes elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from coalm.runs import log

Watch = Callable[[float, Mapping[str, Any]], None]
"""Told (share of the run that is done, the latest row of metrics.jsonl) after each step."""

_SMOOTHED = frozenset({"loss", "plain_tokens", "computed_tokens", "seconds"})


@contextmanager
def show_training() -> Iterator[Watch]:
    """Give a function that shows what it is told."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _log_evaluation
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("training"), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=1.0)
        smooth = Smooth()

        def watch(done: float, row: Mapping[str, Any]) -> None:
            progress.update(task, completed=done, description=describe(smooth.add(row)))

        yield watch


class Smooth:
    """A row whose loss and rates are running means over the last ten steps or so."""

    def __init__(self, weight: float = 0.9) -> None:
        self._weight = weight
        self._row: dict[str, Any] = {}

    def add(self, row: Mapping[str, Any]) -> dict[str, Any]:
        for key, value in row.items():
            if value is None:
                continue
            if key in _SMOOTHED and self._row.get(key):
                value = self._weight * self._row[key] + (1 - self._weight) * value
            self._row[key] = value
        return self._row


def describe(row: Mapping[str, Any]) -> str:
    """`step 40  loss 1.234 (held out 1.301)  lr 1.0e-03  tokens/s 12,000 plain, 3,000 computed`."""
    parts = [f"step {row['step']}"]
    if row.get("loss") is not None:
        parts.append(f"loss {row['loss']:.3f}")
    if row.get("eval_loss") is not None:
        parts.append(f"held out {row['eval_loss']:.3f}")
    if row.get("seconds"):
        plain, computed = (row[key] / row["seconds"] for key in ("plain_tokens", "computed_tokens"))
        parts += [f"lr {row['lr']:.1e}", f"tokens/s {plain:,.0f} plain, {computed:,.0f} computed"]
    return "  ".join(parts)


def _log_evaluation(done: float, row: Mapping[str, Any]) -> None:
    if "eval_loss" in row:
        log(f"{done:4.0%}  {describe(row)}")
