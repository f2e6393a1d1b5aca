from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from coalm.dialogue import Prompt
from coalm.errors import ModelError
from coalm.models import Completion, Job, open_model
from coalm.models.hf import HuggingFaceModel
from tests.models.tiny import save_llama

TEXTS = ["hello", "a longer prompt with several words in it", "x", "User: book a hotel\nSystem:", "12 34"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("llama"))


def jobs(texts: Sequence[str] = TEXTS, limit: int = 12) -> list[Job]:
    return [Job(str(number), 0, Prompt(text=text), limit) for number, text in enumerate(texts)]


def test_batches_give_what_one_by_one_gives(folder: Path) -> None:
    model = open_model(f"hf:{folder}", batch_tokens=120, dtype="float32")
    together = dict(model.complete(jobs()))
    alone = {index: next(model.complete([job]))[1] for index, job in enumerate(jobs())}
    assert together == alone
    assert all(0 < (completion.completion_tokens or 0) <= 12 for completion in together.values())


def test_limits_are_each_jobs_own(folder: Path) -> None:
    model = open_model(str(folder), dtype="float32")
    short, long = Job("a", 0, Prompt(text="hello"), 2), Job("b", 0, Prompt(text="world"), 9)
    found = dict(model.complete([short, long]))
    assert found[0] == next(model.complete([short]))[1]
    assert (found[0].completion_tokens or 0) <= 2


def test_stop_texts_cut_the_answer(folder: Path) -> None:
    model = open_model(f"hf:{folder}", dtype="float32")
    text = next(model.complete(jobs(["hello"])))[1].text
    stop = text[3:5]
    job = Job("0", 0, Prompt(text="hello", stop=(stop,)), 12)
    assert next(model.complete([job]))[1].text == text.partition(stop)[0]


def test_prompt_without_room_is_reported(folder: Path) -> None:
    model = open_model(f"hf:{folder}")
    found = dict(model.complete(jobs(["word " * 600, "hello"])))
    assert found[0].error == "context_overflow"
    assert (found[0].prompt_tokens or 0) > 500
    assert found[1].error is None


@pytest.mark.parametrize("spec", ["hf:no/such/model", "nonsense", "gpt:4"])
def test_what_is_no_model_is_the_users_error(spec: str) -> None:
    with pytest.raises(ModelError) as raised:
        open_model(spec)
    assert raised.value.hint


# ── shared prefixes ───────────────────────────────────────────────────────────────────────────────

RULES = "Answer with one call. The functions are listed below, one a line, with their parameters. " * 3


def generate_alone(folder: Path, text: str, limit: int) -> str:
    """What `generate` of transformers gives for one prompt."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    output = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=limit, do_sample=False
    )
    return str(tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True))


def test_prompts_that_begin_alike_give_what_generate_gives(folder: Path) -> None:
    """Over several batches and two calls, so that a kept prefix is used, cut and made longer."""
    model = open_model(f"hf:{folder}", batch_tokens=900, dtype="float32")
    texts = [f"{RULES}\n{'Query ' * (n % 5)}number {n}: {'x' * n}" for n in range(12)]
    more = [f"{RULES[:120]} other rules, {n} of them: {'y ' * n}" for n in range(6)]
    for part in (texts[:5], texts[5:], more, texts[:3]):
        found = dict(model.complete(jobs(part)))
        assert [found[n].text for n in range(len(part))] == [generate_alone(folder, text, 12) for text in part]


def test_what_prompts_begin_with_is_computed_once(folder: Path) -> None:
    """In a batch after the first, the model sees no token of the shared beginning again."""
    model: Any = open_model(f"hf:{folder}", batch_tokens=900, dtype="float32")
    widths: list[int] = []
    model.model.register_forward_pre_hook(
        lambda module, args, kwargs: widths.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    texts = [f"{RULES}{n:03}" for n in range(40)]
    prompt = model.encoder.prompt(Prompt(text=texts[0]))
    list(model.complete(jobs(texts, limit=2)))
    assert sum(width > len(prompt) // 2 for width in widths) == 1
    widths.clear()
    list(model.complete(jobs([f"{RULES}{n:03} again" for n in range(10)], limit=2)))
    assert max(widths) < len(prompt) // 2


@pytest.mark.parametrize("settings", [{"do_sample": False}, {"do_sample": True, "temperature": 0.7}])
def test_settings_of_generate(folder: Path, settings: dict[str, Any]) -> None:
    drawn = [
        dict(open_model(f"hf:{folder}", dtype="float32", generate=settings).complete(jobs())) for _ in "12"
    ]
    greedy = dict(open_model(f"hf:{folder}", dtype="float32").complete(jobs()))
    assert drawn[0] == drawn[1]
    assert (drawn[0] == greedy) is not settings["do_sample"]


def test_settings_and_options_that_there_are_not(folder: Path) -> None:
    model = open_model(f"hf:{folder}", dtype="float32", generate={"temprature": 2})
    with pytest.raises(ModelError, match="temprature"):
        list(model.complete(jobs()))
    with pytest.raises(ModelError, match="no option `concurrency`"):
        open_model(f"hf:{folder}", concurrency=3)


def listen(model: HuggingFaceModel, job: Job) -> tuple[list[str], Completion]:
    """The pieces of a stream, and what it returns."""
    pieces, stream = [], model.stream(job)
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as stop:
            return pieces, stop.value


def test_a_stream_tells_the_answer_piece_by_piece(folder: Path) -> None:
    model = HuggingFaceModel(str(folder), dtype="float32")
    for job, (_, whole) in zip(jobs(), sorted(model.complete(jobs())), strict=True):
        pieces, completion = listen(model, job)
        assert "".join(pieces) == completion.text == whole.text
        assert all(pieces)
        assert completion.prompt_tokens == whole.prompt_tokens
    assert len(pieces) > 1


def test_a_stream_ends_before_a_stop_text_and_never_tells_its_beginning(folder: Path) -> None:
    model = HuggingFaceModel(str(folder), dtype="float32")
    (job,) = jobs(TEXTS[:1])
    _, completion = listen(model, job)
    middle = len(completion.text) // 2
    stop = completion.text[middle : middle + 4]
    stopped, _ = listen(model, replace(job, prompt=replace(job.prompt, stop=("nowhere in it", stop))))
    assert "".join(stopped) == completion.text.partition(stop)[0]


def test_a_stream_without_room_says_so(folder: Path) -> None:
    model = HuggingFaceModel(str(folder))
    (job,) = jobs(TEXTS[:1], limit=1 << 20)
    refused = Completion("", prompt_tokens=ANY, completion_tokens=0, error="context_overflow")
    assert listen(model, job) == ([], refused)
