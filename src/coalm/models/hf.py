"""Local Hugging Face models, batched: prompts of like length together, padded on the left.

What many prompts begin with (a benchmark's instruction, a list of tools) is computed once and kept: each batch
starts from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coalm.errors import MissingExtra, ModelError
from coalm.memory import bound_caches
from coalm.models import Completion, Job
from coalm.models.prefixes import group_by_prefix
from coalm.tokens import Encoder, locate

if TYPE_CHECKING:
    from coalm.models.constrained import Guide, Spelling
    from coalm.models.decode import Prefix

BATCH_TOKENS = {"cpu": 16_384, "cuda": 65_536}
PREFIX_TOKENS = 16_384
"""How many tokens of prefixes are kept in all; of an 8B Llama in bfloat16 that is 2 GB."""


class HuggingFaceModel:
    """A causal LM, or a LoRA adapter on one (merged when it is opened).

    `batch_tokens` bounds rows x (prompt + answer) of one batch (None: what suits the device). Decoding is
    greedy; `generate` takes settings of `transformers`' `generate` instead (`do_sample`, `temperature` …). What
    is drawn depends on the batch's items only, so the same run draws the same. `constrained` holds answers to
    what their prompt's grammar lists (`constrained.py`).

    Raises:
        ModelError: no such model, or it cannot be constrained.
        MissingExtra: torch or transformers is not installed.
    """

    def __init__(
        self,
        name: str,
        *,
        device: str | None = None,
        dtype: str = "auto",
        batch_tokens: int | None = None,
        generate: Mapping[str, Any] | None = None,
        constrained: bool = False,
    ) -> None:
        if constrained and generate:
            hint = "leave out --generate or --constrained"
            raise ModelError("constrained decoding is greedy", where=f"hf:{name}", hint=hint)
        try:
            import torch
            import transformers
        except ModuleNotFoundError as error:
            raise MissingExtra(error.name or "torch", extra="train") from None
        bound_caches()
        transformers.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self.name = f"hf:{name} constrained" if constrained else f"hf:{name}"
        self._torch = torch
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.model = _load(name, dtype).to(self._device).eval()
        self.encoder = Encoder.load(name)
        self._batch_tokens = batch_tokens or BATCH_TOKENS.get(
            self._device.partition(":")[0], BATCH_TOKENS["cuda"]
        )
        self._settings = dict(generate or {})
        self.context = getattr(self.model.config, "max_position_embeddings", None) or 1 << 30
        from coalm.models.decode import Prefixes

        self._prefixes = Prefixes(self.model, PREFIX_TOKENS)
        self._spelling: Spelling | None = None
        if constrained:
            from coalm.models.constrained import Spelling

            width = self.model.get_output_embeddings().weight.shape[0]
            self._spelling = Spelling(self.encoder.tokenizer, width, self.end_ids())

    def complete(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Completion]]:
        """Yield `(index in jobs, completion)` by batches; a prompt without room for its answer is an error."""
        prompts = [self.encoder.prompt(job.prompt) for job in jobs]
        fitting = []
        for index, ids in enumerate(prompts):
            if len(ids) + jobs[index].max_tokens > self.context:
                yield (
                    index,
                    Completion("", prompt_tokens=len(ids), completion_tokens=0, error="context_overflow"),
                )
            else:
                fitting.append(index)
        for group in group_by_prefix([prompts[index] for index in fitting]):
            places = [fitting[place] for place in group.places]
            prefix = self._prefixes.find(prompts[places[0]][: group.shared]) if group.shared else None
            places.sort(key=lambda index: (len(prompts[index]), index))
            for batch in self._batches(places, prompts, jobs):
                rows = [prompts[index] for index in batch]
                texts = self._generate(rows, [jobs[index] for index in batch], prefix)
                for index, (text, length) in zip(batch, texts, strict=True):
                    yield index, Completion(text, len(prompts[index]), length)

    def stream(self, job: Job) -> Generator[str, None, Completion]:
        """Yield one answer's text as it is decoded; at the end the completion is returned.

        What this prompt shares with the last ones is not computed again.
        """
        prompt = self.encoder.prompt(job.prompt)
        if self._settings or self._spelling or len(prompt) + job.max_tokens > self.context:
            ((_, completion),) = self.complete([job])
            if completion.text:
                yield completion.text
            return completion
        from coalm.models.streaming import decode_stepwise, write_stepwise

        prefix = self._prefixes.find(prompt[:-1]) if len(prompt) > 1 else None
        tokens = decode_stepwise(self.model, prompt, job.max_tokens, self.end_ids(), prefix)
        texts = []
        for text in write_stepwise(tokens, self.decode, job.prompt.stop):
            texts.append(text)
            yield text
        return Completion("".join(texts), len(prompt))

    def decode(self, ids: Sequence[int]) -> str:
        text: str = self.encoder.tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

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

    def _generate(
        self, prompts: list[list[int]], jobs: list[Job], prefix: Prefix | None
    ) -> list[tuple[str, int]]:
        if self._settings:
            self._torch.manual_seed(_seed(jobs))
            rows = self._sample(prompts, max(job.max_tokens for job in jobs))
        else:
            from coalm.models.decode import decode_greedily

            limits = [job.max_tokens for job in jobs]
            guide = self._guide(jobs, limits)
            rows = decode_greedily(self.model, prompts, limits, self.end_ids(), prefix, guide)
        return [self._cut(row, job) for row, job in zip(rows, jobs, strict=True)]

    def _guide(self, jobs: list[Job], limits: list[int]) -> Guide | None:
        if self._spelling is None:
            return None
        from coalm.models.constrained import Guide

        return Guide(self._spelling, [job.prompt.grammar for job in jobs], limits, self._device)

    def _sample(self, prompts: list[list[int]], limit: int) -> list[list[int]]:
        torch = self._torch
        width = max(map(len, prompts))
        end = self.encoder.end_id
        ids = torch.tensor([[end] * (width - len(row)) + row for row in prompts], device=self._device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts], device=self._device)
        settings = {"max_new_tokens": limit, "eos_token_id": self.end_ids(), "pad_token_id": end}
        try:
            output = self.model.generate(input_ids=ids, attention_mask=mask, **(settings | self._settings))
        except (TypeError, ValueError) as error:
            raise ModelError(f"generate: {error}", where=self.name, hint="look at --generate") from None
        rows: list[list[int]] = output[:, width:].tolist()
        return rows

    def end_ids(self) -> list[int]:
        configured = self.model.generation_config.eos_token_id
        extra = configured if isinstance(configured, list) else [configured]
        return sorted({self.encoder.end_id, *(token for token in extra if token is not None)})

    def _cut(self, ids: list[int], job: Job) -> tuple[str, int]:
        """Text and length of one answer: up to the end token, the job's limit, or a stop text."""
        ids = ids[: job.max_tokens]
        ends = set(self.end_ids())
        length = next((position for position, token in enumerate(ids) if token in ends), len(ids))
        text = self.decode(ids[:length])
        for stop in job.prompt.stop:
            text = text.partition(stop)[0]
        return text, min(length + 1, len(ids))


def _load(name: str, dtype: str) -> Any:
    """The model in a folder or on the Hub; for an adapter's folder, its base with the adapter merged in."""
    from transformers import AutoModelForCausalLM

    adapter = Path(name) / "adapter_config.json"
    base = json.loads(adapter.read_text())["base_model_name_or_path"] if adapter.is_file() else name
    try:
        model = AutoModelForCausalLM.from_pretrained(locate(base), dtype=dtype)
    except (OSError, ValueError) as error:
        hint = "give a folder with config.json and weights, or a Hub id"
        raise ModelError(f"no model at `{base}`: {str(error).splitlines()[0]}", hint=hint) from None
    if adapter.is_file():
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, name).merge_and_unload()
    return model


def _seed(jobs: Sequence[Job]) -> int:
    """A number that depends on which jobs these are, and on nothing else."""
    names = json.dumps([(job.item, job.step) for job in jobs])
    return int.from_bytes(hashlib.sha256(names.encode()).digest()[:4])
