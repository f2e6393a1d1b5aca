"""Models in vLLM's offline engine: `vllm:FOLDER_OR_HUB_ID`, over as many GPUs and machines as it takes.

    coalm eval vllm:org/Model-405B --tensor-parallel 8 --pipeline-parallel 2     # 2 machines of 8 GPUs

Prompts go in as token ids, encoded as in training. Several machines need a running Ray cluster (vLLM's own
rule); the engine keeps what prompts begin with by itself. Written against vLLM's documented interface (`LLM`,
`SamplingParams`, prompts as `{"prompt_token_ids": …}`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from coalm.errors import MissingExtra, ModelError
from coalm.models import Completion, Job
from coalm.runs import read_json
from coalm.tokens import Encoder, locate

SEED = 0
AT_ONCE = 256
"""Jobs handed over together: the engine batches them as it likes, and a killed run loses no more than these."""


class VLLMModel:
    """A causal LM in vLLM, or a LoRA adapter on one.

    `quantization` (`bitsandbytes`, `fp8`, `awq` …), `dtype`, `max_model_len` and `gpu_memory_utilization` are
    the engine's; `generate` are fields of `SamplingParams`. Decoding is greedy where these say nothing else.

    Raises:
        MissingExtra: vLLM is not installed.
        ModelError: the engine cannot be started.
    """

    def __init__(
        self,
        name: str,
        *,
        tensor_parallel: int = 1,
        pipeline_parallel: int = 1,
        quantization: str | None = None,
        dtype: str = "auto",
        max_model_len: int | None = None,
        gpu_memory_utilization: float = 0.9,
        generate: Mapping[str, Any] | None = None,
    ) -> None:
        try:
            import vllm
        except ModuleNotFoundError as error:
            raise MissingExtra(error.name or "vllm", extra="vllm") from None
        self.name = f"vllm:{name}"
        self._vllm = vllm
        self._encoder = Encoder.load(name)
        self._settings = {"temperature": 0.0, "seed": SEED, **(generate or {})}
        base, self._adapter, rank = _find_adapter(name)
        settings: dict[str, Any] = {
            "model": base,
            "tensor_parallel_size": tensor_parallel,
            "pipeline_parallel_size": pipeline_parallel,
            "quantization": quantization,
            "dtype": dtype,
            "gpu_memory_utilization": gpu_memory_utilization,
            "enable_prefix_caching": True,
            "seed": SEED,
        }
        if max_model_len is not None:
            settings["max_model_len"] = max_model_len
        if self._adapter:
            settings |= {"enable_lora": True, "max_lora_rank": rank}
        try:
            self._engine = vllm.LLM(**settings)
        except (ValueError, OSError, RuntimeError) as error:
            gpus = tensor_parallel * pipeline_parallel
            hint = f"it wants {gpus} GPU(s): --tensor-parallel times --pipeline-parallel"
            raise ModelError(f"vLLM: {str(error).splitlines()[0]}", where=self.name, hint=hint) from None
        self._limit: int = self._engine.llm_engine.model_config.max_model_len

    def complete(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Completion]]:
        """Yield `(index in jobs, completion)`; a prompt without room for its answer is an error."""
        prompts = [self._encoder.prompt(job.prompt) for job in jobs]
        fitting = []
        for index, ids in enumerate(prompts):
            if len(ids) + jobs[index].max_tokens > self._limit:
                yield index, Completion("", len(ids), 0, error="context_overflow")
            else:
                fitting.append(index)
        for start in range(0, len(fitting), AT_ONCE):
            places = fitting[start : start + AT_ONCE]
            outputs = self._engine.generate(
                [{"prompt_token_ids": prompts[index]} for index in places],
                [self._sampling(jobs[index]) for index in places],
                use_tqdm=False,
                lora_request=self._adapter_request(),
            )
            for index, output in zip(places, outputs, strict=True):
                answer = output.outputs[0]
                yield index, Completion(answer.text, len(prompts[index]), len(answer.token_ids))

    def _sampling(self, job: Job) -> Any:
        stop = list(job.prompt.stop) or None
        fields = {"max_tokens": job.max_tokens, "stop": stop, "stop_token_ids": [self._encoder.end_id]}
        try:
            return self._vllm.SamplingParams(**(fields | self._settings))
        except (TypeError, ValueError) as error:
            raise ModelError(f"SamplingParams: {error}", where=self.name, hint="look at --generate") from None

    def _adapter_request(self) -> Any:
        if not self._adapter:
            return None
        from vllm.lora.request import LoRARequest

        return LoRARequest("adapter", 1, self._adapter)


def _find_adapter(name: str) -> tuple[str, str, int]:
    """(base, adapter's folder, rank); for a model that is no adapter: itself, an empty folder, 0."""
    path = Path(name) / "adapter_config.json"
    if not path.is_file():
        return locate(name), "", 0
    config = read_json(path)
    try:
        return locate(str(config["base_model_name_or_path"])), name, int(config["r"])
    except (LookupError, TypeError, ValueError):
        raise ModelError("no adapter: it names no base and rank", where=path) from None
