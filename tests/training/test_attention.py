from __future__ import annotations

import random

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from coalm.training.attention import attend_segments, dense_mask
from coalm.training.trie import merge, split_segments

from .made import random_rows

CPU = torch.device("cpu")


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kv_heads", [1, 4])
def test_segments_give_what_a_dense_mask_gives(seed: int, kv_heads: int) -> None:
    draw = random.Random(seed)
    trie = merge(random_rows(draw, draw.randint(1, 12)))
    size = len(trie.tokens)
    torch.manual_seed(seed)
    query = torch.randn(1, 4, size, 8, requires_grad=True)
    key, value = (torch.randn(1, kv_heads, size, 8, requires_grad=True) for _ in range(2))
    grad = torch.randn(1, 4, size, 8)
    segments = split_segments(trie)
    wanted = scaled_dot_product_attention(query, key, value, dense_mask(segments, CPU), enable_gqa=True)
    got, _ = attend_segments(torch.nn.Module(), query, key, value, None, segments=segments)
    torch.testing.assert_close(got.transpose(1, 2), wanted, atol=1e-5, rtol=1e-5)
    inputs = (query, key, value)
    for mine, theirs in zip(
        torch.autograd.grad(got.transpose(1, 2), inputs, grad),
        torch.autograd.grad(wanted, inputs, grad),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_the_mask_lets_a_token_see_its_ancestors_and_itself() -> None:
    trie = merge(random_rows(random.Random(1), 10))
    mask = dense_mask(split_segments(trie), CPU)[0, 0]
    for index in range(len(trie.tokens)):
        ancestors, at = set(), index
        while at >= 0:
            ancestors.add(at)
            at = trie.parents[at]
        assert set(mask[index].nonzero().flatten().tolist()) == ancestors


def test_narrow_types_stay_narrow() -> None:
    trie = merge(random_rows(random.Random(2), 6))
    query, key, value = (
        torch.randn(1, 2, len(trie.tokens), 8, dtype=torch.bfloat16, requires_grad=True) for _ in range(3)
    )
    segments = split_segments(trie)
    got, _ = attend_segments(torch.nn.Module(), query, key, value, None, segments=segments)
    assert got.dtype == torch.bfloat16
    got.sum().backward()
    assert query.grad is not None
    assert query.grad.dtype == torch.bfloat16
    wanted = scaled_dot_product_attention(query, key, value, dense_mask(segments, CPU))
    torch.testing.assert_close(got.transpose(1, 2), wanted, atol=0.05, rtol=0.05)


def test_attention_dropout_is_refused() -> None:
    one = torch.randn(1, 1, 2, 8)
    with pytest.raises(ValueError, match="dropout"):
        attend_segments(torch.nn.Module(), one, one, one, None, segments=[], dropout=0.1)
