"""`coalm demo`, in full: every step is made, and the model has learned."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HELD = (
    ("snips", "slot_f1"),
    ("multiwoz", "slot_f1"),
    ("apibank", "rouge_l_l1"),
    ("apibank", "standard_rouge_l_l1"),
    ("apibank", "standard_rouge_l_l2"),
)
"""What rises by more than the intervals."""
ROSE = (("snips", "intent_accuracy"), ("snips", "exact_frame"), ("apibank", "api_f1_l1"))


def demo(out: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("coalm"), "demo", "--out", out]
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"COLUMNS": "120"}, check=False
    )


def metric(out: Path, stage: str, benchmark: str, name: str) -> dict[str, Any]:
    scores = json.loads((out / stage / benchmark / "scores.json").read_text(encoding="utf-8"))
    return next(metric for metric in scores["metrics"] if metric["name"] == name)


@pytest.mark.timeout(900)
def test_it_ends_with_a_report_and_a_model_that_has_learned(tmp_path: Path) -> None:
    ran = demo(tmp_path / "demo")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == str(tmp_path / "demo" / "report.html")
    assert (tmp_path / "demo" / "report.html").stat().st_size > 100_000
    adapter = json.loads((tmp_path / "demo" / "training" / "model" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == "nano"  # so that it opens wherever the package lies
    for benchmark, name in HELD:
        before = metric(tmp_path / "demo", "before", benchmark, name)
        after = metric(tmp_path / "demo", "after", benchmark, name)
        assert after["low"] > before["high"], (benchmark, name, before, after)
    for benchmark, name in ROSE:
        before = metric(tmp_path / "demo", "before", benchmark, name)
        after = metric(tmp_path / "demo", "after", benchmark, name)
        assert after["value"] > before["value"], (benchmark, name, before, after)
    assert ran.stdout.count("rose") >= len(HELD)

    again = demo(tmp_path / "demo")  # all is done: only the report is written again
    assert again.stdout == ran.stdout
