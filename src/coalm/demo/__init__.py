"""`coalm demo`: the whole pipeline at small size, on corpora and test sets written for this repository.

Builds the mixture, trains a tiny model from scratch, scores it before and after on the small benchmarks, and
writes the report. Each step goes on where it was when it is interrupted, and costs nothing when it is done.

    runs/demo/data        the mixture and its card
    runs/demo/untrained   the model before training, and its scores in eval/
    runs/demo/model       the model after training
    runs/demo/report.html
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from coalm.runs import log

DATA = Path(__file__).parent
SOURCES = ("snips", "sgd", "sgd-dst", "xlam", "toolace")
BENCHMARKS = ("multiwoz", "apibank", "bfcl", "snips")


def run_demo(out: Path, *, minutes: float = 2.0, fresh: bool = False) -> Path:
    """Run all of it into `out`; the path of the report, which is also printed last."""
    from coalm.evaluate import evaluate
    from coalm.report import write_report

    if fresh:
        shutil.rmtree(out, ignore_errors=True)
    mixture = _build(out / "data")
    untrained = _train(mixture, out / "untrained", ["max_steps=0"])
    log("scoring the model before training")
    before = evaluate(f"hf:{untrained}", BENCHMARKS, DATA, out / "before", demo=True)
    trained = _train(mixture, out / "training", [f"max_minutes={minutes}"])
    model = out / "model"
    shutil.rmtree(model, ignore_errors=True)
    shutil.copytree(trained, model)
    log("scoring it after training")
    after = evaluate(f"hf:{model}", BENCHMARKS, DATA, out / "after", demo=True)
    report = write_report([out / "before", out / "after", out / "training", mixture], out / "report.html")
    _print(before, after)
    print(report)
    return report


def _build(folder: Path) -> Path:
    from coalm.mixture import build
    from coalm.progress import bar
    from coalm.tokens import Encoder

    if (folder / "run.json").exists():
        return folder
    log("building the mixture")
    with bar("building") as progress:
        build(
            DATA / "corpora",
            folder,
            sources=SOURCES,
            validation=0.05,
            mask_copies=1,
            mask_share=0.0,  # two minutes are too short to learn to read names that mean nothing
            encoder=Encoder.load(),
            progress=progress,
        )
    return folder


def _train(mixture: Path, out: Path, settings: list[str]) -> Path:
    from coalm.training.recipe import load_recipe
    from coalm.training.trainer import train

    if not (out / "run.json").exists():
        log(f"training into {out}")
        train(load_recipe("tiny", settings), mixture, out, resume=out.exists())
    return out / "model"


def _print(before: dict[str, Any], after: dict[str, Any]) -> None:
    """A table of all metrics before and after training; a rise beyond both intervals is marked."""
    from rich.console import Console
    from rich.table import Table

    table = Table("small benchmark", "metric", "untrained", "trained", "95 % interval", "", title="before and after")
    for name in after:
        for row, (old, new) in enumerate(zip(before[name]["metrics"], after[name]["metrics"], strict=True)):
            if old["value"] is None or new["value"] is None:
                continue
            mark = "[green]rose[/]" if new["low"] > old["high"] else "[red]fell[/]" if new["high"] < old["low"] else ""
            interval = f"{new['low']:.1f} to {new['high']:.1f}"
            cells = (new["label"], f"{old['value']:.1f}", f"{new['value']:.1f}", interval, mark)
            table.add_row("" if row else name, *cells)
        table.add_section()
    Console().print(table)
