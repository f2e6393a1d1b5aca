"""Greedy decoding of a batch: what all prompts begin with is computed once, rows that have ended drop out.

prompts   S S S a b      shared prefix S, computed for one row and then repeated
          S S S c        the rest, padded on the left
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

SHARED_AT_LEAST = 32
ROOM = 64


@torch.inference_mode()
def decode_greedily(
    model: Any, prompts: Sequence[list[int]], limits: Sequence[int], ends: Collection[int]
) -> list[list[int]]:
    """The most likely continuation of each prompt: up to and with a token of `ends`, or `limits` tokens long.

    `prompts` hold at least one token each. The model must take a `DynamicCache` and left-padded batches.
    """
    device = model.device
    cache, shared = _prefill_shared(model, prompts)
    width = max(map(len, prompts)) - shared
    pads = [width - (len(prompt) - shared) for prompt in prompts]
    tokens = torch.tensor(
        [[0] * pad + list(prompt[shared:]) for pad, prompt in zip(pads, prompts, strict=True)], device=device
    )
    mask = torch.ones((len(prompts), shared + width), dtype=torch.long, device=device)
    for row, pad in enumerate(pads):
        mask[row, shared : shared + pad] = 0
    positions = (mask.cumsum(1) - 1).clamp(min=0)[:, shared:]

    answers: list[list[int]] = [[] for _ in prompts]
    rows = list(range(len(prompts)))
    while True:
        best = _step(model, tokens, mask, positions, cache)
        for row, token in zip(rows, best.tolist(), strict=True):
            answers[row].append(token)
        staying = [
            place
            for place, row in enumerate(rows)
            if answers[row][-1] not in ends and len(answers[row]) < limits[row]
        ]
        if not staying:
            return answers
        positions = positions[:, -1:] + 1
        if len(staying) < len(rows):
            chosen = torch.tensor(staying, device=device)
            cache.batch_select_indices(chosen)
            rows = [rows[place] for place in staying]
            best, mask, positions = best[chosen], mask[chosen], positions[chosen]
        tokens = best[:, None]
        mask = torch.cat([mask, mask.new_ones((len(rows), 1))], dim=1)


def _prefill_shared(model: Any, prompts: Sequence[list[int]]) -> tuple[DynamicCache, int]:
    """A cache of what all prompts begin with, repeated for each, and its length (0 where that is short)."""
    cache = DynamicCache(config=model.config)
    cache.layers = [_RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    shared = _shared_length(prompts)
    if shared < SHARED_AT_LEAST or len(prompts) == 1:
        return cache, 0
    tokens = torch.tensor([list(prompts[0][:shared])], device=model.device)
    model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1)
    cache.batch_repeat_interleave(len(prompts))
    return cache, shared


def _shared_length(prompts: Sequence[list[int]]) -> int:
    """Length of the longest prefix of all prompts that leaves each at least one token."""
    first, last = min(prompts), max(prompts)
    limit = min(map(len, prompts)) - 1
    length = 0
    while length < limit and first[length] == last[length]:
        length += 1
    return length


def _step(model: Any, tokens: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache) -> Tensor:
    output = model(
        input_ids=tokens,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    best: Tensor = output.logits[:, -1].argmax(-1)
    return best


class _RoomyLayer(DynamicLayer):  # type: ignore[misc]  # transformers has no types
    """A cache layer that grows by room for many tokens at once, where the stock one copies itself for each."""

    keys: Tensor
    values: Tensor

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys = self._grown("key", self.keys, key_states)
        self.values = self._grown("value", self.values, value_states)
        return self.keys, self.values

    def _grown(self, name: str, held: Tensor, new: Tensor) -> Tensor:
        """`held` with `new` behind it, as a view of a store that is kept while the batch stays as it is."""
        length = held.shape[-2] if held.dim() == new.dim() else 0
        wanted = length + new.shape[-2]
        store: Tensor | None = getattr(self, f"_{name}_store", None)
        if store is None or store.shape[0] != new.shape[0] or store.shape[-2] < wanted:
            store = new.new_empty((*new.shape[:-2], wanted + ROOM, new.shape[-1]))
            if length:
                store[..., :length, :] = held
            setattr(self, f"_{name}_store", store)
        store[..., length:wanted, :] = new
        return store[..., :wanted, :]
