"""Local Hugging Face models, batched: prompts of like length together, padded on the left."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from coalm.errors import MissingExtra, ModelError
from coalm.models import Completion, Job
from coalm.tokens import Encoder

BATCH_TOKENS = 65_536


class HuggingFaceModel:
    """A causal LM, or a LoRA adapter on one (merged when it is opened).

    `batch_tokens` bounds rows x (prompt + answer) of one batch. Decoding is greedy; `generate` takes settings
    of `transformers`' `generate` instead (`do_sample`, `temperature` …).

    Raises:
        ModelError: no such model.
        MissingExtra: torch or transformers is not installed.
    """

    def __init__(
        self,
        name: str,
        *,
        device: str | None = None,
        dtype: str = "auto",
        batch_tokens: int = BATCH_TOKENS,
        generate: dict[str, Any] | None = None,
    ) -> None:
        try:
            import torch
            import transformers
        except ModuleNotFoundError as error:
            raise MissingExtra(error.name or "torch", extra="train") from None
        transformers.logging.set_verbosity_error()
        self.name = f"hf:{name}"
        self._torch = torch
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._model = _load(name, dtype).to(self._device).eval()
        self._encoder = Encoder.load(name)
        self._batch_tokens = batch_tokens
        self._settings = generate or {}
        self._limit = getattr(self._model.config, "max_position_embeddings", None) or 1 << 30

    def complete(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Completion]]:
        """Yield `(index in jobs, completion)` by batches; a prompt without room for its answer is an error."""
        prompts = [self._encoder.prompt(job.prompt) for job in jobs]
        fitting = []
        for index, ids in enumerate(prompts):
            if len(ids) + jobs[index].max_tokens > self._limit:
                yield (
                    index,
                    Completion("", prompt_tokens=len(ids), completion_tokens=0, error="context_overflow"),
                )
            else:
                fitting.append(index)
        fitting.sort(key=lambda index: (len(prompts[index]), index))
        for batch in self._batches(fitting, prompts, jobs):
            texts = self._generate([prompts[index] for index in batch], [jobs[index] for index in batch])
            for index, (text, length) in zip(batch, texts, strict=True):
                yield index, Completion(text, len(prompts[index]), length)

    def _batches(
        self, order: Sequence[int], prompts: Sequence[list[int]], jobs: Sequence[Job]
    ) -> Iterator[list[int]]:
        batch: list[int] = []
        answer = 0
        for index in order:
            answer = max(answer, jobs[index].max_tokens)
            if batch and (len(batch) + 1) * (len(prompts[index]) + answer) > self._batch_tokens:
                yield batch
                batch, answer = [], jobs[index].max_tokens
            batch.append(index)
        if batch:
            yield batch

    def _generate(self, prompts: list[list[int]], jobs: list[Job]) -> list[tuple[str, int]]:
        if self._settings:
            rows = self._sample(prompts, max(job.max_tokens for job in jobs))
        else:
            from coalm.models.decode import decode_greedily

            rows = decode_greedily(self._model, prompts, [job.max_tokens for job in jobs], self._end_ids())
        return [self._cut(row, job) for row, job in zip(rows, jobs, strict=True)]

    def _sample(self, prompts: list[list[int]], limit: int) -> list[list[int]]:
        torch = self._torch
        width = max(map(len, prompts))
        end = self._encoder.end_id
        ids = torch.tensor([[end] * (width - len(row)) + row for row in prompts], device=self._device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts], device=self._device)
        output = self._model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=limit,
            eos_token_id=self._end_ids(),
            pad_token_id=end,
            **self._settings,
        )
        rows: list[list[int]] = output[:, width:].tolist()
        return rows

    def _end_ids(self) -> list[int]:
        configured = self._model.generation_config.eos_token_id
        extra = configured if isinstance(configured, list) else [configured]
        return sorted({self._encoder.end_id, *(token for token in extra if token is not None)})

    def _cut(self, ids: list[int], job: Job) -> tuple[str, int]:
        """Text and length of one answer: up to the end token, the job's limit, or a stop text."""
        ids = ids[: job.max_tokens]
        ends = set(self._end_ids())
        length = next((position for position, token in enumerate(ids) if token in ends), len(ids))
        text = self._encoder.tokenizer.decode(ids[:length], skip_special_tokens=True)
        for stop in job.prompt.stop:
            text = text.partition(stop)[0]
        return text, min(length + 1, len(ids))


def _load(name: str, dtype: str) -> Any:
    """The model in a folder or on the Hub; for an adapter's folder, its base with the adapter merged in."""
    from transformers import AutoModelForCausalLM

    adapter = Path(name) / "adapter_config.json"
    base = json.loads(adapter.read_text())["base_model_name_or_path"] if adapter.is_file() else name
    try:
        model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    except (OSError, ValueError) as error:
        hint = "give a folder with config.json and weights, or a Hub id"
        raise ModelError(f"no model at `{base}`: {str(error).splitlines()[0]}", hint=hint) from None
    if adapter.is_file():
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, name).merge_and_unload()
    return model
