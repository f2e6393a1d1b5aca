"""The model a run starts from, its tokenizer, and which of its weights learn.

Weights are mapped from their files, not read: processes of one machine share these pages. One process moves
them all to its device. Several go layer by layer: move one, in the type it is to have; keep a share of it; go
on. So no device ever holds more than its shares and one whole layer.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coalm.dialogue import Sample
from coalm.errors import MissingExtra, ModelError
from coalm.tokens import load_tokenizer, locate
from coalm.training.processes import ALONE, Processes, shard
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
        if self.save_dtype is None:  # adapters: the base is as it was, and is not looked up on the Hub for it
            self.model.save_pretrained(folder, save_embedding_layers=False)
        else:
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


def open_base(recipe: Recipe, tokenizer: Any, device: str, processes: Processes = ALONE) -> Base:
    """The model of a recipe on `device`: sharded over all processes, or whole in each; all take part together.

    Raises:
        ModelError: there is no such model, or it has no place for adapters.
    """
    from coalm.training.forward import choose_attention

    model = processes.first_then_rest(lambda: _load(recipe, tokenizer))
    save_dtype = model.dtype if recipe.method == "full" else None
    if recipe.method == "qlora":
        _use_four_bits(model, recipe)
    if recipe.liger:
        _use_liger(model, device)
    whole = processes.count == 1 or recipe.parallel == "ddp"
    if whole:
        model.to(device)
        attention = choose_attention(model)
    else:
        attention = _choose_by_twin(model, device)
    context = context_length(model.config)
    model = _adapt(model, recipe) if recipe.method != "full" else model.requires_grad_(True)
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    place = partial(_place, recipe=recipe, device=device)
    if whole:
        for weight in model.parameters():
            place(weight)
    else:
        shard(model, narrow=recipe.dtype == "bfloat16", offload=recipe.offload, device=device, place=place)
    model.train()
    return Base(model, tokenizer, attention, context, save_dtype)


def context_length(config: Any) -> int | None:
    """Tokens in a row that a model takes; None for any number. What a window lets it see of them is its own."""
    limit: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)
    return limit


def _load(recipe: Recipe, tokenizer: Any) -> Any:
    """The base model on the host, in the type of its files, whose pages its weights are where they can be."""
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "transformers", extra="train") from None
    transformers.utils.logging.disable_progress_bar()
    if recipe.scratch:
        return build_llama(recipe.scratch, tokenizer, recipe.seed)
    assert recipe.model is not None  # a recipe has one or the other
    try:
        return transformers.AutoModelForCausalLM.from_pretrained(locate(recipe.model), dtype="auto")
    except (OSError, ValueError) as error:
        hint = "give a folder with config.json and weights, or a Hub id"
        raise ModelError(f"no model at `{recipe.model}`: {str(error).splitlines()[0]}", hint=hint) from None


def _use_four_bits(model: Any, recipe: Recipe) -> None:
    """Put nf4 layers, as the paper has it, in place of all linear ones but the output head.

    Their weights are packed when they are moved to a device (`_place`), and stored there in the type of the
    other weights, so that FSDP can shard them.

    Raises:
        MissingExtra: bitsandbytes is not installed.
    """
    try:
        from bitsandbytes.nn import modules as bitsandbytes
    except ModuleNotFoundError:
        raise MissingExtra("bitsandbytes", extra="qlora") from None
    import torch
    from transformers import BitsAndBytesConfig

    kind = getattr(torch, recipe.dtype)
    options = {"compress_statistics": False, "quant_type": "nf4", "quant_storage": kind}

    make_layer: Any = bitsandbytes.Linear4bit

    def packed(layer: torch.nn.Linear) -> Any:
        size = (layer.in_features, layer.out_features)
        four_bits = make_layer(*size, bias=False, compute_dtype=kind, device="meta", **options)
        four_bits.weight = bitsandbytes.Params4bit(layer.weight.data, module=four_bits, **options)
        four_bits.bias = layer.bias
        # On some CPUs it would repack its weight when it is evaluated, for a product that has no gradient.
        four_bits.support_avx512bf16_for_cpu = False
        return four_bits

    head = model.get_output_embeddings()
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is torch.nn.Linear and layer is not head:
                setattr(parent, name, packed(layer))
    model.is_loaded_in_4bit = True  # what `peft` goes by
    model.config.quantization_config = BitsAndBytesConfig(
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


def _choose_by_twin(model: Any, device: str) -> Attention:
    """What `choose_attention` finds on a narrow model of the same kind, as this one is on no device yet.

    A twin that cannot be built, or cannot run, leaves the model its own attention, which is always right.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from coalm.training.forward import choose_attention

    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            twin = AutoModelForCausalLM.from_config(_narrow(model.config), dtype=torch.float32).to(device)
        attention = choose_attention(twin)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
        return "own"
    model.set_attn_implementation(twin.config._attn_implementation)
    return attention


def _narrow(config: Any) -> Any:
    """`config` with heads of the same width but few of them, eight layers at most and little else.

    Its weights are so large that attention scores are, too (tens), as a cap on them would not show otherwise.
    """
    config = deepcopy(config)
    text = config.get_text_config()
    heads, kv_heads = text.num_attention_heads, getattr(text, "num_key_value_heads", None)
    width = getattr(text, "head_dim", None) or text.hidden_size // heads
    layers = text.num_hidden_layers
    small = {
        "vocab_size": 1024,
        "hidden_size": 4 * width,
        "intermediate_size": 64,
        "moe_intermediate_size": 32,
        "num_attention_heads": 4,
        "num_key_value_heads": 4 if kv_heads == heads else 2,
        "num_hidden_layers": min(layers, 8),  # all kinds of layers of a model that mixes them
        "initializer_range": width**-0.5,
    }
    for name, value in vars(text).copy().items():
        if name in small and value is not None:
            setattr(text, name, small[name])
        elif name.endswith("_token_id"):
            setattr(text, name, None)
        elif isinstance(value, list) and len(value) == layers:  # a fact for each layer
            setattr(text, name, value[:8])
    config.quantization_config = None
    return config


def _place(weight: Any, recipe: Recipe, device: str) -> None:
    """Move a weight, in place: float32 where it learns, the recipe's type or four bits where it is frozen."""
    import torch

    if hasattr(weight, "quant_storage"):  # bitsandbytes' own: it packs itself once
        weight.data = weight.to(device).data
        if weight.dtype == torch.uint8:  # on a CPU it does not keep to the storage that it was told
            weight.data = weight.data.view(-1).view(weight.quant_storage).view(-1, 1)
        return
    kind = torch.float32 if weight.requires_grad else getattr(torch, recipe.dtype)
    weight.data = weight.data.to(device, kind)


def _adapt(model: Any, recipe: Recipe) -> Any:
    """Adapters where the recipe wants them, drawn on the host from its seed: the same in all processes."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # kernels of the Hub that are not needed
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(recipe.seed)
    lora = recipe.lora
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
    )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)  # PEFT's
            adapted = get_peft_model(model, config)
    except ValueError as error:
        raise ModelError(f"no place for adapters in `{recipe.model}`: {error}") from None
    if recipe.model:  # an adapter must find its base again from any working folder
        place = Path(recipe.model)
        name = str(place.resolve()) if place.exists() else recipe.model
        adapted.peft_config["default"].base_model_name_or_path = name
    return adapted
