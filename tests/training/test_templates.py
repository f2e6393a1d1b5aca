"""The chat templates of the base models in use: loss falls on the output and the end token, nowhere else.

The templates in `tests/fixtures/templates` follow the public definition of each model's format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from coalm.dialogue import Sample
from coalm.errors import DataError, ModelError
from coalm.tokens import DEFAULT_TOKENIZER, Encoder, alpaca_text
from coalm.training.data import write_store

from .made import samples

TEMPLATES = Path(__file__).parents[1] / "fixtures" / "templates"
DATE = "26 Jul 2024"
HEADERS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|end_of_text|>")
CHATML = ("<|im_start|>", "<|im_end|>")


class Case(NamedTuple):
    """A tokenizer's settings, and what its template is known to give: `lead` is learned with the output."""

    file: str | None
    begin: str
    eos: str
    special: Sequence[str]
    head: str
    tail: str
    end: str
    lead: str = ""


LLAMA = Case(
    "llama-3.1.jinja",
    "<|begin_of_text|>",
    "<|eot_id|>",
    HEADERS,
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
    f"Cutting Knowledge Date: December 2023\nToday Date: {DATE}\n\n<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n",
    "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "<|eot_id|>",
)
QWEN = Case(
    "qwen-2.5.jinja",
    "<|endoftext|>",
    "<|im_end|>",
    CHATML,
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n",
    "<|im_end|>\n<|im_start|>assistant\n",
    "<|im_end|>",
)
CASES = {
    "llama-3.1": LLAMA,
    "llama-3.2": LLAMA._replace(file="llama-3.2.jinja"),
    "llama-3.3": LLAMA,
    "llama whose eos is not the template's": LLAMA._replace(eos="<|end_of_text|>"),
    "qwen-2.5": QWEN,
    "qwen-2.5 base": QWEN._replace(eos="<|endoftext|>"),
    "mistral-v0.3": Case(
        "mistral-v0.3.jinja", "<s>", "</s>", ("[INST]", "[/INST]"), "<s>[INST] ", "[/INST]", "</s>", " "
    ),
}
ROWS = samples(3, 6)


def make_tokenizer(case: Case) -> Any:
    """Our own tokenizer with a model's template and special tokens, few of them with a role."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(DEFAULT_TOKENIZER), bos_token=case.begin, eos_token=case.eos
    )
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in case.special])
    if case.file:
        tokenizer.chat_template = (TEMPLATES / case.file).read_text(encoding="utf-8")
    return tokenizer


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Case, Encoder]:
    chosen = CASES[request.param]
    return chosen, Encoder(make_tokenizer(chosen))


def rendered(encoder: Encoder, sample: Sample) -> str:
    """What the template itself gives for the exchange."""
    messages = [{"role": "user", "content": sample.prompt}, {"role": "assistant", "content": sample.output}]
    return str(encoder.tokenizer.apply_chat_template(messages, tokenize=False, date_string=DATE))


def test_loss_falls_on_the_output_and_the_end_token(case: tuple[Case, Encoder]) -> None:
    known, encoder = case
    for sample in ROWS:
        tokens = encoder.sample(sample)
        assert encoder.decode(tokens.output) == known.lead + sample.output + known.end
        assert encoder.decode(tokens.output[-1:]) == known.end


def test_prompt_and_output_are_the_templates(case: tuple[Case, Encoder]) -> None:
    known, encoder = case
    for sample in ROWS:
        tokens, whole = encoder.sample(sample), rendered(encoder, sample)
        assert encoder.decode(tokens.prompt) == known.head + sample.prompt + known.tail
        text = encoder.decode(tokens.prompt + tokens.output)
        assert whole.startswith(text)
        assert whole[len(text) :].strip() == ""


def test_tokens_are_those_of_the_whole_text(case: tuple[Case, Encoder]) -> None:
    """Prompt and output are encoded apart, and line by line; nothing changes by it."""
    _, encoder = case
    for sample in ROWS:
        tokens = encoder.sample(sample)
        text = encoder.decode(tokens.prompt + tokens.output)
        assert tokens.prompt + tokens.output == encoder.tokenizer.encode(text, add_special_tokens=False)
        assert encoder.count(sample) == len(tokens.prompt) + len(tokens.output)


def test_white_space_is_treated_as_the_template_treats_it(case: tuple[Case, Encoder]) -> None:
    known, encoder = case
    for sample in ROWS:
        wide = replace(sample, instruction=f" \n{sample.instruction}", output=f"\n{sample.output} \n")
        wide = replace(
            wide, **{"input" if wide.input else "instruction": f"{wide.input or wide.instruction}\n\n"}
        )
        tokens = encoder.sample(wide)
        text = encoder.decode(tokens.prompt + tokens.output)
        assert rendered(encoder, wide).startswith(text)
        assert text.endswith(known.end)
        assert encoder.count(wide) == len(tokens.prompt) + len(tokens.output)


def test_prompt_is_what_is_asked_when_generating(case: tuple[Case, Encoder]) -> None:
    _, encoder = case
    for sample in ROWS:
        messages = [{"role": "user", "content": sample.prompt}]
        asked = encoder.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, date_string=DATE
        )
        assert encoder.decode(encoder.prompt(sample.as_prompt())) == asked


def test_without_a_template_alpaca_blocks_are_used() -> None:
    plain = Case(None, "<|begin|>", "<|end|>", (), "", "", "<|end|>")
    encoder = Encoder(make_tokenizer(plain))
    for sample in ROWS:
        tokens = encoder.sample(sample)
        assert encoder.decode(tokens.output) == sample.output + "<|end|>"
        assert encoder.decode(tokens.prompt) == "<|begin|>" + alpaca_text(sample.instruction, sample.input)


@pytest.mark.parametrize("output", ["", " \n"])
def test_empty_output_is_refused_before_training(
    case: tuple[Case, Encoder], output: str, tmp_path: Path
) -> None:
    _, encoder = case
    rows = [*ROWS, replace(ROWS[0], output=output)]
    with pytest.raises(DataError, match="nothing to learn"):
        write_store(rows, encoder.sample, tmp_path, limit=1 << 20, drop_long=False)


def test_template_that_puts_words_before_the_answer_is_refused() -> None:
    tokenizer = make_tokenizer(CASES["mistral-v0.3"])
    tokenizer.chat_template = tokenizer.chat_template.replace('" " + message', '"<think></think>" + message')
    with pytest.raises(ModelError, match="rewrites messages"):
        Encoder(tokenizer)
