"""The speed measurements run, and compare like with like."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.timeout(300)
def test_training_by_tries_computes_fewer_tokens_and_the_same_gradients() -> None:
    command = [sys.executable, ROOT / "benchmarks" / "training.py", "--quick", "--json", "--no-trl"]
    figures = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert figures["gradient_difference"] < 1e-5
    assert figures["fewer_tokens_cra_snips"] > 2


@pytest.mark.timeout(300)
def test_building_is_measured_on_generated_rows() -> None:
    command = [sys.executable, ROOT / "benchmarks" / "data.py", "--rows", "20", "--json"]
    figures = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert [one["samples"] for one in figures["linear"]] == [60, 120, 240]
    assert all(one["seconds"] > 0 and one["megabytes"] > 10 for one in figures["linear"])


@pytest.mark.timeout(300)
def test_evaluating_is_measured_and_our_batches_answer_alike() -> None:
    command = [sys.executable, ROOT / "benchmarks" / "evaluation.py", "--quick", "--json"]
    figures = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert figures["runner"]["ms_per_item"] < 3
    assert figures["hf"]["identical"] == 1
    assert figures["hf"]["ratio"] > 1
    assert figures["openai"]["ratio"] > 10
    assert figures["bfcl"]["right"] > 0


@pytest.mark.timeout(300)
def test_a_report_of_twelve_runs_stays_small_and_quick() -> None:
    command = [sys.executable, ROOT / "benchmarks" / "reporting.py", "--items", "0.03", "--json"]
    figures = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert figures["runs"] == 12
    assert figures["verdicts"] > 4000
    assert figures["page_mb"] < 6
    assert figures["seconds"] < 20


@pytest.mark.timeout(300)
def test_generation_is_measured_and_the_stream_says_what_generate_says() -> None:
    command = [sys.executable, ROOT / "benchmarks" / "decoding.py", "--rounds", "1", "--json"]
    figures = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert figures["same_answers"] == "6 of 6"
    assert figures["parameters"] > 5_000_000
    assert figures["tokens_per_second"]["stream"] > 0 < figures["first_token_ms"]["median"]
