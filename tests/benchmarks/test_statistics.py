from __future__ import annotations

import numpy as np
import pytest

from coalm.benchmarks.episode import Metric, Verdict, ratio
from coalm.benchmarks.statistics import summarize

ACCURACY = Metric("accuracy", "Accuracy", ratio("ok", "n"), primary=True)


def verdicts(outcomes: list[bool], group: str = "a", parts: int = 1) -> list[Verdict]:
    return [
        Verdict(f"{group}{item}", str(part), group, right, {"ok": right, "n": 1}, None if right else "wrong")
        for item, right in enumerate(outcomes)
        for part in range(parts)
    ]


def test_interval_is_that_of_the_binomial() -> None:
    summary = summarize(verdicts([True] * 60 + [False] * 40), [ACCURACY])
    estimate = summary.estimates[0]
    assert estimate.value == pytest.approx(60)
    assert estimate.low == pytest.approx(60 - 9.6, abs=1.5)
    assert estimate.high == pytest.approx(60 + 9.6, abs=1.5)
    assert summary.whys == {"wrong": 40}


def test_turns_of_a_dialogue_stay_together() -> None:
    apart = summarize(verdicts([True, False] * 50), [ACCURACY]).estimates[0]
    together = summarize(verdicts([True, False] * 5, parts=10), [ACCURACY]).estimates[0]
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_groups_keep_their_size() -> None:
    rows = verdicts([True] * 50, "right") + verdicts([False] * 50, "wrong")
    estimate = summarize(rows, [ACCURACY]).estimates[0]
    assert (estimate.low, estimate.value, estimate.high) == (50, 50, 50)


def test_what_is_not_defined_is_none() -> None:
    metric = Metric("other", "Other", ratio("ok_other", "n_other"))
    estimate = summarize(verdicts([True]), [metric]).estimates[0]
    assert estimate.value is estimate.low is estimate.high is None


def test_same_verdicts_give_the_same_interval() -> None:
    rows = verdicts(list(np.random.default_rng(1).random(200) < 0.3))
    assert summarize(rows, [ACCURACY]) == summarize(rows, [ACCURACY])
    assert summarize(rows, [ACCURACY]).value("accuracy") == summarize(rows, [ACCURACY]).estimates[0].value


def test_no_verdicts_at_all() -> None:
    summary = summarize([], [ACCURACY])
    assert summary.items == 0
    assert summary.estimates[0].value is None
