"""A model asked about a trie: logits and loss, and how this model can be asked at all.

The output head runs on the parents of targets and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from coalm.training.attention import IMPLEMENTATION, Attention, dense_mask, register
from coalm.training.collate import Batch, collate
from coalm.training.trie import Row, Trie, merge

_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 1e-2}


def target_logits(model: Any, batch: Batch, attention: Attention) -> Tensor:
    """Logits at `batch.parents`: (parents, vocabulary). For `own`, the batch must be one plain row."""
    arguments: dict[str, Any] = {}
    if attention == "segments":
        arguments["segments"] = batch.segments
    elif attention == "dense":
        arguments["attention_mask"] = dense_mask(batch.segments, batch.ids.device)
    elif len(batch.segments) != 1:
        raise ValueError("a model with its own attention takes one plain row at a time")
    output = model(
        input_ids=batch.ids,
        position_ids=batch.positions,
        logits_to_keep=batch.parents,
        use_cache=False,
        **arguments,
    )
    logits: Tensor = output.logits[0]
    return logits


def summed_loss(model: Any, batch: Batch, attention: Attention) -> Tensor:
    """Cross-entropy in nats, summed over all targets of all samples. Divide by their number for the mean."""
    log_probabilities = target_logits(model, batch, attention).float().log_softmax(-1)
    return -(log_probabilities[batch.rows, batch.tokens] * batch.times).sum()


def choose_attention(model: Any) -> Attention:
    """The cheapest way in which `model` gives for a trie what it gives for plain rows; the model is set to it.

    It is asked, not looked up: two rows with a common prefix, as a trie and one by one. Models with recurrent
    states, soft-capped scores or attention dropout would otherwise be trained on something else, in silence.
    """
    own = model.config._attn_implementation
    rows = _probe_rows(model.config.get_text_config().vocab_size)
    wanted = [_logits(model, merge([row]), "own") for row in rows]
    device = next(model.parameters()).device
    if device.type == "cpu" and not getattr(model.config, "attention_dropout", 0.0):
        register()
        model.set_attn_implementation(IMPLEMENTATION)
        if _agrees(model, rows, wanted, "segments"):
            return "segments"
        model.set_attn_implementation(own)
    return "dense" if _agrees(model, rows, wanted, "dense") else "own"


def _probe_rows(vocabulary: int) -> list[Row]:
    """Two rows in lexicographic order that share twelve tokens, all of them targets but the first."""
    step = max(1, vocabulary // 37)
    shared = [(7 + 5 * index * step) % vocabulary for index in range(12)]
    low, high = (3 * step) % vocabulary, (11 * step) % vocabulary
    return [Row([*shared, *tail], 1) for tail in sorted([[low, high, low, low], [high, low, low]])]


def _agrees(model: Any, rows: Sequence[Row], wanted: Sequence[Tensor], attention: Attention) -> bool:
    trie = merge(rows)
    shared = len(rows[0].tokens) + len(rows[1].tokens) - 2 - len(trie.tokens)
    try:
        got = _logits(model, trie, attention)
    except (TypeError, ValueError, RuntimeError, NotImplementedError):
        return False  # how models say that they cannot take it: an argument, a shape or a mask they do not know
    first = len(rows[0].tokens) - 1
    parts = [got[:first], torch.cat([got[:shared], got[first:]])]
    tolerance = _TOLERANCE.get(model.dtype, 1e-3)
    return all(
        bool((part - want).norm() <= tolerance * want.norm()) for part, want in zip(parts, wanted, strict=True)
    )


@torch.no_grad()
def _logits(model: Any, trie: Trie, attention: Attention) -> Tensor:
    training = model.training
    model.eval()
    batch = collate(trie, next(model.parameters()).device)
    try:
        return target_logits(model, batch, attention).float()
    finally:
        model.train(training)
