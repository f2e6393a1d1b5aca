"""The runner over a toy benchmark: an item counts to its number, one request a step."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from coalm.benchmarks import draw
from coalm.benchmarks.episode import Benchmark, Episode, Item, Metric, Verdict, ratio
from coalm.benchmarks.runner import predict, score_file, write_scores
from coalm.dialogue import Prompt, Reply, Request, Turn
from coalm.errors import DataError, ModelError
from coalm.families import Family
from coalm.models import Completion, Job
from coalm.models.replay import ReplayModel

PLAIN = Family(
    "plain",
    frozenset({"act"}),
    render=lambda request: Prompt(messages=tuple((turn.role, turn.text) for turn in request.turns)),
    read=lambda text, request: Reply(text, response=text, error=None if text else "empty"),
)


def episode(item: Item) -> Episode:
    heard = []
    for step in range(item.data):
        reply = yield Request("act", (Turn("user", f"{item.id} step {step}"),))
        heard.append(reply.response)
    return {"heard": heard}


def score(item: Item, result: dict[str, list[str]]) -> list[Verdict]:
    right = result["heard"] == [f"{item.id}:{step}" for step in range(item.data)]
    return [Verdict(item.id, "", item.group, right, {"n": 1, "ok": right}, None if right else "misheard")]


TOY = Benchmark(
    "toy", 1, lambda root: items(20), episode, score, lambda groups: [Metric("ok", "Right", ratio("ok", "n"))]
)


def items(count: int) -> list[Item]:
    return [Item(f"i{number}", "even" if number % 2 == 0 else "odd", number % 4) for number in range(count)]


class Echo:
    """Answers `item:step`, last job first; remembers the sizes of batches; dies after `limit` answers."""

    name = "echo"

    def __init__(self, limit: int | None = None) -> None:
        self.batches: list[int] = []
        self.left = limit

    def complete(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Completion]]:
        self.batches.append(len(jobs))
        for index in reversed(range(len(jobs))):
            if self.left is not None and self.left <= 0:
                raise ConnectionError("the model went away")
            self.left = None if self.left is None else self.left - 1
            yield index, Completion(f"{jobs[index].item}:{jobs[index].step}")


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_episodes_run_side_by_side(tmp_path: Path) -> None:
    model = Echo()
    path = predict(TOY, items(20), model, PLAIN, tmp_path)
    assert model.batches == [15, 10, 5]  # items that want 1, 2 or 3 steps; those that want none ask nothing
    assert sorted(row["id"] for row in rows(path)) == sorted(item.id for item in items(20))
    scores = score_file(TOY, items(20), path)
    assert scores.summary.value("ok") == 100
    assert [verdict.item for verdict in scores.verdicts] == [item.id for item in items(20)]


def test_a_run_that_broke_off_goes_on(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError):
        predict(TOY, items(20), Echo(limit=18), PLAIN, tmp_path)
    kept = rows(tmp_path / "predictions.jsonl")
    assert 5 < len(kept) < 20
    predict(TOY, items(20), Echo(), PLAIN, tmp_path)
    assert rows(tmp_path / "predictions.jsonl")[: len(kept)] == kept
    assert sorted(row["id"] for row in rows(tmp_path / "predictions.jsonl")) == sorted(i.id for i in items(20))


def test_a_finished_run_asks_nothing(tmp_path: Path) -> None:
    predict(TOY, items(20), Echo(), PLAIN, tmp_path)
    model = Echo()
    seen: list[tuple[int, int]] = []
    predict(TOY, items(20), model, PLAIN, tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert model.batches == []
    assert seen == [(20, 20)]


def test_predictions_of_another_model_are_not_mixed_in(tmp_path: Path) -> None:
    predict(TOY, items(4), Echo(), PLAIN, tmp_path)
    other = Echo()
    other.name = "other"
    with pytest.raises(DataError, match="echo"):
        predict(TOY, items(4), other, PLAIN, tmp_path)


def test_replay_of_a_run_needs_no_model(tmp_path: Path) -> None:
    path = predict(TOY, items(20), Echo(), PLAIN, tmp_path / "first")
    again = predict(TOY, list(reversed(items(20))), ReplayModel(path), PLAIN, tmp_path / "second")
    results = {row["id"]: row["result"] for row in rows(path)}
    assert {row["id"]: row["result"] for row in rows(again)} == results


def test_replay_says_what_it_lacks(tmp_path: Path) -> None:
    script = tmp_path / "script.jsonl"
    script.write_text('{"item": "i1", "step": 0, "text": "hello"}\n')
    with pytest.raises(ModelError, match="step 0 of item i2"):
        predict(TOY, items(3), ReplayModel(script), PLAIN, tmp_path / "out")
    script.write_text('{"item": "i1"}\n')
    with pytest.raises(DataError, match=r"script\.jsonl:1"):
        ReplayModel(script)


def test_a_model_error_is_an_unreadable_reply(tmp_path: Path) -> None:
    class Overflowing(Echo):
        def complete(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Completion]]:
            yield from ((index, Completion("", error="context_overflow")) for index in range(len(jobs)))

    path = predict(TOY, items(4), Overflowing(), PLAIN, tmp_path)
    assert [step["error"] for row in rows(path) for step in row["steps"]] == ["context_overflow"] * 6


def test_family_that_is_not_capable(tmp_path: Path) -> None:
    deaf = Family("deaf", frozenset({"state"}), PLAIN.render, PLAIN.read)
    with pytest.raises(ModelError, match="capable of: state"):
        predict(TOY, items(4), Echo(), deaf, tmp_path)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"id": "i99", "result": {}}', "i99"),
        ('{"id": "i1"}', "expected an object"),
        ("[]", "expected an object"),
        ('{"id": "i0", "result": {"heard": []}}', "twice"),
    ],
)
def test_bad_prediction_files(tmp_path: Path, line: str, what: str) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text('{"id": "i0", "result": {"heard": []}}\n' + line + "\n")
    with pytest.raises(DataError, match=what) as raised:
        score_file(TOY, items(4), path)
    assert raised.value.where == f"{path}:2"


def test_scoring_leaves_predictions_alone_and_counts_what_is_missing(tmp_path: Path) -> None:
    path = predict(TOY, items(8), Echo(), PLAIN, tmp_path)
    before = path.read_bytes()
    scores = score_file(TOY, items(20), path)
    content = write_scores(TOY, scores, tmp_path, model="echo")
    assert path.read_bytes() == before
    assert (content["items"], content["missing"]) == (8, 12)
    assert len(rows(tmp_path / "verdicts.jsonl")) == 8


def test_memory_of_prompts_is_bounded(tmp_path: Path) -> None:
    many = [Item(f"i{number}", "all", 1) for number in range(1000)]
    kept = [row for row in rows(predict(TOY, many, Echo(), PLAIN, tmp_path)) if "prompt" in row["steps"][0]]
    assert len(kept) == 40


def test_draw_is_nested_and_keeps_order() -> None:
    pool = items(100)
    small, large = draw(pool, 10), draw(pool, 30)
    assert [item for item in large if item in small] == small
    assert [item for item in pool if item in large] == large
    assert draw(pool, None) == draw(pool, 1000) == pool


SLOW = """
import sys, time
from pathlib import Path
from tests.benchmarks.test_runner import TOY, PLAIN, Echo, items
from coalm.benchmarks.runner import predict

class Slow(Echo):
    def complete(self, jobs):
        for pair in super().complete(jobs):
            time.sleep(0.02)
            yield pair

predict(TOY, items(60), Slow(), PLAIN, Path(sys.argv[1]), progress=lambda done, total: print(done, flush=True))
"""


def test_kill_loses_and_repeats_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW, str(tmp_path)]
    for answers in (17, 23):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(answers):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found = [row["id"] for row in rows(tmp_path / "predictions.jsonl")]
    assert len(found) == len(set(found)) == 60
    assert score_file(TOY, items(60), tmp_path / "predictions.jsonl").summary.value("ok") == 100
