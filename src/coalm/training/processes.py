"""Several processes that train one model: how they find each other, share the work and shard the weights.

    torchrun --nproc-per-node 8 -m coalm train RECIPE --data DIR --out RUN

Each process takes part of the rows of a batch. Weights, gradients and optimiser state are sharded (FSDP2): a
decoder layer is gathered where it is computed. With `parallel: ddp` each process has them whole. Gradients are
summed over processes. Small facts travel over gloo, from host to host, so that they never wait for a device.
One process goes through the same calls, and none of them does anything then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from operator import attrgetter
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
)
from torch.distributed.tensor import DTensor, distribute_tensor

from coalm.errors import CoalmError
from coalm.training.trie import Row, shared_length

PATIENCE = timedelta(hours=6)
"""How long a process waits for the others: the first one encodes the data while they wait."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Processes:
    """How many there are, and which of them this is; the first one writes, logs and decides."""

    index: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.index == 0

    def tell(self, value: Result) -> Result:
        """The first process's `value`, in all of them."""
        if self.count == 1:
            return value
        box: list[Any] = [value if self.first else None]
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        told: Result = box[0]
        return told

    def by_first(self, work: Callable[[], Result]) -> Result:
        """What `work` gives in the first process, which alone runs it; the others wait.

        Raises:
            CoalmError: in the first process, if `work` does; the others then end without a word.
        """
        if self.count == 1:
            return work()
        result: Any = None
        fault: CoalmError | None = None
        if self.first:
            try:
                result = work()
            except CoalmError as error:
                fault = error
        if self.tell(fault is not None):
            raise fault or SystemExit(2)
        told: Result = self.tell(result)
        return told

    def first_then_rest(self, work: Callable[[], Result]) -> Result:
        """Run `work` in the first process and then in the others, which find what it left on disk.

        Raises:
            CoalmError: `work` does.
        """
        if self.count == 1:
            return work()
        results: list[Result] = []
        self.by_first(lambda: results.append(work()))
        return results[0] if self.first else work()

    def gather(self, values: Sequence[float]) -> list[list[float]]:
        """The `values` of all processes, as many in each."""
        if self.count == 1:
            return [list(values)]
        mine = torch.tensor(values, dtype=torch.float64)
        all_values = [torch.empty_like(mine) for _ in range(self.count)]
        dist.all_gather(all_values, mine)
        return [row.tolist() for row in all_values]

    def sum(self, value: float) -> float:
        """The sum over all processes, in their order: the same bits in each."""
        return sum(row[0] for row in self.gather([value]))

    def part(self, rows: Sequence[Row], *, share: bool) -> list[Row]:
        """The rows of a batch that this process computes."""
        return list(rows) if self.count == 1 else split_rows(rows, self.count, share=share)[self.index]


ALONE = Processes()


@contextmanager
def join_processes() -> Iterator[Processes]:
    """Meet the processes that a launcher (`torchrun`, `accelerate launch`) started; alone without one."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if dist.is_initialized():
        yield Processes(dist.get_rank(), dist.get_world_size())
        return
    if count == 1:
        yield ALONE
        return
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
        dist.barrier()
    except (CoalmError, SystemExit):  # in all of them, mostly: see `by_first`
        _wait_a_little()
        dist.destroy_process_group()
        raise
    dist.destroy_process_group()  # after other errors, one may wait for ever: the launcher ends them


def _wait_a_little() -> None:
    """Let the others come here too: one that is still reading when the connections go may be aborted."""
    with suppress(RuntimeError):
        dist.all_reduce(torch.zeros(1), async_op=True).wait(timedelta(seconds=10))


# ── sharing the work ──────────────────────────────────────────────────────────────────────────────


def split_rows(rows: Sequence[Row], count: int, *, share: bool) -> list[list[Row]]:
    """`count` parts of the rows in lexicographic order, so that rows with a common prefix stay together.

    The part that computes most tokens computes as few as can be. Parts may be empty.
    """
    rows = sorted(rows, key=attrgetter("tokens"))
    whole = [len(row.tokens) - 1 for row in rows]
    saved = [0] * len(rows)
    if share:
        saved = [0, *(shared_length(one.tokens[:-1], other.tokens[:-1]) for one, other in pairwise(rows))]
    low, high = max(whole, default=0), sum(whole)
    while low < high:
        middle = (low + high) // 2
        if len(_cuts(whole, saved, middle)) <= count:
            high = middle
        else:
            low = middle + 1
    cuts = _cuts(whole, saved, low)
    parts = [rows[start:stop] for start, stop in zip(cuts, [*cuts[1:], len(rows)], strict=True)]
    return [*parts, *([] for _ in range(count - len(parts)))]


def _cuts(whole: Sequence[int], saved: Sequence[int], limit: int) -> list[int]:
    """Where parts of at most `limit` computed tokens start, each as long as can be."""
    starts: list[int] = []
    size = limit
    for number, (tokens, shared) in enumerate(zip(whole, saved, strict=True)):
        size += tokens - shared
        if not starts or size > limit:
            starts.append(number)
            size = tokens
    return starts


# ── sharding the weights ──────────────────────────────────────────────────────────────────────────


def shard(
    model: Any,
    *,
    narrow: bool,
    offload: bool,
    device: str,
    place: Callable[[torch.nn.Parameter], None],
) -> None:
    """Shard `model`, which every process maps from its files, in place: each decoder layer, then what is left.

    `place` moves a weight to `device`. It is told those of a layer, then that layer is sharded, then the next
    one comes. `narrow`: the model computes in bfloat16, and gradients are summed in float32. `offload`: shards
    wait on the host. Weights that are stored as whole numbers (quantised ones, frozen) are not sharded; those
    of `method: qlora` are stored as the recipe's type, and are.
    """
    mesh = init_device_mesh(device, (dist.get_world_size(),))
    types = MixedPrecisionPolicy(torch.bfloat16, torch.float32) if narrow else MixedPrecisionPolicy()
    policy = CPUOffloadPolicy() if offload and device == "cuda" else OffloadPolicy()
    for module in [*_layers(model), model]:
        plain = [weight for weight in module.parameters() if not isinstance(weight, DTensor)]
        for weight in plain:
            place(weight)
        whole = {weight for weight in plain if not weight.is_floating_point()}
        fully_shard(module, mesh=mesh, mp_policy=types, offload_policy=policy, ignored_params=whole)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)  # the loss is divided by the targets of the global batch
            module.set_force_sum_reduction_for_comms(True)  # gloo knows no other
    if hasattr(model, "set_reduce_scatter_unused_params"):  # since torch 2.12 or so
        model.set_reduce_scatter_unused_params(True)  # an expert may be asked in one process and not in another


def hold_gradients(model: Any, held: bool) -> None:
    """Whether the coming backward passes keep their gradients to themselves: all but a step's last one."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(not held)


def reshard(model: Any) -> None:
    """Drop what a forward pass without a backward one has gathered."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def unshard(model: Any, processes: Processes) -> None:
    """Undo `shard`, to save the model: in the first process, what has learned is whole, on the host, and plain.

    All processes take part. Frozen weights are left behind, and so is all in the other processes.
    """
    found: dict[int, torch.nn.Parameter] = {}  # tied weights stay tied
    for module in model.modules():
        for name, weight in module._parameters.items():
            if not isinstance(weight, DTensor):
                continue
            if id(weight) not in found:
                tensor = torch.empty(0)
                if weight.requires_grad:
                    tensor = whole_tensor(weight, keep=processes.first)
                found[id(weight)] = torch.nn.Parameter(tensor, requires_grad=weight.requires_grad)
            module._parameters[name] = found[id(weight)]
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.__class__ = type(module).__mro__[2]  # FSDP2 made a class of (FSDPModule, the model's own)


def _layers(model: Any) -> list[torch.nn.Module]:
    """The modules that the model's own class wants undivided: its decoder layers."""
    names = set(getattr(model, "_no_split_modules", None) or ())
    return [module for module in model.modules() if type(module).__name__ in names]


def sum_gradients(model: torch.nn.Module, processes: Processes) -> None:
    """Add up the gradients of all processes, each of which holds the whole model: the same bits in each."""
    if processes.count == 1:
        return
    learned = [weight for weight in model.parameters() if weight.requires_grad]
    gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in learned]
    total = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(total)
    for weight, part in zip(learned, torch.split(total, [weight.numel() for weight in learned]), strict=True):
        weight.grad = part.view_as(weight)


# ── single tensors ────────────────────────────────────────────────────────────────────────────────


def whole_tensor(tensor: Tensor, *, keep: bool = True) -> Tensor:
    """A sharded tensor whole, on the host; others as they are. All processes take part; empty unless `keep`."""
    if not isinstance(tensor, DTensor):
        return tensor
    there: Any = tensor.detach().to(tensor.device_mesh.device_type)
    whole: Tensor = there.full_tensor()
    return whole.cpu() if keep else torch.empty(0)


def shard_like(whole: Tensor, like: Tensor) -> Tensor:
    """This process's share of a tensor that all of them have whole, sharded as `like` is."""
    if not isinstance(like, DTensor) or whole.shape != like.shape:
        return whole
    mesh = like.device_mesh
    part = distribute_tensor(whole.to(mesh.device_type), mesh, like.placements, src_data_rank=None)
    return part.clone().to(like.device)  # not a view: it would hold on to the whole
