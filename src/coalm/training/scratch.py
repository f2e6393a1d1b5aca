"""A small Llama with random weights, and a tokenizer trained on the mixture itself."""

from __future__ import annotations

import json
import math
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

from coalm.dialogue import Sample

if TYPE_CHECKING:
    from torch import Tensor

    from coalm.training.recipe import Scratch

END = "<|end|>"
MIN_FREQUENCY = 2
SPACE = "\u0120"
"""How byte-level BPE writes a space."""
BARE = 0.6
"""Share of a vocabulary that is pieces as such; the rest are the most frequent of them behind a space."""


def train_tokenizer(samples: Iterable[Sample], vocabulary: int) -> Any:
    """A byte-level BPE of at most `vocabulary` tokens with the end token `<|end|>` and no chat template.

    A word is cut into the same pieces behind a space (in a sentence) and without one (in quotes), so that a
    value is copied piece by piece: letters are merged first, and a space joins the first piece last. Digits
    stand alone, for times and prices.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    def cut(words: str) -> Any:
        split = pre_tokenizers.Split(Regex(words), behavior="isolated")
        return pre_tokenizers.Sequence(
            [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )

    lines = list(_distinct_lines(samples))
    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = cut(r"\p{L}+|\p{N}|[^\s\p{L}\p{N}]+|\s")
    trainer = trainers.BpeTrainer(
        vocab_size=round(vocabulary * BARE),
        min_frequency=MIN_FREQUENCY,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bare.train_from_iterator(lines, trainer)

    model = json.loads(bare.to_str())["model"]
    words: dict[str, int] = model["vocab"]
    merges = [tuple(merge) for merge in model["merges"]]
    for piece in _behind_spaces(bare, lines)[: vocabulary - len(words)]:
        words[SPACE + piece] = len(words)
        merges.append((SPACE, piece))
    tokenizer = Tokenizer(models.BPE(words, merges))
    tokenizer.add_special_tokens([END])
    tokenizer.pre_tokenizer = cut(r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s")
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)


def _behind_spaces(bare: Any, lines: list[str]) -> list[str]:
    """Pieces that stand behind a space at least twice, by how often."""
    space = bare.token_to_id(SPACE)
    counts: Counter[int] = Counter()
    for line in bare.encode_batch_fast(lines):
        counts.update(piece for before, piece in pairwise(line.ids) if before == space)
    pieces = ((bare.id_to_token(number), count) for number, count in counts.most_common())
    alone = (SPACE, *string.digits)
    return [piece for piece, count in pieces if count >= MIN_FREQUENCY and piece not in alone]


def _distinct_lines(samples: Iterable[Sample]) -> Iterator[str]:
    """Each line of the mixture once, so that what all samples repeat does not use up the vocabulary."""
    seen: set[int] = set()
    for sample in samples:
        for line in chain(
            sample.instruction.splitlines(), sample.input.splitlines(), sample.output.splitlines()
        ):
            key = hash(line)
            if key not in seen:
                seen.add(key)
                yield line


def build_llama(shape: Scratch, tokenizer: Any, seed: int) -> Any:
    """A Llama of that shape for `tokenizer`, with weights drawn from `seed` and then led a little.

    What a small model has to learn is where in its prompt the words are that it must repeat. From plain random
    weights it spends most of its time on that; the functions below each start it closer, and nothing that
    follows depends on them.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.context,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        tie_word_embeddings=shape.tied,
        attention_bias=True,
        initializer_range=1 / math.sqrt(shape.hidden_size),
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        _tie_twins(model.get_input_embeddings().weight, tokenizer.get_vocab())
        aside = None if shape.tied else _speak_up(model)
        if shape.heads == shape.kv_heads:
            layers = [layer.self_attn for layer in model.model.layers]
            for layer in layers:
                _look_alike(layer)
                _look_near(layer, shape)
            if aside is not None and shape.layers > 1 and shape.heads > 1:
                _go_on_as_before(layers[0], layers[1], aside, shape)
    return model


def _speak_up(model: Any) -> Tensor:
    """Words begin louder than what layers add to them, and the output head as the embedding turned aside.

    With Muon, each step changes what a layer adds by about as much. Beside embeddings of norm 1, the words are
    not to be recognised after ten steps, and whatever led weights did with them is gone. Were the head not
    turned, each word would foretell itself.

    Returns the turn (hidden, hidden), orthonormal: a word that is to be said stands in the stream as turned.
    """
    import torch

    words = model.get_input_embeddings().weight
    aside: Tensor = torch.linalg.qr(torch.randn(words.shape[1], words.shape[1]))[0]
    model.lm_head.weight.copy_(words @ aside.T)
    words.mul_(math.sqrt(words.shape[1]))
    for layer in model.model.layers:
        layer.mlp.down_proj.weight.zero_()
    return aside


TWINNING = 0.9


def _tie_twins(embedding: Tensor, vocabulary: Mapping[str, int]) -> None:
    """A word behind a space (in a sentence) begins as its twin without one (in quotes) does, but for noise."""
    for word, number in vocabulary.items():
        twin = vocabulary.get(word.removeprefix(SPACE), number)
        if twin != number:
            noise = embedding[number] * math.sqrt(1 - TWINNING**2)
            embedding[number] = TWINNING * embedding[twin] + noise


LIKENESS = 0.3


def _look_alike(attention: Any) -> None:
    """Attention looks for what is like itself and passes it on: keys begin as queries, outputs as transposed
    values, both scaled down (mimetic initialisation, Trockman and Kolter 2023).
    """
    attention.o_proj.weight.copy_(attention.v_proj.weight.T * LIKENESS)
    attention.k_proj.weight.copy_(attention.q_proj.weight * LIKENESS)


def _look_near(attention: Any, shape: Scratch) -> None:
    """Attention prefers what is near: at distance d it begins in proportion to d ** -2 in the first head,
    d ** -1 in the second, and so on halving.

    Equal biases on the first half of queries and keys add Σ cos(d · θ) to the score, over rotary frequencies θ
    from 1 down to 1 / rope_theta in even steps of the logarithm. About those below 1 / d are still near 1, the
    others cancel out: the sum falls with log d.
    """
    width = shape.hidden_size // shape.heads
    per_log = (width / 2) / math.log(shape.rope_theta)
    for bias in (attention.q_proj.bias, attention.k_proj.bias):
        bias.zero_()
        for head in range(shape.heads):
            steepness = 2.0 ** (1 - head)
            bias[head * width : head * width + width // 2] = math.sqrt(steepness * math.sqrt(width) / per_log)


BEHIND = 6.0
"""By how much the score of the token before stands above that of its neighbours."""
SAME = 40.0
"""Score of a place that follows a token like the current one."""


def _go_on_as_before(first: Any, second: Any, aside: Tensor, shape: Scratch) -> None:
    """What followed a word before follows it again: an induction circuit (Olsson et al. 2022), written down.

    The last head of the first layer looks at the token before, and adds to each place which one that was.
    Heads of the second layer look for places where that is the current token, and pass on what stands there,
    turned `aside` as the output head wants it.

    A score of rotary attention depends on distance through the frequencies of its pairs of dimensions. The
    first head has biases alone: each pair is turned by its own frequency, so that all are in phase at distance
    1. The others compare contents, in the slower half of the pairs, which hardly turn within a prompt.
    """
    import torch

    size, heads = shape.hidden_size, shape.heads
    width = size // heads
    half = width // 2
    frequency = shape.rope_theta ** (-torch.arange(half) / half)

    def axes() -> Tensor:
        """(width, hidden), orthonormal rows."""
        turned: Tensor = torch.linalg.qr(torch.randn(size, width))[0]
        return turned.T

    word, was = axes(), axes()  # a token is read along the first, and noted for the next place along the second
    head = slice((heads - 1) * width, heads * width)
    loud = math.sqrt(BEHIND * math.sqrt(width) / float((1 - frequency.cos()).sum()))
    for projection in (first.q_proj, first.k_proj):
        projection.weight[head] = 0
    first.k_proj.bias[head] = loud * torch.cat([torch.ones(half), torch.zeros(half)])
    first.q_proj.bias[head] = loud * torch.cat([frequency.cos(), -frequency.sin()])
    first.v_proj.weight[head] = word
    first.o_proj.weight[:, head] = math.sqrt(heads) * was.T  # as loud as the word itself

    slow = torch.cat([torch.arange(half // 2, half), torch.arange(half + half // 2, width)])
    sharp = math.sqrt(SAME * math.sqrt(width) * 2 / (len(slow) * math.sqrt(heads)))
    for number in range(min(2, heads // 2)):
        head = slice((heads - 1 - number) * width, (heads - number) * width)
        part = slice(number * len(slow), (number + 1) * len(slow))
        for projection, read in ((second.q_proj, word), (second.k_proj, was)):
            rows = torch.zeros(width, size)
            rows[slow] = sharp * read[part]
            projection.weight[head], projection.bias[head] = rows, 0
        passed = axes()
        second.v_proj.weight[head] = passed
        second.o_proj.weight[:, head] = heads * aside @ passed.T
