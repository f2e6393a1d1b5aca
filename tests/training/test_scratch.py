"""Models from random weights: how they start out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from coalm.training.recipe import Scratch
from coalm.training.scratch import END, build_llama, train_tokenizer
from tests.training.made import samples

SHAPE = Scratch(hidden_size=64, intermediate_size=128, layers=2, heads=2, kv_heads=2, vocabulary=600)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(samples(40, 40), SHAPE.vocabulary)


def test_the_same_seed_gives_the_same_weights(tokenizer: Any) -> None:
    first, again, other = (build_llama(SHAPE, tokenizer, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["model.embed_tokens.weight"], other["model.embed_tokens.weight"])


def test_attention_starts_out_near(tokenizer: Any) -> None:
    model = build_llama(replace(SHAPE, layers=1), tokenizer, 0).eval()
    model.set_attn_implementation("eager")
    ids = random_words(8, 256)
    with torch.no_grad():
        steep, flat = model(ids, output_attentions=True).attentions[0][:, :, -1].mean(0)
    assert steep[-16:].sum() > 0.8
    assert 0.4 < flat[-16:].sum() < 0.8  # the harmonic sums of 16 and 256 terms stand 0.55 to 1
    assert steep[-4:].sum() > flat[-4:].sum()


def test_what_followed_a_word_before_follows_it_again(tokenizer: Any) -> None:
    shape = replace(SHAPE, hidden_size=256, heads=4, kv_heads=4)
    words, between = random_words(4, 50), random_words(4, 200, seed=1)
    ids = torch.cat([words, between, words], dim=1)

    def repeated(shape: Scratch) -> float:
        """Share of the second half of `words` that is foretold."""
        with torch.no_grad():
            logits = build_llama(shape, tokenizer, 0).eval()(ids).logits[:, -50:-1]
        return float((logits.argmax(-1) == words[:, 1:]).float().mean())

    assert repeated(shape) > 0.5  # by chance: 0.003
    assert repeated(replace(shape, tied=True)) < 0.05


def random_words(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(SHAPE.vocabulary // 2, (rows, length), generator=torch.Generator().manual_seed(seed))


def test_a_word_and_its_twin_behind_a_space_start_out_alike(tokenizer: Any) -> None:
    words = tokenizer.get_vocab()
    twins = [(words[word], words[word[1:]]) for word in words if word.startswith("Ġ") and word[1:] in words]
    assert len(twins) > 20
    weight = build_llama(SHAPE, tokenizer, 0).get_input_embeddings().weight
    pairs = torch.tensor(twins)
    likeness = torch.cosine_similarity(weight[pairs[:, 0]], weight[pairs[:, 1]])
    assert likeness.mean() > 0.8
    strangers = torch.cosine_similarity(weight[pairs[:, 0]], weight[pairs[:, 1].roll(1)])
    assert strangers.abs().mean() < 0.3


def test_texts_come_back_whole(tokenizer: Any) -> None:
    text = "Book 2 tables at 19:30, für Zoë  — “now”\n\t{'a': 1.5}"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.eos_token == END


def test_a_word_has_the_same_pieces_in_a_sentence_and_in_quotes(tokenizer: Any) -> None:
    for word in ("restaurant", "Groove", "Köln", "é漢", "x", "--"):
        bare, behind = tokenizer.tokenize(word), tokenizer.tokenize(f" {word}")
        assert "".join(behind) == "Ġ" + "".join(bare)
        assert [piece.removeprefix("Ġ") for piece in behind[-len(bare) :]] == bare
    spaced = [token for token in tokenizer.get_vocab() if token.startswith("Ġ") and len(token) > 1]
    assert len(spaced) > 50
    assert all(token[1:] in tokenizer.get_vocab() for token in spaced)
