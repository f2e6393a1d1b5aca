"""Published systems' states against what the standardised evaluation gives for them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from coalm.benchmarks.episode import Item
from coalm.benchmarks.multiwoz import BENCHMARK, results_from_public
from coalm.benchmarks.statistics import Summary, summarize

pytestmark = pytest.mark.corpora


@pytest.fixture(scope="module")
def items(shared: Path) -> list[Item]:
    return BENCHMARK.load(shared / "data")


def summary(items: list[Item], results: dict[str, Any]) -> Summary:
    verdicts = [v for item in items if item.id in results for v in BENCHMARK.score(item, results[item.id])]
    return summarize(verdicts, BENCHMARK.metrics(["test"]), resamples=10)


@pytest.mark.parametrize("system", ["augpt", "galaxy-e2e", "mintl", "pptod", "ubar"])
def test_fuzzy_jga_and_slot_f1_agree(shared: Path, items: list[Item], system: str) -> None:
    expected = json.loads((shared / "oracles/multiwoz/expected.json").read_text())[system]["jga_fuzzy90"]
    with zipfile.ZipFile(shared / "oracles/multiwoz/predictions.zip") as archive:
        content = json.loads(archive.read(f"{system}.json"))
    found = summary(items, results_from_public(content, items))
    assert found.verdicts == expected["turns"]
    assert found.value("jga_fuzzy") == pytest.approx(expected["joint_accuracy"], abs=0.0051)
    assert found.value("slot_f1") == pytest.approx(expected["slot_f1"], abs=0.0051)
    strict = found.value("jga_strict")
    assert strict is not None
    assert expected["joint_accuracy"] - 2 < strict < expected["joint_accuracy"]


def test_predicting_nothing(items: list[Item]) -> None:
    nothing = {item.id: [{"state": {}, "error": None}] * len(item.data) for item in items}
    assert summary(items, nothing).value("jga_strict") == pytest.approx(1.5, abs=0.05)


def test_predicting_the_gold_states(items: list[Item]) -> None:
    gold = {item.id: [{"state": exchange.state, "error": None} for exchange in item.data] for item in items}
    assert {estimate.value for estimate in summary(items, gold).estimates} == {100.0}
