"""Models: something that completes prompts. `open_model("hf:…" | "vllm:…" | "openai:…" | "replay:…" | "nano")`.

A model is asked for many jobs at once and yields each completion as soon as it has it, in any order, with the
job's place in the list; batching and concurrency are its own business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from coalm.dialogue import Prompt
from coalm.errors import ModelError, did_you_mean


@dataclass(frozen=True, slots=True)
class Job:
    """A prompt to be completed, and where it comes from: the item and the step within its episode."""

    item: str
    step: int
    prompt: Prompt
    max_tokens: int = 256


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's text; `error` says why there is none (`context_overflow`), token counts are None if unknown.

    Calls that came as such (native function calling) stand in the text, behind what was said, as a fenced JSON
    list of `{"name", "arguments"}`.
    """

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str | None = None


class Model(Protocol):
    name: str

    def complete(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Completion]]:
        """Yield `(index in jobs, completion)` once for every job, in any order."""
        ...


OPTIONS: dict[str, frozenset[str]] = {
    "hf": frozenset({"batch_tokens", "constrained", "device", "dtype", "generate"}),
    "vllm": frozenset(
        {
            *("dtype", "generate", "gpu_memory_utilization", "max_model_len"),
            *("pipeline_parallel", "quantization", "tensor_parallel"),
        }
    ),
    "openai": frozenset({"attempts", "backoff", "concurrency", "generate", "seed", "timeout"}),
    "replay": frozenset(),
    "baseline": frozenset(),
}
"""The kinds of models, and the options that each takes."""


def open_model(spec: str, **options: Any) -> Model:
    """The model that `spec` names: `hf:FOLDER_OR_HUB_ID`, `vllm:FOLDER_OR_HUB_ID`, `openai:MODEL[@URL]`,
    `replay:FILE`, `baseline:RULE`, a folder, or `nano`, the model that comes with the package.

    `generate` holds settings of decoding under the names of the library or server that decodes (`temperature`,
    `top_p` …); what is greedy is the default everywhere. The others are those of the model's class.

    Raises:
        ModelError: unknown kind, no such model, or an option that its kind does not have.
        MissingExtra: the library that runs it is not installed.
    """
    kind, colon, rest = spec.partition(":")
    if spec == "nano" or (not colon and Path(spec).exists()):
        kind, rest = "hf", spec
    if kind not in OPTIONS:
        hint = f"{did_you_mean(kind, OPTIONS)}; write for example hf:{spec}"
        raise ModelError(f"no model is called `{spec}`", hint=hint)
    if unknown := sorted(options.keys() - OPTIONS[kind]):
        known = ", ".join(sorted(OPTIONS[kind])) or "none"
        raise ModelError(f"{kind}: models have no option `{unknown[0]}`", where=spec, hint=f"options: {known}")
    match kind:
        case "hf":
            from coalm.models.hf import HuggingFaceModel

            return HuggingFaceModel(rest, **options)
        case "vllm":
            from coalm.models.vllm import VLLMModel

            return VLLMModel(rest, **options)
        case "openai":
            from coalm.models.openai import OpenAIModel

            return OpenAIModel(rest, **options)
        case "baseline":
            from coalm.models.baseline import open_baseline

            return open_baseline(rest)
        case _:
            from coalm.models.replay import ReplayModel

            return ReplayModel(Path(rest))
