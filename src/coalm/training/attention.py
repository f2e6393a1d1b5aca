"""Attention over a trie on a CPU: run by run, without a mask, at a cost that grows with what is attended to.

The layout is depth first, so all that may look at a run stands in one contiguous range: the run itself (causally)
and its subtree behind it (wholly). That is one call of causal attention with more queries than keys, aligned at
the top left. A token's ancestors are several runs; their partial results are joined by their log-sum-exps:

          keys  r0    r1  r2          a call for each run: queries start:stop, keys start:end
    queries r0  ◣
            r1  ■     ◣               out = Σ exp(lse_run − lse) · out_run,   lse = log Σ exp(lse_run)
            r2  ■         ◣

Backward, each call's gradients follow from the joined output and log-sum-exp alone: they add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from coalm.training.trie import Segment

_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


class _SegmentAttention(torch.autograd.Function):
    """q, k, v: (1, heads, tokens, width) -> (1, heads, tokens, width)."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, segments: Sequence[Segment], scale: float) -> Tensor:
        out = torch.zeros(q.shape, dtype=torch.float32)
        lse = torch.full(q.shape[:-1], -torch.inf)
        for start, end, stop in segments:
            part, part_lse = _forward(q[:, :, start:stop], k[:, :, start:end], v[:, :, start:end], 0.0, True, scale=scale)
            old = lse[:, :, start:stop]
            new = torch.logaddexp(old, part_lse)
            slot = out[:, :, start:stop]
            slot.mul_((old - new).exp_().unsqueeze(-1)).add_(part * (part_lse - new).exp_().unsqueeze(-1))
            lse[:, :, start:stop] = new
        out = out.to(q.dtype)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.segments, ctx.scale = segments, scale
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, lse = ctx.saved_tensors
        dq = torch.zeros(q.shape, dtype=torch.float32)
        dk, dv = torch.empty_like(k), torch.empty_like(v)
        for start, end, stop in ctx.segments:
            part = _backward(
                grad[:, :, start:stop], q[:, :, start:stop], k[:, :, start:end], v[:, :, start:end],
                out[:, :, start:stop], lse[:, :, start:stop], 0.0, True, scale=ctx.scale)
            dq[:, :, start:stop] += part[0]
            dk[:, :, start:end] = part[1]
            dv[:, :, start:end] = part[2]
        return dq.to(q.dtype), dk, dv, None, None
