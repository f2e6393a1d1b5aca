"""`coalm eval` and `coalm score`: benchmarks run, scored, written and printed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coalm.benchmarks import benchmark, draw
from coalm.benchmarks.runner import predict, score_file, write_scores
from coalm.families import family
from coalm.models import Model, open_model
from coalm.progress import bar
from coalm.runs import describe_run, write_json


def evaluate(
    model_spec: str,
    names: Sequence[str],
    data: Path,
    out: Path,
    *,
    family_name: str = "coalm",
    limit: int | None = None,
    **facts: Any,
) -> dict[str, dict[str, Any]]:
    """Predict and score each benchmark into `out/<name>/`; the content of each `scores.json`, by name.

    The model is opened once, and only if something is left to be asked. `facts` go into `out/run.json`.

    Raises:
        DataError: a benchmark's data is missing or broken.
        ModelError: the model cannot be opened, or its family cannot be asked for what a benchmark wants.
    """
    started = time.monotonic()
    benchmarks = [benchmark(name) for name in names]
    system = family(family_name)
    tasks = [(one, draw(one.load(data), limit)) for one in benchmarks]
    model: Model = open_model(model_spec)
    scores = {}
    for one, items in tasks:
        folder = out / one.name
        with bar(one.name) as progress:
            predictions = predict(one, items, model, system, folder, progress=progress)
        results = score_file(one, items, predictions)
        scores[one.name] = write_scores(one, results, folder, model=model.name, family=system.name)
    arguments = {
        "model": model_spec,
        "family": family_name,
        "bench": list(names),
        "data": data.name,
        "limit": limit,
    }
    seconds = round(time.monotonic() - started, 1)
    write_json(out / "run.json", describe_run("eval", arguments, model=model.name, seconds=seconds, **facts))
    return scores


def score_predictions(
    name: str, predictions: Path, data: Path, *, verdicts: Path | None = None
) -> dict[str, Any]:
    """Score a predictions file; what `scores.json` would hold. `verdicts` is written where given.

    Raises:
        DataError: data or predictions are missing or broken, or an id is unknown.
    """
    one = benchmark(name)
    items = one.load(data)
    scores = score_file(one, items, predictions)
    if verdicts is not None:
        lines = (json.dumps(verdict.to_json(), ensure_ascii=False) for verdict in scores.verdicts)
        verdicts.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return {
        "benchmark": one.name,
        "version": one.version,
        "items": scores.summary.items,
        "missing": scores.missing,
        "metrics": [estimate.to_json() for estimate in scores.summary.estimates],
        "whys": scores.summary.whys,
    }


def print_scores(scores: Mapping[str, Mapping[str, Any]]) -> None:
    """A table of all metrics with their intervals, on standard output."""
    from rich.console import Console
    from rich.table import Table

    table = Table("benchmark", "metric", "%", "95 % interval", "items")
    for name, content in scores.items():
        for row, metric in enumerate(content["metrics"]):
            interval = "" if metric["value"] is None else f"{metric['low']:.1f} to {metric['high']:.1f}"
            value = "N/A" if metric["value"] is None else f"{metric['value']:.1f}"
            first = row == 0
            table.add_row(
                name if first else "", metric["label"], value, interval, str(content["items"]) if first else ""
            )
        table.add_section()
    Console().print(table)
