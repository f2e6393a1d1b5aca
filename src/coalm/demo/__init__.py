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
MAX_TOKENS = 144  # no right answer of the small sets is longer, and an untrained model always goes to the end


def run_demo(out: Path, *, minutes: float = 2.0, fresh: bool = False) -> Path:
    """Run all of it into `out`; the path of the report, which is also printed last."""
    from coalm.evaluate import print_before_and_after
    from coalm.report import write_report

    if fresh:
        shutil.rmtree(out, ignore_errors=True)
    mixture = _build(out / "data")
    untrained = _train(mixture, out / "untrained", ["max_steps=0"])
    log("scoring the model before training")
    before = _score(untrained, out / "before", "before training")
    trained = _train(mixture, out / "training", [f"max_minutes={minutes}"])
    model = out / "model"
    shutil.rmtree(model, ignore_errors=True)
    shutil.copytree(trained, model)
    log("scoring it after training")
    after = _score(model, out / "after", "after training")
    report = write_report([out / "before", out / "after", out / "training", mixture], out / "report.html")
    print_before_and_after(before, after)
    print(report)
    return report


def _build(folder: Path) -> Path:
    from coalm.corpora import Plan
    from coalm.mixture import build
    from coalm.progress import bar
    from coalm.tokens import Encoder

    if (folder / "run.json").exists():
        return folder
    log("building the mixture")
    with bar("building") as progress:
        # Two minutes are too short to learn to read names that mean nothing, so nothing is masked; and the long
        # samples of CRA, which would take half of them, are fewer.
        plan = Plan(validation=0.05, mask_copies=1, mask_share=0.0, tracked=6, shares={"sgd": 0.25})
        build(DATA / "corpora", folder, plan, sources=SOURCES, encoder=Encoder.load(), progress=progress)
    return folder


def _train(mixture: Path, out: Path, settings: list[str]) -> Path:
    from coalm.training.recipe import load_recipe
    from coalm.training.trainer import train

    return train(load_recipe("tiny", settings), mixture, out, resume=out.exists())


def _score(model: Path, out: Path, label: str) -> dict[str, dict[str, Any]]:
    from coalm.evaluate import evaluate

    return evaluate(f"hf:{model}", BENCHMARKS, DATA, out, max_tokens=MAX_TOKENS, demo=True, label=label)
