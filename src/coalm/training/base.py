"""The model a run starts from, its tokenizer, and which of its weights learn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coalm.dialogue import Sample
from coalm.errors import MissingExtra, ModelError
from coalm.tokens import load_tokenizer
from coalm.training.scratch import build_llama, train_tokenizer

if TYPE_CHECKING:
    import torch

    from coalm.training.attention import Attention
    from coalm.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Base:
    """`model` is ready to learn, adapters and all; `context`: tokens it can see, None for no limit.

    `save_dtype` is what its weights are written in; None: adapters, which are written as they are.
    """

    model: Any
    tokenizer: Any
    attention: Attention
    context: int | None
    save_dtype: torch.dtype | None

    def save(self, folder: Path) -> None:
        """Write model (or adapter) and tokenizer so that `hf:FOLDER` opens them; the model's own end."""
        if self.save_dtype is not None:
            self.model.to(self.save_dtype)
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def open_tokenizer(recipe: Recipe, samples: Callable[[], Iterable[Sample]]) -> Any:
    """The base model's tokenizer, the one that `scratch` names, or one trained on `samples`.

    Raises:
        ModelError: there is no such tokenizer.
    """
    if recipe.scratch and recipe.scratch.tokenizer is None:
        return train_tokenizer(samples(), recipe.scratch.vocabulary)
    return load_tokenizer(recipe.scratch.tokenizer if recipe.scratch else recipe.model)


def open_base(recipe: Recipe, tokenizer: Any, device: str) -> Base:
    """The model of a recipe on `device`.

    Raises:
        ModelError: there is no such model, or it has no place for adapters.
    """
    from coalm.training.forward import choose_attention

    model = _load(recipe, tokenizer, device)
    save_dtype = model.dtype if recipe.method == "full" else None
    if recipe.method != "qlora":  # which is where it belongs already, and cannot be moved
        model.to(device)
    if recipe.liger:
        _use_liger(model, device)
    attention = choose_attention(model)
    context = context_length(model.config)
    model = _prepare(model, recipe)
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    return Base(model, tokenizer, attention, context, save_dtype)


def context_length(config: Any) -> int | None:
    """Tokens that all layers of a model can see at once; a sliding window narrows it, as tries ignore it."""
    text = config.get_text_config()
    limits = [getattr(text, "max_position_embeddings", None)]
    if getattr(text, "use_sliding_window", True):
        limits.append(getattr(text, "sliding_window", None))
    return min((limit for limit in limits if limit), default=None)


def _load(recipe: Recipe, tokenizer: Any, device: str) -> Any:
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "transformers", extra="train") from None
    transformers.utils.logging.disable_progress_bar()
    if recipe.scratch:
        return build_llama(recipe.scratch, tokenizer, recipe.seed)
    options: dict[str, Any] = {"dtype": "auto"}
    if recipe.method == "qlora":
        options = {"dtype": recipe.dtype, "quantization_config": _four_bits(recipe), "device_map": {"": device}}
    try:
        return transformers.AutoModelForCausalLM.from_pretrained(recipe.model, **options)
    except (OSError, ValueError) as error:
        hint = "give a folder with config.json and weights, or a Hub id"
        raise ModelError(f"no model at `{recipe.model}`: {str(error).splitlines()[0]}", hint=hint) from None


def _four_bits(recipe: Recipe) -> Any:
    """nf4 as the paper has it, stored in the type of the other weights, so that FSDP can shard it.

    Raises:
        MissingExtra: bitsandbytes is not installed.
    """
    import importlib.util

    import torch
    from transformers import BitsAndBytesConfig

    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtra("bitsandbytes", extra="qlora")
    kind = getattr(torch, recipe.dtype)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=kind,
        bnb_4bit_quant_storage=kind,
    )


def _use_liger(model: Any, device: str) -> None:
    """Put Liger's kernels in place of the model's own norms and feed-forward layers.

    Raises:
        ModelError: they run on GPUs alone.
        MissingExtra: Liger is not installed.
    """
    if device == "cpu":
        raise ModelError("Liger's kernels run on a GPU", hint="--set liger=false")
    try:
        from liger_kernel.transformers import _apply_liger_kernel_to_instance
    except ModuleNotFoundError:
        raise MissingExtra("liger_kernel", extra="gpu") from None
    # Our loss runs on target positions only, so the fused one is not for us.
    _apply_liger_kernel_to_instance(model, fused_linear_cross_entropy=False, cross_entropy=False)


def _prepare(model: Any, recipe: Recipe) -> Any:
    """Weights that learn in float32, frozen ones in the recipe's type, adapters where it wants them."""
    import torch

    torch.manual_seed(recipe.seed)
    if recipe.method == "full":
        return model.float().requires_grad_(True)
    if recipe.method == "lora":
        model = model.to(getattr(torch, recipe.dtype))
    model = _adapt(model, recipe)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    return model


def _adapt(model: Any, recipe: Recipe) -> Any:
    from peft import LoraConfig, get_peft_model

    lora = recipe.lora
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
    )
    try:
        adapted = get_peft_model(model, config)
    except ValueError as error:
        raise ModelError(f"no place for adapters in `{recipe.model}`: {error}") from None
    if recipe.model and Path(recipe.model).exists():
        # An adapter must find its base again from any working folder.
        adapted.peft_config["default"].base_model_name_or_path = str(Path(recipe.model).resolve())
    return adapted
