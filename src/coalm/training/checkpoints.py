"""What a run needs to go on as if it had never stopped: learned weights, optimiser, random state, position.

    RUN/checkpoints/step-00000200/state.pt

A checkpoint is written elsewhere first and renamed: it is whole, or it is not there. The learning rate and the
order of the data are functions of the position, so they are not stored. It holds whole tensors, however they
were sharded, so that a run can go on with another number of processes.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from coalm.errors import DataError
from coalm.training.optimizer import Optimizers
from coalm.training.processes import ALONE, Processes, shard_like, whole_tensor


@dataclass(frozen=True, slots=True)
class Position:
    """Steps taken, and seconds spent on them (evaluations included)."""

    step: int = 0
    seconds: float = 0.0


def save_checkpoint(
    folder: Path,
    model: torch.nn.Module,
    optimizer: Optimizers,
    position: Position,
    keep: int,
    processes: Processes = ALONE,
) -> Path:
    """Write `folder/step-…` and remove all but the latest `keep`. All processes take part, one writes.

    Raises:
        DataError: it cannot be written (a full disk, say); earlier checkpoints are left as they are.
    """
    path = folder / f"step-{position.step:08d}"
    state = {
        "weights": _gather(_learned(model), processes.first),
        "optimizer": _gather(optimizer.state_dict(), processes.first),
        "random": torch.get_rng_state(),
        "position": asdict(position),
    }
    processes.by_first(lambda: _write(path, state, keep))
    return path


def _write(path: Path, state: dict[str, Any], keep: int) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        with (temporary / "state.pt").open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        shutil.rmtree(path, ignore_errors=True)
        temporary.rename(path)
    except (OSError, RuntimeError) as error:  # torch's writer turns a full disk into a RuntimeError
        shutil.rmtree(temporary, ignore_errors=True)
        hint = "make room, and run again with --resume: it goes on from the last good checkpoint"
        raise DataError(f"the checkpoint cannot be written: {error}", where=path, hint=hint) from None
    for old in _checkpoints(path.parent)[:-keep]:
        shutil.rmtree(old)


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the most steps; what a killed run left half written is not one."""
    return next(reversed(_checkpoints(folder)), None)


def load_checkpoint(
    path: Path, model: torch.nn.Module, optimizer: Optimizers, processes: Processes = ALONE
) -> Position:
    """Put the state in `path` into model, optimizer and the random generator; where the run stood.

    Raises:
        DataError: it is damaged, or of another model.
    """
    try:
        state: dict[str, Any] = torch.load(
            path / "state.pt",
            map_location="cpu",
            weights_only=True,  # tensors and plain values: nothing in the file is run
            mmap=processes.count > 1,  # then each takes its shares of what is mapped, and lets go of it
        )
        weights = state["weights"]
        learned = _learned(model)
        if weights.keys() != learned.keys():
            raise ValueError("it holds other weights than this model's")
        with torch.no_grad():
            for name, weight in learned.items():
                weight.copy_(shard_like(weights[name], weight))
        _shard_state(state["optimizer"], optimizer)
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        return Position(**state["position"])
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise DataError(
            f"the checkpoint cannot be read: {error}", where=path, hint="remove it to go on from an earlier one"
        ) from None


def _learned(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def _gather(value: Any, keep: bool) -> Any:
    """`value` with all tensors whole; `keep` is false where nobody looks at them."""
    if isinstance(value, torch.Tensor):
        return whole_tensor(value, keep=keep)
    if isinstance(value, dict):
        return {key: _gather(item, keep) for key, item in value.items()}
    if isinstance(value, list):
        return [_gather(item, keep) for item in value]
    return value


def _shard_state(state: dict[str, Any], optimizer: Optimizers) -> None:
    """Shard the tensors of a gathered optimiser state, in place, as the weights are that they belong to."""
    held = zip(state["parts"], optimizer.parts, strict=True) if "parts" in state else ()
    for held_part, part in held:
        for held_group, group in zip(held_part["param_groups"], part.param_groups, strict=True):
            for number, weight in zip(held_group["params"], group["params"], strict=True):
                facts = held_part["state"].get(number, {})
                for name, value in facts.items():
                    if isinstance(value, torch.Tensor):
                        facts[name] = shard_like(value, weight)


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))
