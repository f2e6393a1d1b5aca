"""Scoring needs no model: the benchmarks load neither torch nor anything that asks one."""

from __future__ import annotations

import subprocess
import sys

STRANGERS = {"torch", "transformers", "jieba", "coalm.models", "coalm.families", "coalm.training", "bfcl_eval"}


def test_benchmarks_load_no_model() -> None:
    program = "import sys, coalm.benchmarks; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules = set(loaded.stdout.split())
    assert {"coalm.benchmarks.multiwoz.state", "coalm.benchmarks.apibank.overlap"} <= modules
    assert not STRANGERS & modules
