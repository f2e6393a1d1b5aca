"""Attention over a trie, in the ways a model may be able to take it.

`segments` (CPU) runs without a mask, at a cost that grows with what is attended to. The layout is depth first,
so all that may look at a run stands in one contiguous range: the run itself (causally) and its subtree behind
it (wholly). That is one call of causal attention with more queries than keys, aligned at the top left. A
token's ancestors are several runs; their partial results are joined by their log-sum-exps:

               keys  r0  r1  r2         a call for each run: queries start:stop, keys start:end
    queries     r0   ◣
                r1   ■   ◣              out = Σ exp(lse_run − lse) · out_run,   lse = log Σ exp(lse_run)
                r2   ■       ◣

Backward, each call's gradients follow from the joined output and log-sum-exp alone, and add up.

`dense` hands the model a mask of tokens x tokens, which costs the square of the pack: for devices and models
that cannot take the first. `own` leaves the model as it is, one plain row at a time: for all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from coalm.training.trie import Segment

Attention = Literal["segments", "dense", "own"]
IMPLEMENTATION = "coalm_segments"
"""The name under which `transformers` knows `attend_segments`."""

_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def register() -> None:
    """Make `attend_segments` known to `transformers`, for `model.set_attn_implementation(IMPLEMENTATION)`."""
    from transformers import AttentionInterface

    AttentionInterface.register(IMPLEMENTATION, attend_segments)


def attend_segments(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    segments: Sequence[Segment],
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """`transformers`' attention function: (1, heads, tokens, width), fewer heads for key and value, to
    (1, tokens, heads, width). Keyword arguments of the model's forward call arrive here, `segments` by name.

    Raises:
        ValueError: attention dropout, which would have to differ between rows that share a prefix.
    """
    if dropout:
        raise ValueError("attention dropout is not defined on shared prefixes")
    repeats = query.shape[1] // key.shape[1]
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    # In float32: on short runs, PyTorch's backward pass is several times slower in bfloat16.
    out: Tensor = _SegmentAttention.apply(  # type: ignore[no-untyped-call]  # untyped in torch
        query.float(), key.float(), value.float(), segments, scale
    )
    return out.to(value.dtype).transpose(1, 2), None


class _SegmentAttention(torch.autograd.Function):
    """query, key, value: (1, heads, tokens, width), float32 -> the same."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, segments: Sequence[Segment], scale: float
    ) -> Tensor:
        joined = torch.zeros_like(query)
        joined_lse = torch.full(query.shape[:-1], -torch.inf)
        for start, end, stop in segments:
            rows, run = slice(start, stop), slice(start, end)
            out, lse = _forward(
                query[:, :, rows], key[:, :, run], value[:, :, run], is_causal=True, scale=scale
            )
            before = joined_lse[:, :, rows].clone()
            after = torch.logaddexp(before, lse, out=joined_lse[:, :, rows])
            joined[:, :, rows] *= (before - after).exp_().unsqueeze(-1)
            joined[:, :, rows].addcmul_(out, (lse - after).exp_().unsqueeze(-1))
        ctx.save_for_backward(query, key, value, joined, joined_lse)
        ctx.segments, ctx.scale = segments, scale
        return joined

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, out, lse = ctx.saved_tensors
        grad_query = torch.zeros_like(query)
        grad_key, grad_value = torch.empty_like(key), torch.empty_like(value)
        for start, end, stop in ctx.segments:
            rows, run = slice(start, stop), slice(start, end)
            parts = _backward(
                *(grad[:, :, rows], query[:, :, rows], key[:, :, run], value[:, :, run], out[:, :, rows]),
                lse[:, :, rows],
                dropout_p=0.0,
                is_causal=True,
                scale=ctx.scale,
            )
            grad_query[:, :, rows] += parts[0]
            grad_key[:, :, run], grad_value[:, :, run] = parts[1], parts[2]
        return grad_query, grad_key, grad_value, None, None


def dense_mask(segments: Sequence[Segment], device: torch.device) -> Tensor:
    """(1, 1, tokens, tokens), true where the query (third dimension) may see the key (fourth)."""
    size = max((segment.stop for segment in segments), default=0)
    mask = torch.zeros(size, size, dtype=torch.bool, device=device)
    for start, end, stop in segments:
        mask[start:stop, start:end] = True
        mask[start:end, start:end].tril_()
    return mask[None, None]
