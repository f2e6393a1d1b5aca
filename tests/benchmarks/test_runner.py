"""The runner over a toy benchmark: an item counts to its number, one request a step."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from coalm.benchmarks import draw
from coalm.benchmarks.episode import Benchmark, Episode, Item, Metric, Verdict, ratio
from coalm.benchmarks.runner import Speaker, predict
from coalm.benchmarks.scoring import score_file, write_scores
from coalm.dialogue import Domain, Party, Prompt, Reply, Request, Slot, Turn
from coalm.errors import DataError, MissingExtra, ModelError
from coalm.families import Family, family
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


# ── items that fail ───────────────────────────────────────────────────────────────────────────────


def fragile(item: Item) -> Episode:
    if item.id == "i4":
        raise KeyError("nothing to ask")
    reply = yield Request("act", (Turn("user", item.id),))
    if item.id in ("i5", "i6"):
        raise ValueError(f"cannot work with {reply.response}")
    return {"heard": [reply.response]}


def judge(item: Item, result: dict[str, list[str]]) -> list[Verdict]:
    if item.id == "i7":
        raise ZeroDivisionError("a scorer's own")
    right = result["heard"] == [f"{item.id}:0"]
    return [Verdict(item.id, "", item.group, right, {"n": 1, "ok": right}, None if right else "misheard")]


def test_an_item_that_fails_is_wrong_and_does_not_stop_the_run(tmp_path: Path) -> None:
    fails = {"fail": lambda item: [Verdict(item.id, "", item.group, False, {"n": 1, "ok": 0})]}
    shy = replace(TOY, episode=fragile, score=judge)
    for number, benchmark in enumerate((shy, replace(shy, **fails))):
        model = Echo()
        path = predict(benchmark, items(20), model, PLAIN, tmp_path / str(number))
        failed = {row["id"]: (row["failed"], row["what"]) for row in rows(path) if "failed" in row}
        assert {id: kind for id, (kind, _) in failed.items()} == {
            "i4": "KeyError",
            "i5": "ValueError",
            "i6": "ValueError",
        }
        assert "cannot work with i5:0 (test_runner.py:" in failed["i5"][1]
        content = write_scores(benchmark, score_file(benchmark, items(20), path), tmp_path / str(number))
        assert content["failed"] == 4
        assert content["whys"] == {"failed:ValueError": 2, "failed:KeyError": 1, "failed:ZeroDivisionError": 1}
        counted = 20 if number else 16  # without `fail`, an episode that cannot even be asked leaves no counts
        assert content["uncounted"] == (0 if number else 4)
        assert content["metrics"][0]["value"] == pytest.approx(100 * 16 / counted)
        asked = len(model.batches)
        predict(benchmark, items(20), model, PLAIN, tmp_path / str(number))
        assert len(model.batches) == asked


def test_a_failed_item_is_scored_like_one_whose_replies_cannot_be_read(tmp_path: Path) -> None:
    def late(item: Item) -> Episode:
        heard = []
        for step in range(2):
            reply = yield Request("act", (Turn("user", f"{step}"),))
            heard.append(reply.response)
            if reply.response == "i3:1":
                raise ValueError("late")
        return {"heard": heard}

    def score_steps(item: Item, result: dict[str, list[str]]) -> list[Verdict]:
        return [
            Verdict(item.id, f"{step}", item.group, bool(said), {"n": 1, "ok": bool(said)})
            for step, said in enumerate(result["heard"])
        ]

    benchmark = replace(TOY, episode=late, score=score_steps)
    path = predict(benchmark, items(5), Echo(), PLAIN, tmp_path)
    scores = score_file(benchmark, items(5), path)
    assert (scores.failed, scores.uncounted) == (1, 0)
    assert scores.summary.value("ok") == pytest.approx(100 * 8 / 10)
    assert [verdict.why for verdict in scores.verdicts if verdict.item == "i3"] == ["failed:ValueError"] * 2


def test_an_error_of_the_users_stops_the_run(tmp_path: Path) -> None:
    def unready(item: Item) -> Episode:
        raise MissingExtra("tree_sitter", extra="bfcl")
        yield

    with pytest.raises(MissingExtra):
        predict(replace(TOY, episode=unready), items(3), Echo(), PLAIN, tmp_path)


# ── several prompts for a request ─────────────────────────────────────────────────────────────────

TABLE = (Domain("hotel", (Slot("area"), Slot("stars"))), Domain("train", (Slot("day"),)))
SAYS = {"hotel-area": "north", "train-day": "NONE", "hotel-stars": "4"}


def track(item: Item) -> Episode:
    """A state after each turn; what was asked before is in the history."""
    states, turns = [], ()
    for number in range(item.data):
        turns = (*turns, Turn("user", f"turn {number} of {item.id}"))
        reply = yield Request("state", turns, domains=TABLE)
        states.append([reply.state, reply.error, reply.text])
    return states


class Clerk(Echo):
    """Answers the question for a slot, last job first; `silent` slots come without an answer."""

    def __init__(self, silent: str = "", limit: int | None = None) -> None:
        super().__init__(limit)
        self.silent = silent

    def complete(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Completion]]:
        for index, _ in super().complete(jobs):
            slot = next(slot for slot in SAYS if f"<{slot}>" in (jobs[index].prompt.text or ""))
            failed = Completion("", error="context_overflow")
            yield index, failed if slot == self.silent else Completion(SAYS[slot], 10, 1)


def test_parts_are_asked_together_and_their_replies_joined(tmp_path: Path) -> None:
    """LDST asks for each slot: all questions of all items in one batch, one state an item and turn."""
    talk, model = replace(TOY, episode=track), Clerk()
    path = predict(talk, items(3), model, family("ldst"), tmp_path)
    assert model.batches == [3 * 2, 3]  # items that want 1 and 2 turns, then the one that wants another
    by_id = {row["id"]: row for row in rows(path)}
    state = {"hotel": {"area": "north", "stars": "4"}}
    assert by_id["i2"]["result"] == [[state, None, "north\n4\nNONE"]] * 2
    steps = by_id["i2"]["steps"]
    assert [step["part"] for step in steps] == [0, 1, 2] * 2
    assert [step["text"] for step in steps] == ["north", "4", "NONE"] * 2
    assert [step["completion_tokens"] for step in steps] == [1] * 6
    asked = [step["prompt"] for step in steps]
    assert [
        slot in prompt
        for slot, prompt in zip(["hotel-area", "hotel-stars", "train-day"] * 2, asked, strict=True)
    ]
    assert ["turn 1" in prompt for prompt in asked] == [False] * 3 + [True] * 3
    assert len({step["prompt_sha256"] for step in steps}) == 6

    again = predict(talk, items(3), ReplayModel(path), family("ldst"), tmp_path / "again")
    assert {row["id"]: row["result"] for row in rows(again)} == {id: row["result"] for id, row in by_id.items()}


def test_a_part_that_fails_is_its_items_error(tmp_path: Path) -> None:
    talk = replace(TOY, episode=track)
    (row,) = rows(predict(talk, items(2)[1:], Clerk(silent="hotel-stars"), family("ldst"), tmp_path))
    assert row["result"] == [[None, "context_overflow", "north\n\nNONE"]]
    assert [step["error"] for step in row["steps"]] == [None, "context_overflow", None]


def test_a_run_that_broke_off_between_parts_asks_the_item_again(tmp_path: Path) -> None:
    talk = replace(TOY, episode=track)
    with pytest.raises(ConnectionError):
        predict(talk, items(3)[1:], Clerk(limit=4), family("ldst"), tmp_path)
    kept = rows(tmp_path / "predictions.jsonl")
    assert [row["id"] for row in kept] == []  # of neither item have all parts been answered, last job first
    path = predict(talk, items(3)[1:], Clerk(), family("ldst"), tmp_path)
    assert sorted((row["id"], len(row["steps"])) for row in rows(path)) == [("i1", 3), ("i2", 6)]


# ── parties ───────────────────────────────────────────────────────────────────────────────────────


def conversation(item: Item) -> Episode:
    heard = []
    parties: list[Party] = ["user", "agent", "judge"]
    for party in parties:
        reply = yield Request("act", (Turn("user", f"{party} of {item.id}"),), party=party)
        heard.append(reply.response)
    return {"heard": heard}


class Named(Echo):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def complete(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Completion]]:
        for index, completion in super().complete(jobs):
            yield index, Completion(f"{self.name} {completion.text}")


def test_each_party_is_asked_its_own_model(tmp_path: Path) -> None:
    talk = replace(TOY, episode=conversation)
    others: dict[Party, Speaker] = {"user": Speaker(Named("U"), PLAIN), "judge": Speaker(Named("J"), PLAIN)}
    path = predict(talk, items(3), Named("A"), PLAIN, tmp_path, others=others)
    results = {row["id"]: row["result"]["heard"] for row in rows(path)}
    assert results == {f"i{n}": [f"U i{n}:0", f"A i{n}:1", f"J i{n}:2"] for n in range(3)}
    assert [step.get("party") for step in rows(path)[0]["steps"]] == ["user", None, "judge"]
    replayed = {party: Speaker(ReplayModel(path), PLAIN) for party in others}
    again = predict(talk, items(3), ReplayModel(path), PLAIN, tmp_path / "again", others=replayed)
    assert {row["id"]: row["result"]["heard"] for row in rows(again)} == results
    with pytest.raises(DataError, match="holds predictions of judge 'J', not None"):
        predict(talk, items(4), Named("A"), PLAIN, tmp_path, others={"user": others["user"]})


def test_a_party_that_nobody_speaks_for(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nobody speaks for the user") as raised:
        predict(replace(TOY, episode=conversation), items(3), Echo(), PLAIN, tmp_path)
    assert "--user-model" in raised.value.hint


def test_memory_is_that_of_open_episodes(tmp_path: Path) -> None:
    """Between a tenth and all of the items, next to nothing is added."""
    many = [Item(f"item {number}", "all", 1) for number in range(6000)]
    held: list[int] = []

    def watch(done: int, total: int) -> None:
        if done in (600, 6000):
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    predict(TOY, many, Echo(), PLAIN, tmp_path, progress=watch)
    tracemalloc.stop()
    assert held[1] - held[0] < 100_000
