"""Throwaway tokenizers and random models of a few thousand parameters, made in the process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEXTS = [
    "User: I want a cheap hotel.\nSystem: It is booked, see you!",
    'Action: f(a="b", n=2)',
    "1 2 3 ### Output:",
]
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def train_tokenizer(vocabulary: int = 400) -> Any:
    """A byte-level BPE tokenizer with `<|end|>` and `<|pad|>`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|pad|>", "<|user|>", "<|assistant|>", "<|system|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|end|>",
        pad_token="<|pad|>",
        additional_special_tokens=special[2:],
    )


def save_llama(folder: Path, *, positions: int = 512, seed: int = 0) -> Path:
    """A random two-layer Llama with its tokenizer, saved as a model folder."""
    tokenizer = train_tokenizer()
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    return save_random(folder, tokenizer, positions, seed, **shape)


def save_random(
    folder: Path, tokenizer: Any, positions: int, seed: int = 0, tied: bool = False, **shape: int
) -> Path:
    """A random Llama for `tokenizer`, feed-forward layers twice as wide as the rest, saved with it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        intermediate_size=2 * shape["hidden_size"],
        max_position_embeddings=positions,
        tie_word_embeddings=tied,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
        **shape,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
