"""Random Llamas of half a million weights that can read long prompts, in folders with names of one's choice."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.models.tiny import CHAT_TEMPLATE, save_random

SYSTEMS = {
    "coalm": "CoALM-8B",
    "chat": "Llama-3.1-8B-Instruct",
    "hammer": "Hammer2.0-7b",
    "toolace": "ToolACE-8B",
    "granite": "granite-20b-code-instruct-8k",
    "codeact": "CodeActAgent-Mistral-7b-v0.1",
    "fnctod": "FncTOD-Llama-13b",
    "ldst": "LDST-7b",
    "nc-latent-tod": "nc-latent-tod-step-2-final",
    "tod-zero": "tod-zero-bqag3oyb-32000",
}
"""A family of the paper's tables, and what a model of it is called on the Hub."""


def save_models(folder: Path) -> dict[str, Path]:
    """One and the same random model under the name of each system; family -> folder."""
    first, *others = (folder / name for name in SYSTEMS.values())
    save_model(first)
    for other in others:
        shutil.copytree(first, other)
    return {family: folder / name for family, name in SYSTEMS.items()}


def save_model(folder: Path) -> Path:
    """A random model of one layer with the package's own tokenizer, so that prompts are short, and a
    template that names tools.
    """
    from transformers import PreTrainedTokenizerFast

    from coalm.tokens import DEFAULT_TOKENIZER

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(DEFAULT_TOKENIZER), eos_token="<|end|>")
    tokenizer.add_special_tokens(
        {"additional_special_tokens": ["<|user|>", "<|assistant|>", "<|system|>", "<|tool|>"]}
    )
    tokenizer.chat_template = "{% if tools %}<|system|>{{ tools | tojson }}<|end|>\n{% endif %}" + CHAT_TEMPLATE
    tokenizer.pad_token = tokenizer.eos_token
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    return save_random(folder, tokenizer, 32_768, tied=True, **shape)
