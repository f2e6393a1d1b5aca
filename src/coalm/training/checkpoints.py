"""What a run needs to go on as if it had never stopped: learned weights, optimiser, random state, position.

    RUN/checkpoints/step-00000200/state.pt

A checkpoint is written elsewhere first and renamed: it is whole, or it is not there. The learning rate and the
order of the data are functions of the position, so they are not stored.
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


@dataclass(frozen=True, slots=True)
class Position:
    """Steps taken, and seconds spent on them (evaluations included)."""

    step: int = 0
    seconds: float = 0.0


def save_checkpoint(
    folder: Path, model: torch.nn.Module, optimizer: Optimizers, position: Position, keep: int
) -> Path:
    """Write `folder/step-…` and remove all but the latest `keep`.

    Raises:
        DataError: it cannot be written (a full disk, say); earlier checkpoints are left as they are.
    """
    path = folder / f"step-{position.step:08d}"
    temporary = folder / f".{path.name}.tmp"
    state = {
        "weights": _learned(model),
        "optimizer": optimizer.state_dict(),
        "random": torch.get_rng_state(),
        "position": asdict(position),
    }
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
    for old in _checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return path


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the most steps; what a killed run left half written is not one."""
    return next(reversed(_checkpoints(folder)), None)


def load_checkpoint(path: Path, model: torch.nn.Module, optimizer: Optimizers) -> Position:
    """Put the state in `path` into model, optimizer and the random generator; where the run stood.

    Raises:
        DataError: it is damaged, or of another model.
    """
    try:
        state: dict[str, Any] = torch.load(path / "state.pt", map_location="cpu", weights_only=True)
        weights = state["weights"]
        learned = _learned(model)
        if weights.keys() != learned.keys():
            raise ValueError("it holds other weights than this model's")
        with torch.no_grad():
            for name, weight in learned.items():
                weight.copy_(weights[name])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        return Position(**state["position"])
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise DataError(
            f"the checkpoint cannot be read: {error}", where=path, hint="remove it to go on from an earlier one"
        ) from None


def _learned(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))
