"""What a run needs to go on as if it had never stopped: learned weights, optimiser, random state, position.

    RUN/checkpoints/step-00000200/state.pt                       gathered: whole tensors, on the first host
    RUN/checkpoints/step-00000200/{rest.pt,.metadata,*.distcp}   sharded: a file for each process

A checkpoint is written elsewhere first and renamed: it is whole, or it is not there. The learning rate and the
order of the data are functions of the position, so they are not stored; nor is dropout's random state for
several processes. A run can go on from either kind with another number of processes: sharded tensors are stored
with their places in the whole, and each process reads what it holds now (`torch.distributed.checkpoint`).
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from coalm.errors import DataError
from coalm.training.optimizer import Optimizers
from coalm.training.processes import ALONE, Processes, shard_like, whole_tensor

Kind = Literal["gathered", "sharded"]


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
    kind: Kind = "gathered",
) -> Path:
    """Write `folder/step-…` and remove all but the latest `keep`. All processes take part; one writes what is
    gathered, each its own shares of what is sharded.

    Raises:
        DataError: it cannot be written (a full disk, say); earlier checkpoints are left as they are.
    """
    path = folder / f"step-{position.step:08d}"
    unfinished = path.with_name(f".{path.name}.tmp")
    rest = {**_random_state(), "position": asdict(position)}
    if kind == "gathered":
        whole = {
            "weights": _gather(_learned(model), processes.first),
            "optimizer": _gather(optimizer.state_dict(), processes.first),
        }
        fault = processes.by_first(lambda: _write(unfinished, "state.pt", {**whole, **rest}))
    else:
        tensors = {**_named_weights(model), **dict(_named_state(model, optimizer))}
        fault = processes.by_first(lambda: _write(unfinished, "rest.pt", rest))
        fault = fault or _write_shares(unfinished, tensors)
    processes.by_first(lambda: _keep(unfinished, path, keep, fault))
    return path


def _write(folder: Path, name: str, state: dict[str, Any]) -> str:
    """Write `folder/name`, alone in its folder; what went wrong, or nothing."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with (folder / name).open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:  # torch's writer turns a full disk into a RuntimeError of its own
        return str(error.__context__ or error)
    return ""


def _write_shares(folder: Path, tensors: dict[str, Tensor]) -> str:
    """Write this process's shares of all tensors, while the others write theirs; what went wrong in any."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is but one process
            save(tensors, storage_writer=FileSystemWriter(folder))
    except CheckpointException as error:  # the same in all processes
        return "; ".join(str(fault) for fault, _ in error.failures.values())
    return ""


def _keep(unfinished: Path, path: Path, keep: int, fault: str) -> None:
    """Put a checkpoint in its place, and remove those that are too many now."""
    try:
        if fault:
            raise OSError(fault)
        shutil.rmtree(path, ignore_errors=True)
        unfinished.rename(path)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
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
    """Put the state in `path` into model, optimizer and the random generators; where the run stood.

    Raises:
        DataError: it is damaged, or of another model.
    """
    try:
        sharded = (path / "rest.pt").exists()
        rest: dict[str, Any] = torch.load(  # `weights_only`: tensors and plain values, wherever it comes from
            path / ("rest.pt" if sharded else "state.pt"),
            map_location="cpu",
            weights_only=True,
            mmap=processes.count > 1,  # then each takes its shares of what is mapped, and lets go of it
        )
        if sharded:
            _read_shares(path, model, optimizer)
        else:
            _take_shares(rest, model, optimizer)
        _set_random_state(rest)
        return Position(**rest["position"])
    except (OSError, RuntimeError, KeyError, ValueError, CheckpointException) as error:
        raise DataError(
            f"the checkpoint cannot be read: {error}", where=path, hint="remove it to go on from an earlier one"
        ) from None


def _take_shares(state: dict[str, Any], model: torch.nn.Module, optimizer: Optimizers) -> None:
    """Each process its shares of what was gathered."""
    weights, learned = state["weights"], _learned(model)
    _check_names(weights.keys(), learned.keys())
    with torch.no_grad():
        for name, weight in learned.items():
            weight.copy_(shard_like(weights[name], weight))
    _shard_state(state["optimizer"], optimizer)
    optimizer.load_state_dict(state["optimizer"])


def _read_shares(path: Path, model: torch.nn.Module, optimizer: Optimizers) -> None:
    """Each process its shares, from the files of any number of processes."""
    reader = FileSystemReader(path)
    held: dict[str, Any] = reader.read_metadata().state_dict_metadata
    weights = _named_weights(model)
    _check_names({name for name in held if name.startswith("weights/")}, weights.keys())
    wanted, facts = dict(weights), dict[str, dict[str, Tensor]]()
    for name in sorted(held.keys() - weights.keys()):
        _, fact, weight = name.split("/", 2)
        like = weights[f"weights/{weight}"]
        alike = held[name].size == like.shape  # sharded as the weight is; others are a count of steps
        wanted[name] = torch.zeros_like(like) if alike else torch.zeros(held[name].size)
        facts.setdefault(weight, {})[fact] = wanted[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is but one process
        load(wanted, storage_reader=reader)
    names = {id(weight): name for name, weight in _learned(model).items()}
    for part in optimizer.parts:
        state = part.state_dict()
        for group, kept in zip(part.param_groups, state["param_groups"], strict=True):
            for number, weight in zip(kept["params"], group["params"], strict=True):
                state["state"][number] = facts.get(names[id(weight)], {})
        part.load_state_dict(state)


def _check_names(found: Any, wanted: Any) -> None:
    if found != wanted:
        raise ValueError("it holds other weights than this model's")


def _random_state() -> dict[str, Tensor]:
    """Of this process. Several draw anew in each step, so that theirs is nothing that must be kept."""
    state = {"random": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda_random"] = torch.cuda.get_rng_state()
    return state


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["random"])
    if "cuda_random" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda_random"])


def _named_weights(model: torch.nn.Module) -> dict[str, Tensor]:
    """The weights themselves, sharded or not, under their names in a sharded checkpoint."""
    return {f"weights/{name}": weight.detach() for name, weight in _learned(model).items()}


def _named_state(model: torch.nn.Module, optimizer: Optimizers) -> Iterator[tuple[str, Tensor]]:
    """What the optimiser knows about each weight, by the weight's name, as its number depends on the model."""
    names = {id(weight): name for name, weight in _learned(model).items()}
    for part in optimizer.parts:
        for weight, facts in part.state.items():
            for fact, value in facts.items():
                yield f"optimizer/{fact}/{names[id(weight)]}", value


def _learned(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def _gather(value: Any, keep: bool) -> Any:
    """`value` with all tensors whole; `keep` is false where nobody looks at them."""
    if isinstance(value, Tensor):
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
                    if isinstance(value, Tensor):
                        facts[name] = shard_like(value, weight)


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))
