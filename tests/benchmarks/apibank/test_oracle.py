"""Both profiles against the libraries' own figures, on every row; gold calls against the published texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coalm.benchmarks.apibank import BENCHMARK
from coalm.benchmarks.apibank.overlap import paper_scores, standard_scores
from coalm.benchmarks.statistics import summarize
from coalm.runs import read_json_lines

pytestmark = pytest.mark.corpora


@pytest.fixture(scope="module")
def rows(shared: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_json_lines(shared / "oracles/apibank/metrics.jsonl.gz")]


@pytest.mark.parametrize(("profile", "scores"), [("paper", paper_scores), ("standard", standard_scores)])
def test_every_row_agrees(rows: list[dict[str, Any]], profile: str, scores: Any) -> None:
    assert len(rows) == 1910
    for row in rows:
        found = scores(row["reference"], row["prediction"])
        assert found == pytest.approx(row[profile], abs=0.0001), (row["level"], row["index"], row["kind"])


def test_gold_calls_and_gold_scores(shared: Path, rows: list[dict[str, Any]]) -> None:
    items = {item.id: item for item in BENCHMARK.load(shared / "data")}
    assert all(items[f"{row['level']}-{row['index']}"].data.reference == row["reference"] for row in rows)
    verdicts = [
        verdict
        for item in items.values()
        for verdict in BENCHMARK.score(item, {"prediction": item.data.reference})
    ]
    summary = summarize(verdicts, BENCHMARK.metrics(["L-1", "L-2"]), resamples=10)
    short = {"standard_rouge_2_l1", "standard_rouge_2_l2"}  # a call of one word has no pair to match
    assert all(
        estimate.value == pytest.approx(100) for estimate in summary.estimates if estimate.name not in short
    )
