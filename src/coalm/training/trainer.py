"""The training loop: a recipe, a mixture and an output folder in, a model out.

    RUN/recipe.yaml      as resolved
    RUN/data.json        which data
    RUN/metrics.jsonl    a row for each step
    RUN/checkpoints/     the latest few
    RUN/model/           the result, in Hugging Face's format, tokenizer included
    RUN/run.json         written last

The loss of a step is the mean over all target tokens of the global batch, however it is packed and however
many processes share it. These all run this code; the first one writes, logs and looks at the clock.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from coalm.dialogue import Sample
from coalm.errors import DataError, RecipeError
from coalm.mixture import read
from coalm.runs import Journal, describe_run, log, read_json, read_json_lines, sha256, write_json
from coalm.tokens import Encoder
from coalm.training.base import Base, open_base, open_tokenizer
from coalm.training.checkpoints import Position, latest_checkpoint, load_checkpoint, save_checkpoint
from coalm.training.data import Batches, Store, open_store, select, spread
from coalm.training.display import Watch, show_training
from coalm.training.optimizer import make_optimizer
from coalm.training.processes import (
    Processes,
    join_processes,
    shard,
    unshard,
)
from coalm.training.recipe import Recipe
from coalm.training.steps import Run, evaluate, look_back, plain_rows, take_step
from coalm.training.trie import Row

Record = Callable[[float, Mapping[str, Any]], None]
"""Told (share of the run that is done, a row of metrics)."""


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    resume: bool = False,
    progress: Callable[[], AbstractContextManager[Watch]] = show_training,
) -> Path:
    """Train by `recipe` on the mixture in `data`; the folder of the model, `out/model`.

    With `resume`, a run that was stopped goes on from its last checkpoint and ends as if it had not been
    stopped; a finished one is left as it is.

    Raises:
        DataError: no mixture, samples that cannot be learned from, or `out` belongs to another run.
        ModelError: the base model cannot be opened.
    """
    with join_processes() as processes:
        processes.by_first(lambda: _check_processes(recipe, processes))
        return _train(recipe, data, out, resume, progress, processes)


def _train(
    recipe: Recipe,
    data: Path,
    out: Path,
    resume: bool,
    progress: Callable[[], AbstractContextManager[Watch]],
    processes: Processes,
) -> Path:
    started = time.monotonic()
    identity = processes.by_first(lambda: _claim(recipe, data, out, resume))
    if processes.tell((out / "run.json").exists()):
        return out / "model"
    run = _open(recipe, data, out, identity, processes)
    position = _go_on(run, out)
    if processes.first:
        with progress() as watch, _open_journal(out / "metrics.jsonl", position) as journal:
            end = _loop(run, position, partial(_record, journal, watch), out / "checkpoints")
    else:
        end = _loop(run, position, lambda done, row: None, out / "checkpoints")
    facts = {**identity, "parameters": _count_parameters(run.base.model)}
    unshard(run.base.model, processes)
    processes.by_first(lambda: _finish(run, out, facts, end, started))
    return out / "model"


def _finish(run: Run, out: Path, known: Mapping[str, Any], end: Position, started: float) -> None:
    """Write the model and what the run was."""
    run.base.save(out / "model")
    shutil.rmtree(out / "tokens", ignore_errors=run.processes.count > 1)  # others may have it open
    facts = {
        **known,
        "attention": run.base.attention,
        "processes": run.processes.count,
        "steps": end.step,
        "training_seconds": round(end.seconds, 1),
        "seconds": round(time.monotonic() - started, 1),
        "store": asdict(run.batches.store.counts),
        "totals": _totals(out / "metrics.jsonl"),
        "plain_loss": _first_and_last(out / "metrics.jsonl", "plain_loss"),
    }
    arguments = {"recipe": asdict(run.recipe), "data": run.data.name}
    write_json(out / "run.json", describe_run("train", arguments, **facts))


# ── before the first step ─────────────────────────────────────────────────────────────────────────


def _check_processes(recipe: Recipe, processes: Processes) -> None:
    if processes.count > 1 and recipe.optimizer == "muon":
        hint = "take `optimizer: adamw`, or one process"
        raise RecipeError("muon works on whole matrices, and several processes hold shards", hint=hint)
    if processes.count == 1 and recipe.offload and torch.cuda.is_available():
        hint = "launch it with torchrun, or set offload=off"
        raise RecipeError("`offload` needs several processes", hint=hint)


def _claim(recipe: Recipe, data: Path, out: Path, resume: bool) -> dict[str, Any]:
    """Note in `out` what is being run; refuse to mix two runs. Gives what identifies the data."""
    text, path = recipe.to_yaml(), out / "recipe.yaml"
    hashes = {split: sha256(data / f"{split}.parquet") for split in _splits(recipe, data)}
    if path.exists():
        if not resume:
            hint = "give --resume to go on with it, or another --out"
            raise DataError("holds a run already", where=out, hint=hint)
        if path.read_text(encoding="utf-8") != text:
            raise DataError("holds a run of another recipe", where=out, hint=f"compare {path}")
        if read_json(out / "data.json") != hashes:
            raise DataError("holds a run on other data", where=out, hint="give another --out")
    else:
        write_json(out / "data.json", hashes)
        path.write_text(text, encoding="utf-8")
    return {"data_sha256": hashes}


def _splits(recipe: Recipe, data: Path) -> list[str]:
    """The splits of a mixture that hold samples for this recipe; `train` must."""
    splits = [split for split in ("train", "validation") if next(_samples(recipe, data, split), None)]
    if "train" not in splits:
        hint = "look at `only` and `without` of the recipe" if recipe.only or recipe.without else ""
        raise DataError("no sample to train on", where=data, hint=hint)
    return splits


def _samples(recipe: Recipe, data: Path, split: str) -> Iterator[Sample]:
    return select(read(data, split), recipe.only, recipe.without)


def _open(recipe: Recipe, data: Path, out: Path, identity: Mapping[str, Any], processes: Processes) -> Run:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = processes.by_first(lambda: open_tokenizer(recipe, partial(_samples, recipe, data, "train")))
    base = processes.first_then_rest(lambda: open_base(recipe, tokenizer, device))
    if processes.count > 1:
        shard(base.model, narrow=recipe.dtype == "bfloat16", offload=recipe.offload, device=device)
    if processes.first:
        _say_attention(recipe, base)
    limit = min(recipe.max_length or 1 << 40, base.context or 1 << 40)

    def store(split: str) -> Store:
        samples: Callable[[], Iterable[Sample]] = partial(_samples, recipe, data, split)
        kept = processes.first_then_rest(
            lambda: open_store(
                samples,
                Encoder(tokenizer).sample,
                out / "tokens" / split,
                limit=limit,
                drop_long=recipe.too_long == "drop",
                identity=identity,
            )
        )
        if kept.counts.dropped and processes.first:
            log(f"{split}: left out {kept.counts.dropped} samples longer than {limit} tokens")
        return kept

    batches = Batches(store("train"), recipe.batch, recipe.epochs, recipe.policy, recipe.seed)
    held_out: list[Row] = []
    if recipe.eval_samples and "validation" in identity["data_sha256"]:
        held_out = list(spread(store("validation"), recipe.eval_samples))
    optimizer = make_optimizer(base.model, recipe)
    plain = plain_rows(tokenizer, limit)
    return Run(recipe, data, base, batches, held_out, plain, optimizer, device, processes)


def _say_attention(recipe: Recipe, base: Base) -> None:
    if base.attention == "own" and recipe.sharing:
        log("this model cannot take shared prefixes: it is trained on plain rows, one at a time")


def _go_on(run: Run, out: Path) -> Position:
    """Where the run stands: at its last checkpoint, or at the start."""
    torch.manual_seed(run.recipe.seed)
    last = run.processes.by_first(lambda: latest_checkpoint(out / "checkpoints"))
    return load_checkpoint(last, run.base.model, run.optimizer, run.processes) if last else Position()


def _open_journal(path: Path, position: Position) -> Journal:
    """The metrics up to `position`; steps after the last checkpoint are taken, and written, again."""
    if path.exists():
        with Journal(path) as journal:
            kept = [row for row in journal.rows if position.step and row["step"] <= position.step]
        path.unlink()
        with Journal(path) as journal:
            for row in kept:
                journal.append(row)
    return Journal(path)


# ── steps ─────────────────────────────────────────────────────────────────────────────────────────


def _loop(run: Run, position: Position, record: Record, checkpoints: Path) -> Position:
    """Take all steps that are left; where the run ends."""
    recipe, clock = run.recipe, _Clock(position.seconds, run.processes)
    steps = len(run.batches) if recipe.max_steps is None else min(len(run.batches), recipe.max_steps)
    step = position.step
    if step == 0:
        record(0.0, {"step": 0, "loss": None, "lr": 0.0, **evaluate(run), **look_back(run)})
    while _share_done(recipe, step, steps, clock.seconds) < 1:
        middle = _share_done(recipe, step + 0.5, steps, clock.seconds)  # so that no step has a rate of zero
        rate = recipe.learning_rate * schedule(recipe, middle)
        _draw_apart(run, step)
        row = {"step": step + 1, **take_step(run, run.batches.rows(step), rate)}
        step += 1
        done = _share_done(recipe, step, steps, clock.seconds)
        if step % recipe.eval_every == 0 or done >= 1:
            row |= evaluate(run)
        if done >= 1:
            row |= look_back(run)
        record(done, row)
        if step % recipe.save_every == 0 or done >= 1:
            now = Position(step, clock.seconds)
            save_checkpoint(checkpoints, run.base.model, run.optimizer, now, recipe.keep, run.processes)
    return Position(step, clock.seconds)


class _Clock:
    """Seconds of a run, those before it was resumed included; the first process's, in all of them."""

    def __init__(self, before: float, processes: Processes) -> None:
        self._start = time.monotonic() - before
        self._processes = processes

    @property
    def seconds(self) -> float:
        return self._processes.tell(time.monotonic() - self._start)


def _draw_apart(run: Run, step: int) -> None:
    """Let each process draw its own dropout, as a function of the step: no checkpoint has to hold it."""
    if run.processes.count > 1:
        numbers = [run.recipe.seed, step, run.processes.index]
        torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))


def _share_done(recipe: Recipe, step: float, steps: int, seconds: float) -> float:
    """How much of the run lies behind, by steps or by the clock, whichever ends it first."""
    by_steps = step / steps if steps else 1.0
    by_clock = seconds / (60 * recipe.max_minutes) if recipe.max_minutes else 0.0
    return max(by_steps, by_clock)


def schedule(recipe: Recipe, done: float) -> float:
    """Share of the peak learning rate at `done`, from 0 to 1, of the run."""
    if done < recipe.warmup_ratio:
        return done / recipe.warmup_ratio
    left = (1 - done) / (1 - recipe.warmup_ratio)
    match recipe.schedule:
        case "linear":
            return left
        case "cosine":
            return 0.5 * (1 - math.cos(math.pi * left))
        case "constant":
            return 1.0


def _record(journal: Journal, watch: Watch, done: float, row: Mapping[str, Any]) -> None:
    journal.append(row)
    watch(done, row)


def _totals(path: Path) -> dict[str, int]:
    """Sums over all steps of a run."""
    names = ("samples", "targets", "plain_tokens", "computed_tokens")
    totals = dict.fromkeys(names, 0)
    for _, row in read_json_lines(path):
        for name in names:
            totals[name] += row.get(name, 0)
    return totals


def _first_and_last(path: Path, name: str) -> dict[str, float]:
    """What was measured before the first step and after the last."""
    found = [row[name] for _, row in read_json_lines(path) if name in row]
    return {"before": found[0], "after": found[-1]} if found else {}


def _count_parameters(model: torch.nn.Module) -> dict[str, int]:
    weights = list(model.parameters())
    return {
        "all": sum(weight.numel() for weight in weights),
        "learned": sum(weight.numel() for weight in weights if weight.requires_grad),
    }
