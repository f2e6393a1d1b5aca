"""A small Llama with random weights, and a tokenizer trained on the mixture itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from coalm.dialogue import Sample

if TYPE_CHECKING:
    from coalm.training.recipe import Scratch

END = "<|end|>"
MIN_FREQUENCY = 2


def train_tokenizer(samples: Iterable[Sample], vocabulary: int) -> Any:
    """A byte-level BPE of at most `vocabulary` tokens with the end token `<|end|>` and no chat template.

    A space belongs to the word behind it, and digits stand alone, so that times and prices can be copied
    digit by digit.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=MIN_FREQUENCY,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_distinct_lines(samples), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)


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


def build_llama(shape: Scratch, vocabulary: int, end_id: int, seed: int) -> Any:
    """A Llama of that shape with weights drawn from `seed`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.context,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        tie_word_embeddings=shape.tied,
        initializer_range=1 / math.sqrt(shape.hidden_size),
        bos_token_id=None,
        eos_token_id=end_id,
        pad_token_id=end_id,
    )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    if shape.heads == shape.kv_heads:
        _look_alike(model)
    return model


LIKENESS = 0.3


def _look_alike(model: Any) -> None:
    """Let attention start out with looking for what is like itself and passing it on: keys begin as queries,
    outputs as transposed values, both scaled down (mimetic initialisation, Trockman and Kolter 2023). Copying
    values from a prompt, which is most of what a small model has to learn here, then begins much earlier.
    """
    import torch

    with torch.no_grad():
        for layer in model.model.layers:
            attention = layer.self_attn
            attention.o_proj.weight.copy_(attention.v_proj.weight.T * LIKENESS)
            attention.k_proj.weight.copy_(attention.q_proj.weight * LIKENESS)
