"""The benchmark as the runner uses it: an episode, its result, the verdict, the figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coalm.benchmarks.apibank import BENCHMARK
from coalm.benchmarks.episode import Item
from coalm.benchmarks.statistics import summarize
from coalm.dialogue import Reply, Request, ToolCall
from coalm.errors import DataError
from tests.benchmarks.apibank.corpus import write

WATER = {"key": "k1", "plants": ["fern", "moss"], "hour": 7}  # a model may keep to the types of the schema


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    return BENCHMARK.load(write(tmp_path))


def play(item: Item, reply: Reply) -> tuple[Request, Any]:
    """The request of an episode that is answered by `reply`, and its result through JSON."""
    episode = BENCHMARK.episode(item)
    request = next(episode)
    with pytest.raises(StopIteration) as stop:
        episode.send(reply)
    return request, json.loads(json.dumps(stop.value.value))


def judge(item: Item, *calls: ToolCall) -> Any:
    _, result = play(item, Reply("raw text", calls=calls))
    (verdict,) = BENCHMARK.score(item, result)
    return verdict


def test_asks_for_calls_with_history_and_tools(items: list[Item]) -> None:
    request, _ = play(items[0], Reply(""))
    assert request == Request("call", items[0].data.turns, items[0].data.tools)


def test_right_call_in_any_order_and_type_of_arguments(items: list[Item]) -> None:
    verdict = judge(items[0], ToolCall("Water", WATER))
    assert verdict.correct
    assert verdict.why is None
    assert verdict.got == verdict.want == items[0].data.reference
    assert verdict.counts["exact_l1"] == verdict.counts["rouge_l_l1"] == verdict.counts["items_l1"] == 1
    assert judge(items[0], ToolCall("Water", dict(reversed(WATER.items())))).correct


@pytest.mark.parametrize(
    ("calls", "why", "api", "parameter"),
    [
        ([("Drown", WATER)], "wrong_function", (0, 1, 1), (0, 3, 3)),
        ([("Water", WATER), ("Water", WATER)], "wrong_number_of_calls", (1, 1, 0), (3, 3, 0)),
        ([("Water", {"key": "k1", "hour": 7})], "missed_parameter:plants", (1, 0, 0), (2, 0, 1)),
        ([("Water", {**WATER, "soap": "no"})], "extra_parameter:soap", (1, 0, 0), (3, 1, 0)),
        ([("Water", {**WATER, "hour": 8})], "wrong_value:hour", (1, 0, 0), (2, 1, 1)),
        ([], "no_call", (0, 0, 1), (0, 0, 3)),
    ],
)
def test_faults(
    items: list[Item],
    calls: list[tuple[str, Any]],
    why: str,
    api: tuple[int, int, int],
    parameter: tuple[int, int, int],
) -> None:
    verdict = judge(items[0], *(ToolCall(name, arguments) for name, arguments in calls))
    assert not verdict.correct
    assert verdict.why == why
    assert tuple(verdict.counts[f"api_{kind}_l1"] for kind in ("tp", "fp", "fn")) == api
    assert tuple(verdict.counts[f"parameter_{kind}_l1"] for kind in ("tp", "fp", "fn")) == parameter
    assert 0 <= verdict.counts["rouge_l_l1"] < 1


def test_unreadable_text_is_scored_as_it_is(items: list[Item]) -> None:
    _, result = play(items[1], Reply("I would call Today()", error="bad_name"))
    (verdict,) = BENCHMARK.score(items[1], result)
    assert verdict.why == "unreadable:bad_name"
    assert not verdict.correct
    assert verdict.got == "I would call Today()"
    assert 0 < verdict.counts["rouge_1_l1"] < 1
    assert verdict.counts["api_fn_l1"] == 1


@pytest.mark.parametrize(
    ("item", "text", "why"),
    [
        (1, "[Today()]", None),
        (1, '[{"name": "Today", "arguments": {}}]', None),
        (0, "[Water(key='k1', plants='['fern', 'moss']', hour='7')]", None),  # as published: quotes not escaped
        (1, "Today it is", "unreadable:not_a_call"),
        (1, "", "unreadable:empty"),
    ],
)
def test_predictions_of_others_are_read_from_their_text(
    items: list[Item], item: int, text: str, why: str | None
) -> None:
    (verdict,) = BENCHMARK.score(items[item], {"prediction": text})
    assert verdict.why == why
    assert verdict.correct == (why is None)


@pytest.mark.parametrize(
    "result", [None, "[Today()]", {}, {"prediction": 3}, {"prediction": "", "calls": [{"name": "Today"}]}]
)
def test_what_is_no_result_is_refused(items: list[Item], result: Any) -> None:
    with pytest.raises(DataError, match="l1-1"):
        BENCHMARK.score(items[1], result)


def test_figures_by_level(items: list[Item]) -> None:
    verdicts = [
        judge(items[0], ToolCall("Water", {**WATER, "hour": 8})),
        judge(items[1], ToolCall("Today")),
        judge(items[2], ToolCall("Finder", {"words": "dim lights"})),
    ]
    summary = summarize(verdicts, BENCHMARK.metrics(["L-1", "L-2"]), resamples=10)
    assert summary.value("exact_l1") == 50
    assert summary.value("api_f1_l1") == 100
    assert summary.value("parameter_f1_l1") == pytest.approx(200 * 2 / 6)
    assert summary.value("rouge_l_l2") == summary.value("standard_bleu_l2") == pytest.approx(100)
    rouge = summary.value("rouge_l_l1")
    assert rouge is not None
    assert 90 < rouge < 100
    labels = {estimate.label: estimate.primary for estimate in summary.estimates}
    assert [label for label, primary in labels.items() if primary] == ["Rouge-L L-1", "Rouge-L L-2"]
    assert len(labels) == 2 * 11


def test_only_levels_that_were_run_have_figures(items: list[Item]) -> None:
    assert all(metric.name.endswith("_l2") for metric in BENCHMARK.metrics(["L-2"]))
