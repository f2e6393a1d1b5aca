"""Two processes on the CPU (gloo) against one: the same losses, the same weights, each holding half of them."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from coalm.tokens import Encoder
from coalm.training.data import Batches, open_store
from coalm.training.processes import Processes, join_processes, split_rows
from coalm.training.recipe import Lora, Recipe
from coalm.training.trainer import train
from coalm.training.trie import Row, merge, pack

from .made import RECIPE, SHAPE, random_rows, samples
from .test_trainer import facts, final_weights, latest, metrics

TOLERANCE = 1e-5
"""Relative difference of losses and of all weights together; sums in another order, in float32."""

STEPS = replace(
    RECIPE,
    scratch=replace(SHAPE, vocabulary=900),
    max_steps=4,
    batch=12,
    learning_rate=1e-3,
    eval_every=2,
    save_every=2,
)

PACK = 660
"""So small that a batch of `STEPS` takes four packs in one process, two in each of two."""

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.timeout(180)


# ── splitting a batch ─────────────────────────────────────────────────────────────────────────────


def computed(parts: Sequence[Sequence[Row]], share: bool) -> list[int]:
    return [len(merge(part, share=share).tokens) for part in parts]


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_parts_hold_all_rows_in_order_and_none_is_larger_than_it_must_be(count: int, share: bool) -> None:
    draw = random.Random(count)
    for _ in range(30):
        rows = random_rows(draw, draw.randint(1, 12))
        parts = split_rows(rows, count, share=share)
        assert len(parts) == count
        assert [row for part in parts for row in part] == sorted(rows, key=lambda row: row.tokens)
        assert max(computed(parts, share)) == smallest_possible(rows, count, share)


def smallest_possible(rows: Sequence[Row], count: int, share: bool) -> int:
    """The largest part of the best contiguous split, by trying all with the last cut moving."""
    rows = sorted(rows, key=lambda row: row.tokens)
    best = computed([rows[:stop] for stop in range(len(rows) + 1)], share)
    for _ in range(count - 1):
        best = [
            min(max(best[cut], *computed([rows[cut:stop]], share)) for cut in range(stop + 1))
            for stop in range(len(rows) + 1)
        ]
    return best[-1]


def test_rows_with_a_common_prefix_stay_together() -> None:
    rows = [Row([family, 1, 2, 3, 4, tail], 1) for tail in range(3) for family in (7, 8)]
    parts = split_rows(rows, 2, share=True)
    assert [{row.tokens[0] for row in part} for part in parts] == [{7}, {8}]


# ── the same run ──────────────────────────────────────────────────────────────────────────────────


def command(mixture: Path, out: Path, recipe: Recipe) -> list[str]:
    path = out.with_suffix(".yaml")
    path.write_text(recipe.to_yaml())
    return ["train", str(path), "--data", str(mixture), "--out", str(out), "--resume"]


def launch(mixture: Path, out: Path, recipe: Recipe, count: int = 2) -> list[subprocess.Popen[str]]:
    """`coalm train --resume` in `count` processes."""
    return start(["tests.training.launched", *command(mixture, out, recipe)], count)


def start(module: Sequence[str], count: int) -> list[subprocess.Popen[str]]:
    """A module with its arguments in `count` processes, started as a launcher starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    there = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    return [
        subprocess.Popen(
            [sys.executable, "-m", *module],
            env={**os.environ, **there, "RANK": str(index), "LOCAL_RANK": str(index), "OMP_NUM_THREADS": "1"},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(count)
    ]


def finish(run: Sequence[subprocess.Popen[str]]) -> list[str]:
    """What each process printed, once all have ended well."""
    output = [process.communicate(timeout=120)[0] for process in run]
    assert [process.returncode for process in run] == [0] * len(run), "\n".join(output)
    return output


def kill_after(step: int, run: Sequence[subprocess.Popen[str]], out: Path) -> None:
    """Kill all processes, without a warning, once there is a checkpoint of that step."""
    while latest(out) < step:
        assert run[0].poll() is None, run[0].communicate()
        time.sleep(0.01)
    for process in run:
        process.kill()
    for process in run:
        process.communicate()
    assert not (out / "run.json").exists()


def assert_same_run(one: Path, other: Path, tolerance: float = TOLERANCE) -> None:
    counted = ("step", "lr", "samples", "targets", "plain_tokens")
    mine, theirs = metrics(one), metrics(other)
    for a, b in zip(mine, theirs, strict=True):
        assert [a.get(key) for key in counted] == [b.get(key) for key in counted]
        losses = [[row.get(key) or 0.0 for key in ("loss", "eval_loss")] for row in (a, b)]
        assert losses[0] == pytest.approx(losses[1], rel=tolerance, abs=1e-6)
    assert distance(final_weights(one), final_weights(other)) < tolerance


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Norm of the difference of all weights, relative to their norm."""
    assert one.keys() == other.keys()
    apart = sum(float((one[name] - other[name]).square().sum()) for name in one)
    return (apart / sum(float(weight.square().sum()) for weight in one.values())) ** 0.5


def test_one_batch_four_packs_and_two_processes_are_the_same_step(tmp_path: Path, mixture: Path) -> None:
    small = replace(STEPS, pack_tokens=PACK)
    model = train(STEPS, mixture, tmp_path / "whole")
    assert_four_packs_or_two_and_two(model, tmp_path / "tokens")
    train(small, mixture, tmp_path / "packs")
    one, two = finish(launch(mixture, tmp_path / "two", small))
    assert_same_run(tmp_path / "whole", tmp_path / "packs")
    assert_same_run(tmp_path / "whole", tmp_path / "two")
    assert "0%  step 0" in one
    assert "step" not in two
    assert facts(tmp_path / "two")["processes"] == 2
    for key in ("parameters", "store"):
        assert facts(tmp_path / "two")[key] == facts(tmp_path / "whole")[key]


def assert_four_packs_or_two_and_two(model: Path, folder: Path) -> None:
    encode = Encoder.load(model).sample
    store = open_store(lambda: samples(5, 10), encode, folder, limit=1024, drop_long=False, identity={})
    batches = Batches(store, STEPS.batch, STEPS.epochs, STEPS.policy, STEPS.seed)
    for step in range(4):
        rows = batches.rows(step)
        assert len(list(pack(rows, PACK))) == 4
        assert [len(list(pack(part, PACK))) for part in split_rows(rows, 2, share=True)] == [2, 2]


def test_torchrun_launches_adapters_and_a_process_may_have_no_row(
    tmp_path: Path, mixture: Path, base: Path
) -> None:
    recipe = replace(STEPS, scratch=None, model=str(base), method="lora", lora=Lora(rank=4))
    recipe = replace(recipe, epochs=1, max_steps=None, batch=29)  # and then one of a single row
    train(recipe, mixture, tmp_path / "one")
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    ours = ["tests.training.launched", *command(mixture, tmp_path / "two", recipe)]
    subprocess.run(
        [sys.executable, "-m", *torchrun, *ours],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    assert_same_run(tmp_path / "one", tmp_path / "two")
    names = [{path.name for path in (tmp_path / name / "model").iterdir()} for name in ("one", "two")]
    assert names[0] == names[1]
    assert adapter_config(tmp_path / "one") == adapter_config(tmp_path / "two")


def adapter_config(run: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((run / "model" / "adapter_config.json").read_text())
    return {**config, "target_modules": sorted(config["target_modules"])}


def test_bfloat16_learns_what_one_process_learns(tmp_path: Path, mixture: Path) -> None:
    recipe = replace(STEPS, dtype="bfloat16", max_steps=6)
    train(recipe, mixture, tmp_path / "one")
    finish(launch(mixture, tmp_path / "two", recipe))
    losses = [[row["loss"] for row in metrics(tmp_path / name)[1:]] for name in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], rel=5e-3)
    weights = [final_weights(tmp_path / name) for name in ("one", "two")]
    assert {weight.dtype for weight in weights[1].values()} == {torch.float32}
    assert distance(*weights) < 1e-2


@pytest.mark.parametrize(("optimizer", "tolerance"), [("adamw", TOLERANCE), ("muon", 1e-3)])
def test_with_ddp_both_hold_the_whole_model_and_learn_what_one_learns(
    tmp_path: Path, mixture: Path, optimizer: Literal["adamw", "muon"], tolerance: float
) -> None:
    """Muon turns what it is given in bfloat16: sums in another order differ by more then."""
    recipe = replace(STEPS, optimizer=optimizer, parallel="ddp", max_steps=6)
    train(recipe, mixture, tmp_path / "one")
    finish(launch(mixture, tmp_path / "two", recipe))
    assert_same_run(tmp_path / "one", tmp_path / "two", tolerance)


# ── going on ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_killed_run_goes_on_with_another_number_of_processes(
    tmp_path: Path, mixture: Path, before: int, after: int
) -> None:
    recipe = replace(STEPS, max_steps=24, save_every=1)
    train(recipe, mixture, tmp_path / "whole")
    kill_after(3, launch(mixture, tmp_path / "broken", recipe, before), tmp_path / "broken")
    finish(launch(mixture, tmp_path / "broken", recipe, after))
    assert_same_run(tmp_path / "whole", tmp_path / "broken")


# ── faults ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("optimizer", "message"), [("adamw", "train.parquet"), ("muon", "muon works on whole matrices")]
)
def test_the_first_process_alone_says_what_is_wrong(
    tmp_path: Path, optimizer: Literal["adamw", "muon"], message: str
) -> None:
    one, two = launch(tmp_path, tmp_path / "run", replace(STEPS, optimizer=optimizer))
    outputs = [process.communicate(timeout=60)[0] for process in (one, two)]
    assert (one.returncode, two.returncode) == (2, 2), outputs
    assert message in outputs[0]
    assert message not in outputs[1]
    assert "Traceback" not in "".join(outputs)


def test_alone_nothing_is_sent() -> None:
    with join_processes() as processes:
        assert processes == Processes(0, 1)
        assert processes.tell("a") == processes.by_first(lambda: "a") == "a"
        assert processes.gather([1, 2]) == [[1, 2]]
