"""One optimiser step on a global batch, and a look at the held-out rows: the arithmetic of the training loop.

All processes come here together. Each computes its part of the rows; sums over all of them are what is told.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from coalm.runs import log
from coalm.training.base import Base
from coalm.training.collate import collate
from coalm.training.data import Batches
from coalm.training.forward import sliding_window, summed_loss
from coalm.training.optimizer import Optimizers
from coalm.training.packing import Ahead, Pack, Packer
from coalm.training.processes import Processes, hold_gradients, reshard, sum_gradients, whole_tensor
from coalm.training.recipe import Recipe
from coalm.training.trie import NO_PARENT, Row, Trie

PLAIN_DIALOGUES = Path(__file__).parent.parent / "assets" / "plain_dialogues.txt"


@dataclass(frozen=True, slots=True)
class Run:
    """All that the loop works with; nothing here changes but the weights."""

    recipe: Recipe
    data: Path
    base: Base
    batches: Batches
    held_out: Sequence[Row]
    plain: Sequence[Row]
    optimizer: Optimizers
    device: str
    processes: Processes

    def prepare(self, steps: int) -> AbstractContextManager[Ahead[Prepared]]:
        """The packs of each step before `steps`, made one step ahead."""
        self._say_window()

        def prepared(step: int) -> Prepared:
            rows = self.batches.rows(step)
            return Prepared(len(rows), rows[0].tokens[0], self.packs(rows))

        return Ahead(prepared, steps)

    def _say_window(self) -> None:
        if self._window is None or self.base.attention == "own" or not self.processes.first:
            return
        long = int((self.batches.store.lengths - 1 > self._window).sum())
        if long:
            window = f"the model's sliding window of {self._window} tokens"
            log(f"{long} samples are longer than {window}: they are computed one by one, as plain rows")

    @property
    def _window(self) -> int | None:
        return sliding_window(self.base.model.config)

    def packs(self, rows: Sequence[Row]) -> list[Pack]:
        """The packs of this process's part of a batch, as this model can take them."""
        packer = Packer(self.base.attention, self.recipe.pack_tokens, self.recipe.sharing, self._window)
        return packer.packs(self.processes.part(rows, share=packer.shares))


class Prepared(NamedTuple):
    """A step's work for this process: `samples` of all processes, some token, and the packs of its part."""

    samples: int
    token: int
    packs: list[Pack]


def take_step(run: Run, ahead: Ahead[Prepared], step: int, rate: float) -> dict[str, Any]:
    """One optimiser step on a global batch; its row of metrics.

    `seconds` is all of it; `packing_seconds` is what of it was spent waiting for the packs.
    """
    started = time.monotonic()
    prepared = ahead.take(step)
    waited = time.monotonic() - started
    work = _measure(run, prepared.packs)
    total = 0.0
    for number, pack in enumerate(_even(run, prepared.packs, work.passes, prepared.token)):
        hold_gradients(run.base.model, number + 1 < work.passes and not run.recipe.offload)
        loss = _loss(run, pack) / work.targets
        loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        total += loss.item()
    if run.recipe.parallel == "ddp":
        sum_gradients(run.base.model, run.processes)
    if run.recipe.clip:
        _clip(run)
    for group in run.optimizer.param_groups:
        group["lr"] = rate * group.get("ratio", 1.0)
    run.optimizer.step()
    run.optimizer.zero_grad()
    return {
        "loss": round(run.processes.sum(total), 6),
        "lr": rate,
        "samples": prepared.samples,
        "targets": work.targets,
        "plain_tokens": work.plain_tokens,
        "computed_tokens": work.computed_tokens,
        "seconds": round(time.monotonic() - started, 4),
        "packing_seconds": round(waited, 4),
    }


class _Work(NamedTuple):
    """What all processes do for a batch; `passes`: forward passes, as many in each."""

    passes: int
    targets: int
    plain_tokens: int
    computed_tokens: int


def _measure(run: Run, packs: Sequence[Pack]) -> _Work:
    mine = [
        len(packs),
        sum(pack.targets for pack in packs),
        sum(pack.plain_tokens for pack in packs),
        sum(pack.computed_tokens for pack in packs),
    ]
    passes, *sums = zip(*run.processes.gather(mine), strict=True)
    targets, plain, computed = (int(sum(values)) for values in sums)
    return _Work(int(max(passes)), targets, plain, computed)


def _even(run: Run, packs: Sequence[Pack], passes: int, token: int) -> Iterator[Pack]:
    """The packs, and behind them as many of one token without a target as make up `passes`.

    Sharded weights are gathered by all processes at once: one that has less to do has to go along.
    """
    yield from packs
    for _ in range(passes - len(packs)):
        empty = collate(Trie(tokens=[token], parents=[NO_PARENT], depths=[0]))
        yield Pack(empty, run.base.attention, 0, 0)


def _clip(run: Run) -> None:
    """Scale the gradient down to the recipe's norm, over all weights of all processes."""
    learned = [weight for group in run.optimizer.param_groups for weight in group["params"]]
    norm = torch.nn.utils.get_total_norm([weight.grad for weight in learned if weight.grad is not None])
    torch.nn.utils.clip_grads_with_norm_(learned, run.recipe.clip, whole_tensor(norm))


def _loss(run: Run, pack: Pack) -> torch.Tensor:
    narrow = run.recipe.dtype == "bfloat16"
    with torch.autocast(run.device, torch.bfloat16, enabled=narrow):
        return summed_loss(run.base.model, pack.batch.to(run.device), pack.attention)


def evaluate(run: Run) -> dict[str, float]:
    """Mean loss over the target tokens of the held-out rows; nothing where there are none."""
    if not run.held_out:
        return {}
    started = time.monotonic()
    mean = _mean_loss(run, run.held_out)
    return {"eval_loss": round(mean, 6), "eval_seconds": round(time.monotonic() - started, 3)}


def look_back(run: Run) -> dict[str, float]:
    """Mean loss over dialogues that have nothing to do with tools: what a model forgets shows there."""
    return {"plain_loss": round(_mean_loss(run, run.plain), 6)} if run.plain else {}


def plain_rows(tokenizer: Any, limit: int) -> list[Row]:
    """The dialogues of `assets/plain_dialogues.txt`, all tokens but the first of each as targets."""
    texts = PLAIN_DIALOGUES.read_text(encoding="utf-8").split("\n\n")
    rows = [Row(list(tokenizer.encode(text.strip(), add_special_tokens=False)), 1) for text in texts]
    return [row for row in rows if 1 < len(row.tokens) <= limit]


@torch.no_grad()
def _mean_loss(run: Run, rows: Sequence[Row]) -> float:
    run.base.model.eval()
    packs = run.packs(rows)
    work = _measure(run, packs)
    total = sum(_loss(run, pack).item() for pack in _even(run, packs, work.passes, rows[0].tokens[0]))
    reshard(run.base.model)
    run.base.model.train()
    return run.processes.sum(total) / work.targets
