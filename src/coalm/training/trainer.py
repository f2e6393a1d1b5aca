"""The training loop: a recipe, a mixture and an output folder in, a model out.

    RUN/started.json     which recipe, data, code and packages; before the first step
    RUN/recipe.yaml      as resolved
    RUN/metrics.jsonl    a row for each step
    RUN/checkpoints/     the latest few
    RUN/model/           the result, in Hugging Face's format, with tokenizer, card and coalm.json (as run.json)
    RUN/run.json         written last

The loss of a step is the mean over all target tokens of the global batch, however it is packed and however
many processes share it. These all run this code; the first one writes, logs and looks at the clock.
"""

from __future__ import annotations

import errno
import json
import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from coalm.dialogue import Sample
from coalm.errors import DataError, RecipeError
from coalm.memory import bound_caches, peak_memory
from coalm.runs import Journal, log, read_json_lines, write_json, write_text
from coalm.tokens import Encoder
from coalm.training.base import Base, open_base, open_tokenizer
from coalm.training.checkpoints import Position, latest_checkpoint, load_checkpoint, save_checkpoint
from coalm.training.data import Batches, Store, open_store, spread
from coalm.training.display import Watch, show_training
from coalm.training.model_card import FACTS, describe_model
from coalm.training.optimizer import make_optimizer
from coalm.training.processes import Processes, join_processes, unshard
from coalm.training.provenance import chosen, claim
from coalm.training.recipe import Recipe
from coalm.training.steps import Run, evaluate, look_back, plain_rows, take_step
from coalm.training.trackers import Track, check_installed, open_trackers, tracker_names
from coalm.training.trie import Row

MAKE_ROOM = "make room, and run again with --resume: it goes on from the last good checkpoint"

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
        DataError: no mixture, samples that cannot be learned from, `out` belongs to another run, or the disk is
            full.
        ModelError: the base model cannot be opened.
        MissingExtra: a tracker of `report_to` is not installed.
    """
    with _explain_full_disk(out), join_processes() as processes:
        processes.by_first(lambda: _check(recipe, processes))
        return _train(recipe, data, out, resume, progress, processes)


def _train(
    recipe: Recipe,
    data: Path,
    out: Path,
    resume: bool,
    progress: Callable[[], AbstractContextManager[Watch]],
    processes: Processes,
) -> Path:
    begun = time.monotonic()
    started = processes.by_first(lambda: claim(recipe, data, out, resume=resume))
    if processes.tell((out / "run.json").exists()):
        return out / "model"
    run = _open(recipe, data, out, {"data_sha256": started["data_sha256"]}, processes)
    position = _go_on(run, out)
    if processes.first:
        trackers = open_trackers(tracker_names(recipe.report_to), out, asdict(recipe), position.step)
        with (
            progress() as watch,
            _open_journal(out / "metrics.jsonl", position) as journal,
            trackers as track,
        ):
            end = _loop(run, position, partial(_record, journal, watch, track), out / "checkpoints")
    else:
        end = _loop(run, position, lambda done, row: None, out / "checkpoints")
    known = {**started, "parameters": _count_parameters(run.base.model)}
    unshard(run.base.model, processes)
    processes.by_first(lambda: _finish(run, out, known, end, begun))
    return out / "model"


def _finish(run: Run, out: Path, known: Mapping[str, Any], end: Position, begun: float) -> None:
    """Write the model and what the run was."""
    facts = {
        **known,
        "attention": run.base.attention,
        "processes": run.processes.count,
        "steps": end.step,
        "training_seconds": round(end.seconds, 1),
        "seconds": round(time.monotonic() - begun, 1),
        "store": asdict(run.batches.store.counts),
        "totals": _totals(out / "metrics.jsonl"),
        "eval_loss": _first_and_last(out / "metrics.jsonl", "eval_loss"),
        "plain_loss": _first_and_last(out / "metrics.jsonl", "plain_loss"),
    }
    _save_model(run.base, facts, out / "model")
    shutil.rmtree(out / "tokens", ignore_errors=run.processes.count > 1)  # others may have it open
    write_json(out / "run.json", facts)


def _save_model(base: Base, facts: Mapping[str, Any], folder: Path) -> None:
    """Write the model with its card; it appears in its place when all of it is there.

    Raises:
        DataError: it cannot be written.
    """
    from safetensors import SafetensorError

    unfinished = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir(parents=True)
        base.save(unfinished)
        write_json(unfinished / FACTS, facts)
        write_text(unfinished / "README.md", describe_model(facts))  # in place of what PEFT writes there
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    except (OSError, SafetensorError) as error:
        raise DataError(f"the model cannot be written: {error}", where=folder, hint=MAKE_ROOM) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def _explain_full_disk(out: Path) -> Iterator[None]:
    """Turn the system's error about a disk without room into the user's, which says what to do."""
    try:
        yield
    except OSError as error:
        short = error.errno is None and "requested and" in str(error)  # NumPy's, of an array cut off
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) and not short:
            raise
        raise DataError(f"cannot be written: {error}", where=out, hint=MAKE_ROOM) from None


# ── before the first step ─────────────────────────────────────────────────────────────────────────


def _check(recipe: Recipe, processes: Processes) -> None:
    """Refuse what cannot go well, before anything is written."""
    check_installed(tracker_names(recipe.report_to))
    if processes.count > 1 and recipe.optimizer == "muon" and recipe.parallel == "fsdp":
        hint = "take `parallel: ddp`, `optimizer: adamw`, or one process"
        raise RecipeError("muon works on whole matrices, and several processes hold shards", hint=hint)
    if processes.count == 1 and recipe.offload and torch.cuda.is_available():
        hint = "launch it with torchrun, or set offload=off"
        raise RecipeError("`offload` needs several processes", hint=hint)


def _open(recipe: Recipe, data: Path, out: Path, identity: Mapping[str, Any], processes: Processes) -> Run:
    bound_caches()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = processes.by_first(lambda: open_tokenizer(recipe, partial(chosen, recipe, data, "train")))
    base = open_base(recipe, tokenizer, device, processes)
    if processes.first:
        _say_attention(recipe, base)
    limit = min(recipe.max_length or 1 << 40, base.context or 1 << 40)

    def store(split: str) -> Store:
        samples: Callable[[], Iterable[Sample]] = partial(chosen, recipe, data, split)
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
        write_text(path, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in kept))
    return Journal(path)


# ── steps ─────────────────────────────────────────────────────────────────────────────────────────


def _loop(run: Run, position: Position, record: Record, checkpoints: Path) -> Position:
    """Take all steps that are left; where the run ends."""
    recipe, clock = run.recipe, _Clock(position.seconds, run.processes)
    steps = len(run.batches) if recipe.max_steps is None else min(len(run.batches), recipe.max_steps)
    step = position.step
    if step == 0:
        row = {"step": 0, "loss": None, "lr": 0.0, **evaluate(run), **look_back(run)}
        record(0.0, row | _memory(run))
    done = _share_done(recipe, step, steps, clock.seconds)
    with run.prepare(steps) as ahead:
        while done < 1:
            middle = _share_done(recipe, step + 0.5, steps, clock.seconds)  # so that no step has a rate of zero
            rate = recipe.learning_rate * schedule(recipe, middle)
            _draw_apart(run, step)
            row = {"step": step + 1, **take_step(run, ahead, step, rate)}
            step += 1
            done = _share_done(recipe, step, steps, clock.seconds)
            if step % recipe.eval_every == 0 or done >= 1:
                row |= evaluate(run)
            if done >= 1:
                row |= look_back(run)
            record(done, row | _memory(run))
            if step % recipe.save_every == 0 or done >= 1:
                now = Position(step, clock.seconds)
                whole = (run.base.model, run.optimizer, now, recipe.keep, run.processes, recipe.checkpoint)
                save_checkpoint(checkpoints, *whole)
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


def _record(journal: Journal, watch: Watch, track: Track, done: float, row: Mapping[str, Any]) -> None:
    journal.append(row)
    watch(done, row)
    track(row)


def _memory(run: Run) -> dict[str, int]:
    """The most that a process has held so far, in MB (2**20 bytes): on its GPU, else all that was resident."""
    peaks = run.processes.gather([peak_memory(run.device)])
    return {"memory_mb": round(max(peak for [peak] in peaks) / 2**20)}


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
