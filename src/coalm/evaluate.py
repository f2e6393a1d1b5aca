"""`coalm eval` and `coalm score`: benchmarks run, scored, written and printed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
    max_tokens: int | None = None,
    **facts: Any,
) -> dict[str, dict[str, Any]]:
    """Predict and score each benchmark into `out/<name>/`; the content of each `scores.json`, by name.

    `limit` and `max_tokens` bound the items of a benchmark and the tokens of a reply (None: all, and the
    benchmark's own bound). `facts` go into `out/run.json`: `demo`, and the `label` that a report shows.

    Raises:
        DataError: a benchmark's data is missing or broken.
        ModelError: the model cannot be opened, or its family cannot be asked for what a benchmark wants.
    """
    started = time.monotonic()
    benchmarks = [replace(one, max_tokens=max_tokens or one.max_tokens) for one in map(benchmark, names)]
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
    """A table of what was measured, with intervals, on standard output."""
    from rich.console import Console
    from rich.table import Table

    table = Table("benchmark", "metric", "%", "95 % interval", "items")
    for name, content in scores.items():
        head = [name, str(content["items"])]
        for metric in measured(content["metrics"]):
            interval = f"{metric['low']:.1f} to {metric['high']:.1f}"
            table.add_row(head[0], metric["label"], f"{metric['value']:.1f}", interval, head[1])
            head = ["", ""]
        table.add_section()
    Console().print(table)


def measured(metrics: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The metrics that have a value, less those that count what did not run as wrong."""
    return [m for m in metrics if m["value"] is not None and not m["name"].endswith("_official")]


def print_before_and_after(
    before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> None:
    """A table of what was measured afterwards, beside what it was; a change beyond both intervals is marked.

    What could not be measured before (a precision, where nothing was predicted) stands as a dash.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table("benchmark", "metric", "before", "after", "95 % interval", "")
    for name, content in after.items():
        old = {metric["name"]: metric for metric in measured(before[name]["metrics"])}
        head = name
        for new in measured(content["metrics"]):
            was, mark = old.get(new["name"]), ""
            if was:
                mark = "rose" if new["low"] > was["high"] else "fell" if new["high"] < was["low"] else ""
            interval = f"{new['low']:.1f} to {new['high']:.1f}"
            value = f"{was['value']:.1f}" if was else "–"
            table.add_row(head, new["label"], value, f"{new['value']:.1f}", interval, mark)
            head = ""
        table.add_section()
    Console().print(table)
