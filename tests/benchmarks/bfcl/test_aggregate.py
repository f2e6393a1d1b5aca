"""The board's formulas, written out here once more."""

from __future__ import annotations

from statistics import mean

import numpy as np
import pytest

from coalm.benchmarks.bfcl.aggregate import ENTRIES, metrics
from coalm.benchmarks.episode import Verdict
from coalm.benchmarks.statistics import summarize


def verdicts(right: dict[str, int], total: dict[str, int]) -> list[Verdict]:
    return [
        Verdict(f"{name}_{n}", "", name, n < right[name], {f"n_{name}": 1, f"ok_{name}": int(n < right[name])})
        for name, count in total.items()
        for n in range(count)
    ]


def figures(right: dict[str, int], total: dict[str, int]) -> dict[str, float | None]:
    summary = summarize(verdicts(right, total), metrics(sorted(total)), resamples=2)
    return {estimate.name: estimate.value for estimate in summary.estimates}


def labels(groups: list[str]) -> dict[str, str]:
    return {metric.name: metric.label for metric in metrics(groups)}


def test_entries_are_the_boards() -> None:
    assert len(ENTRIES) == 22
    assert sum(ENTRIES.values()) == 4751
    assert sum(count for name, count in ENTRIES.items() if name.startswith("live_")) == 2251


def test_whole_board() -> None:
    total = {name: 4 + place % 5 for place, name in enumerate(ENTRIES)}
    right = {name: (place * 7) % (count + 1) for place, (name, count) in enumerate(total.items())}
    a = {name: 100 * right[name] / total[name] for name in total}
    found = figures(right, total)

    ast = [
        mean([a["simple"], a["java"], a["javascript"]]),
        a["multiple"],
        a["parallel"],
        a["parallel_multiple"],
    ]
    run = [mean([a["exec_simple"], a["rest"]])]
    run += [a["exec_multiple"], a["exec_parallel"], a["exec_parallel_multiple"]]
    live_names = [name for name in total if name.startswith("live_")]
    live = 100 * sum(right[name] for name in live_names) / sum(total[name] for name in live_names)
    turns = mean(a[name] for name in total if name.startswith("multi_turn_"))
    non_live = mean([*ast, *run, a["irrelevance"]])
    wanted = {
        "non_live_ast": mean(ast),
        "non_live_exec": mean(run),
        "non_live": non_live,
        "live": live,
        "multi_turn": turns,
        "overall": mean([live, non_live, turns]),
        "relevance": a["live_relevance"],
        "irrelevance": mean([a["irrelevance"], a["live_irrelevance"]]),
    }
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)
    assert {name: found[f"{name}_accuracy"] for name in total} == pytest.approx(a)
    assert not [name for name in found if name.endswith("_official")]


def test_what_is_missing_counts_as_nothing_officially_and_not_at_all_otherwise() -> None:
    total = {"simple": 10, "parallel": 5, "irrelevance": 4, "live_simple": 20, "live_irrelevance": 10}
    right = {"simple": 5, "parallel": 5, "irrelevance": 1, "live_simple": 10, "live_irrelevance": 9}
    found = figures(right, total)
    assert found["non_live_ast"] == pytest.approx(mean([50, 100]))
    assert found["non_live_ast_official"] == pytest.approx(mean([50 / 3, 0, 100, 0]))
    assert found["live"] == pytest.approx(100 * 19 / 30)
    assert found["live_official"] == pytest.approx(100 * 19 / (30 + 1053 + 16 + 24 + 18))
    non_live = mean([50, 100, 25])
    assert found["overall"] == pytest.approx(mean([100 * 19 / 30, non_live]))
    official = (found["live_official"] + (50 / 3 + 100 + 25) / 9 + 0) / 3
    assert found["overall_official"] == pytest.approx(official)
    assert found["irrelevance"] == pytest.approx(mean([25, 90]))
    assert (found["multi_turn"], found["multi_turn_official"]) == (None, 0)
    assert (found["relevance"], found["relevance_official"]) == (None, 0)
    assert (found["multiple_accuracy"], found["simple_accuracy"]) == (None, 50)


def test_labels_say_which_is_which() -> None:
    some = labels(["simple", "irrelevance", "live_irrelevance"])
    assert some["non_live_ast"] == "Non-Live AST, over what ran"
    assert some["non_live_ast_official"] == "Non-Live AST, official: missing is 0"
    assert some["irrelevance"] == "Irrelevance"
    assert "irrelevance_official" not in some
    assert labels(list(ENTRIES))["overall"] == "Overall"


def test_names_are_unique_and_one_metric_is_primary() -> None:
    found = metrics(["simple"])
    assert len({metric.name for metric in found}) == len(found)
    assert [metric.name for metric in found if metric.primary] == ["non_live_ast"]


def test_formulas_work_on_resamples() -> None:
    total = {"simple": 20, "multiple": 20}
    summary = summarize(verdicts({"simple": 10, "multiple": 15}, total), metrics(sorted(total)), resamples=500)
    primary = next(estimate for estimate in summary.estimates if estimate.primary)
    assert primary.value == pytest.approx(62.5)
    assert primary.low is not None
    assert primary.high is not None
    assert 40 < primary.low < 60 < primary.high < 85
    assert np.isfinite([primary.low, primary.high]).all()
