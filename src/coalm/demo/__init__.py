"""`coalm demo`: the whole pipeline at small size, on corpora and test sets written for this repository.

Builds the mixture, fine-tunes the embedded model on it with LoRA, scores it before and after on the small
benchmarks, and writes the report. Each step goes on where it was when it is interrupted, and costs nothing when
it is done.

    runs/demo/data        the mixture and its card
    runs/demo/before      scores of the model as it comes with the package
    runs/demo/training    adapters on it, and the curves of their training
    runs/demo/after       scores with them
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
MAX_TOKENS = 144  # no right answer of the small sets is longer


def run_demo(out: Path, *, steps: int | None = None, fresh: bool = False) -> Path:
    """Run all of it into `out`; the path of the report, which is also printed last. `steps`: the recipe's."""
    from coalm.evaluate import print_before_and_after
    from coalm.report import write_report

    if fresh:
        shutil.rmtree(out, ignore_errors=True)
    mixture = _build(out / "data")
    log("scoring the model as it is")
    before = _score("nano", out / "before", "nano")
    model = _train(mixture, out / "training", steps)
    log("scoring it after training")
    after = _score(f"hf:{model}", out / "after", "nano, fine-tuned")
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
        # So few steps do not teach to read names that mean nothing, so nothing is masked; and the long samples
        # of CRA, which would take half of the time, are fewer.
        plan = Plan(validation=0.05, mask_copies=1, mask_share=0.0, tracked=6, shares={"sgd": 0.25})
        build(DATA / "corpora", folder, plan, sources=SOURCES, encoder=Encoder.load(), progress=progress)
    return folder


def _train(mixture: Path, out: Path, steps: int | None) -> Path:
    from coalm.training.recipe import load_recipe
    from coalm.training.trainer import train

    recipe = load_recipe("nano-lora", [f"max_steps={steps}"] if steps else [])
    return train(recipe, mixture, out, resume=out.exists())


def _score(model: str, out: Path, label: str) -> dict[str, dict[str, Any]]:
    from coalm.evaluate import evaluate

    return evaluate(model, BENCHMARKS, DATA, out, max_tokens=MAX_TOKENS, demo=True, label=label)
