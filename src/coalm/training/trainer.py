"""The training loop: a recipe, a mixture and an output folder in, a model out.

    RUN/recipe.yaml      as resolved
    RUN/data.json        which data
    RUN/metrics.jsonl    a row for each step
    RUN/checkpoints/     the latest few
    RUN/model/           the result, in Hugging Face's format, tokenizer included
    RUN/run.json         written last

The loss of a step is the mean over all target tokens of the global batch, however it is packed.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from coalm.dialogue import Sample
from coalm.errors import DataError
from coalm.mixture import read
from coalm.runs import Journal, describe_run, log, read_json, read_json_lines, sha256, write_json
from coalm.tokens import Encoder
from coalm.training.base import Base, open_base, open_tokenizer
from coalm.training.checkpoints import Position, latest_checkpoint, load_checkpoint, save_checkpoint
from coalm.training.collate import collate
from coalm.training.data import Batches, Store, open_store, spread
from coalm.training.display import Watch, show_training
from coalm.training.forward import summed_loss
from coalm.training.optimizer import Optimizers, make_optimizer
from coalm.training.recipe import Recipe
from coalm.training.trie import Row, Trie, pack

DENSE_TOKENS = 2048
"""Largest pack for a dense mask on a CPU: beyond it, the mask costs more than sharing saves."""


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
    started = time.monotonic()
    identity = _claim(recipe, data, out, resume)
    if (out / "run.json").exists():
        return out / "model"
    run = _open(recipe, data, out, identity)
    position = _go_on(run, out)
    with progress() as watch, _open_journal(out / "metrics.jsonl", position) as journal:
        end = _loop(run, position, journal, out / "checkpoints", watch)
        totals = _totals(journal.path)
    run.base.save(out / "model")
    shutil.rmtree(out / "tokens")
    facts = {
        **identity,
        "attention": run.base.attention,
        "steps": end.step,
        "training_seconds": round(end.seconds, 1),
        "seconds": round(time.monotonic() - started, 1),
        "parameters": _count_parameters(run.base.model),
        "store": asdict(run.batches.store.counts),
        "totals": totals,
    }
    write_json(out / "run.json", describe_run("train", {"recipe": asdict(recipe), "data": data.name}, **facts))
    return out / "model"


@dataclass(frozen=True, slots=True)
class _Run:
    """All that the loop works with; nothing here changes but the weights."""

    recipe: Recipe
    base: Base
    batches: Batches
    held_out: Sequence[Row]
    optimizer: Optimizers
    device: str

    def packs(self, rows: Iterable[Row]) -> Iterator[Trie]:
        """Tries of a batch, as this model can take them."""
        match self.base.attention:
            case "segments":
                budget = self.recipe.pack_tokens
            case "dense":
                budget = min(self.recipe.pack_tokens, DENSE_TOKENS)
            case "own":
                budget = 0
        return pack(rows, budget, share=self.recipe.sharing and budget > 0)


# ── before the first step ─────────────────────────────────────────────────────────────────────────


def _claim(recipe: Recipe, data: Path, out: Path, resume: bool) -> dict[str, Any]:
    """Note in `out` what is being run; refuse to mix two runs. Gives what identifies the data."""
    text, path = recipe.to_yaml(), out / "recipe.yaml"
    hashes = {split: sha256(data / f"{split}.parquet") for split in _splits(data)}
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


def _splits(data: Path) -> list[str]:
    """The splits of a mixture that hold samples; `train` must."""
    splits = [split for split in ("train", "validation") if next(read(data, split), None)]
    if "train" not in splits:
        raise DataError("no sample to train on", where=data)
    return splits


def _open(recipe: Recipe, data: Path, out: Path, identity: Mapping[str, Any]) -> _Run:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = open_tokenizer(recipe, partial(read, data, "train"))
    base = open_base(recipe, tokenizer, device)
    _say_attention(recipe, base)
    limit = min(recipe.max_length or 1 << 40, base.context or 1 << 40)

    def store(split: str) -> Store:
        samples: Callable[[], Iterable[Sample]] = partial(read, data, split)
        kept = open_store(
            samples,
            Encoder(tokenizer).sample,
            out / "tokens" / split,
            limit=limit,
            drop_long=recipe.too_long == "drop",
            identity=identity,
        )
        if kept.counts.dropped:
            log(f"{split}: left out {kept.counts.dropped} samples longer than {limit} tokens")
        return kept

    batches = Batches(store("train"), recipe.batch, recipe.epochs, recipe.policy, recipe.seed)
    held_out: list[Row] = []
    if recipe.eval_samples and "validation" in identity["data_sha256"]:
        held_out = list(spread(store("validation"), recipe.eval_samples))
    return _Run(recipe, base, batches, held_out, make_optimizer(base.model, recipe), device)


def _say_attention(recipe: Recipe, base: Base) -> None:
    if base.attention == "own" and recipe.sharing:
        log("this model cannot take shared prefixes: it is trained on plain rows, one at a time")


def _go_on(run: _Run, out: Path) -> Position:
    """Where the run stands: at its last checkpoint, or at the start."""
    torch.manual_seed(run.recipe.seed)
    last = latest_checkpoint(out / "checkpoints")
    return load_checkpoint(last, run.base.model, run.optimizer) if last else Position()


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


def _loop(run: _Run, position: Position, journal: Journal, checkpoints: Path, watch: Watch) -> Position:
    """Take all steps that are left; where the run ends."""
    recipe, clock = run.recipe, _Clock(position.seconds)
    steps = len(run.batches) if recipe.max_steps is None else min(len(run.batches), recipe.max_steps)
    step = position.step
    if step == 0:
        _record(journal, watch, 0.0, {"step": 0, "loss": None, "lr": 0.0, **_evaluate(run)})
    while _share_done(recipe, step, steps, clock.seconds) < 1:
        middle = _share_done(recipe, step + 0.5, steps, clock.seconds)  # so that no step has a rate of zero
        rate = recipe.learning_rate * schedule(recipe, middle)
        row = {"step": step + 1, **_take_step(run, run.batches.rows(step), rate)}
        step += 1
        done = _share_done(recipe, step, steps, clock.seconds)
        if step % recipe.eval_every == 0 or done >= 1:
            row |= _evaluate(run)
        _record(journal, watch, done, row)
        if step % recipe.save_every == 0 or done >= 1:
            save_checkpoint(
                checkpoints, run.base.model, run.optimizer, Position(step, clock.seconds), recipe.keep
            )
    return Position(step, clock.seconds)


class _Clock:
    """Seconds of a run, those before it was resumed included."""

    def __init__(self, before: float) -> None:
        self._start = time.monotonic() - before

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start


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


def _take_step(run: _Run, rows: Sequence[Row], rate: float) -> dict[str, Any]:
    """One optimiser step on a global batch; its row of metrics."""
    started = time.monotonic()
    packs = list(run.packs(rows))
    targets = sum(trie.target_count for trie in packs)
    total = 0.0
    for trie in packs:
        loss = _loss(run, trie) / targets
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    if run.recipe.clip:
        learned = [weight for group in run.optimizer.param_groups for weight in group["params"]]
        torch.nn.utils.clip_grad_norm_(learned, run.recipe.clip)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    run.optimizer.step()
    run.optimizer.zero_grad()
    return {
        "loss": round(total, 6),
        "lr": rate,
        "samples": len(rows),
        "targets": targets,
        "plain_tokens": sum(trie.plain_tokens for trie in packs),
        "computed_tokens": sum(len(trie.tokens) for trie in packs),
        "seconds": round(time.monotonic() - started, 4),
    }


def _loss(run: _Run, trie: Trie) -> torch.Tensor:
    narrow = run.recipe.dtype == "bfloat16"
    with torch.autocast(run.device, torch.bfloat16, enabled=narrow):
        return summed_loss(run.base.model, collate(trie, run.device), run.base.attention)


@torch.no_grad()
def _evaluate(run: _Run) -> dict[str, float]:
    """Mean loss over the target tokens of the held-out rows; nothing where there are none."""
    if not run.held_out:
        return {}
    started = time.monotonic()
    run.base.model.eval()
    packs = list(run.packs(run.held_out))
    total = sum(_loss(run, trie).item() for trie in packs)
    run.base.model.train()
    mean = total / sum(trie.target_count for trie in packs)
    return {"eval_loss": round(mean, 6), "eval_seconds": round(time.monotonic() - started, 3)}


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


def _count_parameters(model: torch.nn.Module) -> dict[str, int]:
    weights = list(model.parameters())
    return {
        "all": sum(weight.numel() for weight in weights),
        "learned": sum(weight.numel() for weight in weights if weight.requires_grad),
    }
