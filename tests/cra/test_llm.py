"""The engine that asks a model: against a real server that fails, stalls and talks nonsense, and is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from coalm.cra.llm import SOURCE, Totals, list_functions, rewrite, rewrite_cra, write_prompt
from coalm.cra.spending import Price
from coalm.cra.stored import load
from coalm.cra.transcript import read_transcript
from coalm.dialogue import Dialogue, Tool, Turn
from coalm.errors import CoalmError, ModelError
from coalm.families.coalm import act_samples
from coalm.models import Completion, Job, Model, open_model
from coalm.prompts import template
from coalm.sources import sgd
from tests.cra.conversations import dialogue, users_of, write
from tests.server import Answer, Asked, Fail, Garbage, HangUp, Server, Stall, serve

FIXTURES = Path(__file__).parents[1] / "fixtures"
FLORISTS = Tool("FindFlorists", "", {"properties": {"city": {}, "delivery_day": {}}, "required": ["city"]})
ORDER = Tool(
    "OrderBouquet",
    "",
    {
        "properties": {"florist": {}, "bouquet": {}, "delivery_day": {}, "card_text": {}},
        "required": ["florist", "bouquet", "delivery_day"],
    },
)
EIGHT = [dialogue(number) for number in range(8)]


def number_of(asked: Asked) -> int:
    """Which dialogue a request is about."""
    return int(users_of(asked.prompt)[0].removesuffix(", please.").rpartition(" ")[2])


def good(asked: Asked) -> Answer:
    return Answer(write(asked.prompt), prompt_tokens=1000, completion_tokens=200)


def connect(server: Server, **options: Any) -> Model:
    return open_model(f"openai:big@{server.url}", **{"timeout": 0.3, "backoff": 0.01, "attempts": 3, **options})


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run(
    script: Any, out: Path, dialogues: Sequence[Dialogue] = EIGHT, **options: Any
) -> tuple[Totals, list[int]]:
    """The totals of a run, and the numbers of the dialogues that were asked for."""
    with serve(script) as server:
        totals = rewrite(dialogues, connect(server), out, **options)
    return totals, sorted(map(number_of, server.requests))


# ── the whole way ─────────────────────────────────────────────────────────────────────────────────


def test_dialogues_come_back_in_order_and_as_a_corpus(tmp_path: Path) -> None:
    def script(asked: Asked) -> Answer:  # the first ones take longest
        return Answer(write(asked.prompt), 1000, 200, delay=0.05 if number_of(asked) < 2 else 0)

    totals, asked = run(script, tmp_path / "sgd-llm", price=Price(1.0, 2.0))
    assert asked == list(range(8))
    assert totals == Totals(8, 8, {}, 0, 8, 8000, 1600, False, 0.0112, None)
    found = list(load(tmp_path))
    assert [one.id for one in found] == [one.id for one in EIGHT]
    assert {one.source for one in found} == {SOURCE}
    assert found[3].tools == EIGHT[3].tools
    samples = list(act_samples(found[0]))
    assert [sample.task for sample in samples] == ["action", "response", "response"]
    assert samples[0].output.endswith("Action: FindBus(origin='Lodi', destination='Davis 0')")
    assert (tmp_path / "sgd-llm" / "rejected.jsonl").read_text() == ""


def test_a_server_with_every_fault_loses_nothing(tmp_path: Path) -> None:
    faults = [Fail(500), Fail(429), Stall(0.5), Garbage(b"<html>"), Garbage(b'{"cho', promised=99), HangUp()]

    def script(asked: Asked) -> Any:
        number = number_of(asked)
        return faults[number] if asked.count == 1 and number < len(faults) else good(asked)

    totals, asked = run(script, tmp_path)
    assert totals.accepted == 8
    assert Counter(asked) == Counter({number: 2 if number < len(faults) else 1 for number in range(8)})
    assert totals.requests == 8


def test_what_fails_is_rejected_with_the_reason(tmp_path: Path) -> None:
    def script(asked: Asked) -> Any:
        match number_of(asked):
            case 1:
                return Fail(500)
            case 2:
                return Answer("I'd rather not.")
            case 3:
                return Answer(write(asked.prompt), completion_tokens=4096)
            case 4:
                return Answer(write(asked.prompt).replace('"Lodi"', '"Atlantis"'))
            case 5:
                return Answer(write(asked.prompt, seats="2"))
        return good(asked)

    totals, _ = run(script, tmp_path)
    assert totals.accepted == 3
    found = {row["id"]: row for row in rows(tmp_path / "rejected.jsonl")}
    assert {id: row["kind"] for id, row in found.items()} == {
        "train/1": "no_answer",
        "train/2": "preamble",
        "train/3": "cut_off",
        "train/4": "check:hallucination",
        "train/5": "check:hallucination",
    }
    assert totals.rejected == Counter(row["kind"] for row in found.values())
    assert found["train/1"]["what"] == "http_500"
    assert found["train/2"]["text"] == "I'd rather not."
    assert found["train/4"]["where"] == "turns[1], action"
    assert "Atlantis" in found["train/4"]["what"]
    assert [one.id for one in load(tmp_path)] == ["train/0", "train/6", "train/7"]


def test_reading_anew_asks_nothing(tmp_path: Path) -> None:
    def script(asked: Asked) -> Any:
        return Answer(write(asked.prompt, seats="2")) if number_of(asked) == 5 else good(asked)

    assert run(script, tmp_path)[0].accepted == 7
    totals, asked = run(script, tmp_path, refuse=())
    assert (totals.accepted, asked) == (8, [])
    assert run(script, tmp_path)[0].accepted == 7


def test_a_retry_says_what_was_wrong(tmp_path: Path) -> None:
    def script(asked: Asked) -> Any:
        if number_of(asked) == 1 and "Mind" not in asked.prompt.rpartition("# User turns")[2]:
            return Answer("System: no")
        return Fail(400) if number_of(asked) == 2 else good(asked)

    totals, asked = run(script, tmp_path)
    assert totals.rejected == {"preamble": 1, "no_answer": 1}
    assert run(script, tmp_path)[1] == []  # not unless told
    totals, asked = run(script, tmp_path, retry_rejected=True)
    assert asked == [1, 2]
    assert totals.rejected == {"no_answer": 1}
    assert totals.requests == 10
    journal = rows(tmp_path / "answers.jsonl")
    assert [row["attempt"] for row in journal if row["id"] == "train/1"] == [0, 1]
    assert next(row["text"] for row in journal if row["id"] == "train/1") == "System: no"


# ── killed, stopped, limited ──────────────────────────────────────────────────────────────────────

PROGRAM = """
import sys
from pathlib import Path
from coalm.cra.llm import rewrite
from coalm.models import open_model
from tests.cra.conversations import dialogue
model = open_model(f"openai:big@{sys.argv[1]}", concurrency=4)
rewrite([dialogue(n) for n in range(60)], model, Path(sys.argv[2]))
"""


def test_killed_in_the_middle_it_asks_nothing_twice_that_was_answered(tmp_path: Path) -> None:
    killed = threading.Event()

    def script(asked: Asked) -> Answer:
        if len(server.requests) > 24:  # from here on it thinks until it is too late
            killed.wait(60)
        return Answer(write(asked.prompt))

    command = [sys.executable, "-c", PROGRAM]
    root = Path(__file__).parents[2]
    journal = tmp_path / "answers.jsonl"
    with serve(script) as server:
        process = subprocess.Popen([*command, server.url, str(tmp_path)], cwd=root)
        until = time.monotonic() + 60
        while time.monotonic() < until and (not journal.exists() or journal.read_bytes().count(b"\n") < 20):
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        killed.set()
        whole = journal.read_bytes().rpartition(b"\n")[0].split(b"\n")
        answered = {json.loads(line)["id"] for line in whole}
        assert 20 <= len(answered) <= 24
        assert not (tmp_path / "dialogues.parquet").exists()
        subprocess.run([*command, server.url, str(tmp_path)], cwd=root, check=True)
        counts = Counter(f"train/{number_of(asked)}" for asked in server.requests)
    assert len(counts) == 60
    assert {id for id in answered if counts[id] != 1} == set()
    # What was under way when it was killed is asked again: a request a thread, or two where an answer had come.
    assert 1 <= len(server.requests) - 60 <= 8
    assert [one.id for one in load(tmp_path)] == [f"train/{number}" for number in range(60)]


def test_a_finished_run_costs_nothing_to_repeat(tmp_path: Path) -> None:
    first, _ = run(good, tmp_path)
    before = (tmp_path / "dialogues.parquet").read_bytes()
    again, asked = run(good, tmp_path)
    assert asked == []
    assert again == first
    assert (tmp_path / "dialogues.parquet").read_bytes() == before


def test_a_refused_key_keeps_what_was_answered(tmp_path: Path) -> None:
    with serve(lambda asked: Fail(401) if number_of(asked) >= 3 else good(asked)) as server:
        with pytest.raises(ModelError):
            rewrite(EIGHT, connect(server, concurrency=1), tmp_path)
        assert len(rows(tmp_path / "answers.jsonl")) == 3
        assert not list(tmp_path.glob(".*.tmp"))
        assert not (tmp_path / "dialogues.parquet").exists()
    _, asked = run(good, tmp_path)
    assert asked == [3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("limits", "name"),
    [({"max_tokens": 30_000}, "max_tokens"), ({"price": Price(2.0, 10.0), "max_cost": 0.09}, "max_cost")],
)
def test_limits_are_never_passed_and_a_larger_one_goes_on(tmp_path: Path, limits: Any, name: str) -> None:
    """Each request takes 1,000 + 2,000 tokens, and might take 1,050 + 4,096."""

    def script(asked: Asked) -> Answer:
        return Answer(write(asked.prompt), 1000, 2000)

    many = [dialogue(number) for number in range(20)]
    totals, asked = run(script, tmp_path, many, **limits)
    assert totals.stopped == name
    assert totals.prompt_tokens + totals.completion_tokens <= limits.get("max_tokens", 1e9)
    assert (totals.cost or 0) <= limits.get("max_cost", 1e9)
    assert 3 <= totals.accepted < 10
    assert totals.unasked == 20 - totals.accepted
    assert len(list(load(tmp_path))) == totals.accepted
    again, none = run(script, tmp_path, many, **limits)
    assert (none, again.accepted, again.stopped) == ([], totals.accepted, name)
    rest, others = run(script, tmp_path, many)
    assert (rest.accepted, rest.stopped) == (20, None)
    assert sorted(asked + others) == list(range(20))


def test_a_cost_without_a_price_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(CoalmError, match="price"):
        run(good, tmp_path, max_cost=1.0)


def test_any_model_will_do(tmp_path: Path) -> None:
    """Batches, no token counts, its own order."""

    class Local:
        name = "local"

        def complete(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Completion]]:
            for index in reversed(range(len(jobs))):
                yield index, Completion(write(jobs[index].prompt.messages[0][1]))

    seen: list[int] = []
    totals = rewrite(EIGHT, Local(), tmp_path, progress=lambda done, total: seen.append(done))
    assert totals.accepted == 8
    assert totals.estimated
    assert seen == list(range(1, 9))


# ── the prompt, and SGD ───────────────────────────────────────────────────────────────────────────


def test_the_prompt_gives_users_and_functions_and_no_old_answer() -> None:
    text = write_prompt(EIGHT[0]).messages[0][1]
    assert text.endswith("# User turns\nUser: A bus from Lodi to Davis 0, please.\nUser: Great, that's all!")
    assert "\n1. FindBus(origin, destination, [seats])\n2. BuyTicket(bus)\n" in text
    assert "There is one." not in text
    for heading in ("Role", "Task", "Functions", "Output format", "Example", "User turns"):
        assert text.count(f"# {heading}\n") == 1
    again = write_prompt(EIGHT[0], "turn 1: found the fields User").messages[0][1]
    assert again.startswith(text)
    assert "refused: turn 1: found the fields User." in again


def test_prompts_of_one_schema_begin_alike() -> None:
    """Servers compute, and bill, a prefix that comes again only once."""
    texts = [write_prompt(one).messages[0][1] for one in EIGHT]
    shared = texts[0].index("# User turns")
    assert len({text[:shared] for text in texts}) == 1
    assert shared > 0.95 * len(texts[0])


def test_the_example_is_what_we_ask_for() -> None:
    """The example in the prompt passes our own reader."""
    before, _, transcript = template("cra/rewrite").partition("the conversation is\n\n")
    assert list_functions((FLORISTS, ORDER)) in before
    users = [line.removeprefix("User: ") for line in before.splitlines()[-4:] if line.startswith("User: ")]
    asked = Dialogue("a", "x", tuple(Turn("user", user) for user in users), (FLORISTS, ORDER))
    assert len(users) == 3 + 1
    assert len(read_transcript(transcript, asked).turns) == 2 + 4 + 4 + 2


def test_sgd_goes_all_the_way(tmp_path: Path) -> None:
    """On our own three dialogues in SGD's format, with a model that never calls anything."""

    def script(asked: Asked) -> Answer:
        turns = [f"User: {user}\nThought: Nothing to call.\nSystem: Fine." for user in users_of(asked.prompt)]
        return Answer("\n\n".join(turns))

    out = tmp_path / "out"
    with serve(script) as server:
        totals = rewrite_cra(
            FIXTURES / "sgd",
            out,
            f"openai:big@{server.url}",
            limit=2,
            concurrency=2,
            price=Price(1, 1),
            max_cost=1.0,
        )
        assert totals["accepted"] == 2
        more = rewrite_cra(FIXTURES / "sgd", out, f"openai:big@{server.url}", limit=3)
        assert more["accepted"] == len({asked.prompt for asked in server.requests}) == len(server.requests) == 3
    original = {one.id: one for one in sgd.load(FIXTURES / "sgd")}
    for found in load(out):
        kept = [turn.text for turn in original[found.id].turns if turn.role == "user"]
        assert [turn.text for turn in found.turns if turn.role == "user"] == kept
    written = json.loads((out / "run.json").read_text())
    assert written["totals"] == more
    assert written["inputs"]["sgd"]["sha256"]
