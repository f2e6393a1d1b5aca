from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from coalm.dialogue import Prompt
from coalm.errors import ModelError
from coalm.models import Job, open_model
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
