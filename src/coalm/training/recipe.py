"""What a training run does: one frozen dataclass, one YAML file with the same keys.

    coalm train tiny --data DIR --out RUN --set learning_rate=1e-3 --set scratch.layers=2

A file may begin with `extends: NAME`, and then holds what is different. Keys that do not exist and values that
cannot be are errors, all of them told at once. The text under each field is its help, and stands above its key
in `coalm train RECIPE --print`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from coalm.errors import RecipeError, did_you_mean
from coalm.training import settings
from coalm.training.data import Policy
from coalm.training.trackers import TRACKERS, tracker_names

FOLDER = Path(__file__).parent.parent / "recipes"


@dataclass(frozen=True, slots=True)
class Scratch:
    """A small Llama with random weights."""

    hidden_size: int = 256
    """Width of the residual stream."""

    intermediate_size: int = 704
    """Width of the feed-forward layers."""

    layers: int = 4
    """Number of decoder layers."""

    heads: int = 4
    """Number of attention heads."""

    kv_heads: int = 4
    """Number of key-value heads; `heads` must be a multiple of it."""

    context: int = 4096
    """Longest sequence, in tokens."""

    rope_theta: float = 500_000.0
    """Base of the rotary position embedding."""

    tied: bool = False
    """Whether the output head is the embedding. Fewer weights, which learn to repeat words much more slowly."""

    tokenizer: str | None = None
    """Hub id or folder; none: a byte-level BPE of our own, trained on the mixture."""

    vocabulary: int = 2048
    """Tokens of our own tokenizer."""


@dataclass(frozen=True, slots=True)
class Lora:
    """Low-rank adapters."""

    rank: int = 16
    """Rank of each adapter."""

    alpha: int = 32
    """Scale: an adapter's output is multiplied by alpha / rank."""

    dropout: float = 0.0
    """Share of an adapter's inputs set to zero in training. Samples that share a prefix share the draw."""

    targets: str | tuple[str, ...] = "all-linear"
    """`all-linear` (all linear layers but the output head) or a list of module names."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training run."""

    model: str | None = None
    """Base model: Hub id or folder. Leave it out and give `scratch` to start from random weights."""

    scratch: Scratch | None = None
    """Shape of a small Llama to be trained from random weights."""

    only: tuple[str, ...] = ()
    """Sources or domains (TOD, LA, CRA) of the mixture to train on; none: all."""

    without: tuple[str, ...] = ()
    """Sources or domains of the mixture to leave out, as the ablations of Table 5 do."""

    method: Literal["full", "lora", "qlora"] = "full"
    """Which weights learn: all of them, low-rank adapters, or adapters on a base in four bits (nf4)."""

    lora: Lora = field(default_factory=Lora)
    """The adapters, for `method: lora` and `qlora`."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    """muon: for a model from scratch; the layers' matrices are updated by Muon, the rest by AdamW."""

    learning_rate: float = 1e-4
    """Peak learning rate."""

    adamw_ratio: float = 1.0
    """muon: the learning rate of AdamW's part (embedding, head, norms, biases), as a share of Muon's."""

    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls after the warm-up; linear and cosine end at zero."""

    warmup_ratio: float = 0.1
    """Share of the run in which the learning rate rises from zero to its peak."""

    beta2: float = 0.999
    """Decay of AdamW's second moment."""

    weight_decay: float = 0.0
    """AdamW's decoupled weight decay, on matrices only."""

    clip: float = 1.0
    """Largest norm of the gradient; larger ones are scaled down to it. 0: never."""

    epochs: float = 3.0
    """How often each sample is seen, unless `max_steps` or `max_minutes` end the run before."""

    max_steps: int | None = None
    """At most so many optimiser steps."""

    max_minutes: float | None = None
    """At most so long; the schedule then follows the clock."""

    batch: int = 8
    """Global batch: samples for each optimiser step."""

    sharing: bool = True
    """Whether prefixes that samples share are computed once. Off: plain rows, unpadded. Same gradients."""

    policy: Policy = "grouped"
    """Order of samples. grouped: a dialogue's samples together, most is shared; shuffle: all at random."""

    pack_tokens: int = 8192
    """Computed tokens of one forward pass; a batch that needs more is split. A matter of memory only."""

    max_length: int | None = None
    """Longest sample, in tokens; none: what the model can see."""

    too_long: Literal["error", "drop"] = "error"
    """What to do with longer samples: stop before training, or leave them out and count them."""

    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Arithmetic; weights that learn are always kept in float32, frozen ones in this type."""

    gradient_checkpointing: bool = False
    """Whether layers are computed again in the backward pass instead of being kept: less memory, more time."""

    liger: bool = False
    """Whether to use Liger's kernels for norms and feed-forward layers; on a GPU, where it is installed."""

    parallel: Literal["fsdp", "ddp"] = "fsdp"
    """Several processes: fsdp shards weights, gradients and optimiser state; ddp keeps them whole in each, as
    is faster for a small model, and as muon needs it."""

    offload: bool = False
    """Whether weights and optimiser lie in main memory between uses; for `parallel: fsdp`."""

    seed: int = 0
    """Of weights, adapters, order and dropout."""

    eval_every: int = 200
    """Optimiser steps between two looks at the validation loss; there is one before and one after, too."""

    eval_samples: int = 256
    """Validation samples to look at, evenly spaced over the split. 0: none."""

    save_every: int = 200
    """Optimiser steps between two checkpoints."""

    keep: int = 2
    """Checkpoints to keep, the latest ones."""

    checkpoint: Literal["gathered", "sharded"] = "gathered"
    """How checkpoints are written: whole, by the first process, or by all of them, each its own shares."""

    report_to: str | tuple[str, ...] = "none"
    """Where metrics go besides RUN/metrics.jsonl: none, tensorboard, trackio, wandb, or a list of these."""

    def to_yaml(self) -> str:
        """The recipe as a file that loads as itself, with each field's help above it."""
        return settings.write(self)


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_recipe(name: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """The recipe of that name, or in that YAML file, with `key=value` changes applied.

    Raises:
        RecipeError: there is none, or it is wrong; all faults are listed.
    """
    path = _find(str(name), Path())
    values = _read(path, ())
    faults: list[str] = []
    for change in changes:
        settings.change(values, change, faults)
    recipe: Recipe = settings.build(Recipe, values, faults)
    if not faults:
        faults += _contradictions(recipe)
    if faults:
        raise RecipeError("\n  ".join(["this recipe cannot be run:", *faults]), where=path)
    return recipe


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """A recipe's values, over those of the recipe that it `extends`."""
    if path in seen:
        raise RecipeError("extends itself", where=path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"not valid YAML: {error}", where=path) from None
    if not isinstance(values, dict):
        raise RecipeError("expected keys and values", where=path)
    if "extends" not in values:
        return values
    below = _find(str(values.pop("extends")), path.parent)
    return _overlay(_read(below, (*seen, path)), values)


def _overlay(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` over `below`, nested keys one by one."""
    merged = dict(below)
    for key, value in above.items():
        old = below.get(key)
        merged[key] = _overlay(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _find(name: str, beside: Path) -> Path:
    for path in (FOLDER / f"{name}.yaml", beside / name, beside / f"{name}.yaml"):
        if path.is_file():
            return path
    raise RecipeError(f"no recipe is called `{name}`", hint=did_you_mean(name, recipe_names()))


def _contradictions(recipe: Recipe) -> Iterator[str]:
    """What is wrong with values that are right one by one."""
    if (recipe.model is None) == (recipe.scratch is None):
        yield "give either `model` or `scratch`"
    if recipe.method != "full" and recipe.model is None:
        yield f"`method: {recipe.method}` needs a `model` to adapt"
    if recipe.parallel == "ddp":
        if recipe.offload:
            yield "`offload` needs `parallel: fsdp`"
        if recipe.checkpoint == "sharded":
            yield "`checkpoint: sharded` needs `parallel: fsdp`"
    yield from _out_of_range(recipe)
    for name in tracker_names(recipe.report_to):
        if name not in TRACKERS:
            yield f"`report_to`: expected none, {', '.join(TRACKERS)}, or a list of these, found {name!r}"
    if recipe.scratch:
        shape = recipe.scratch
        if min(shape.hidden_size, shape.heads, shape.kv_heads, shape.layers, shape.context) < 1:
            yield "`scratch`: sizes must be 1 or more"
        elif shape.hidden_size % shape.heads or shape.heads % shape.kv_heads:
            yield "`scratch`: `hidden_size` must be a multiple of `heads`, and `heads` of `kv_heads`"
        elif shape.hidden_size // shape.heads % 2:
            yield "`scratch`: `hidden_size / heads` must be even"


def _out_of_range(recipe: Recipe) -> Iterator[str]:
    above_zero = ("learning_rate", "adamw_ratio", "epochs", "max_minutes", "batch", "pack_tokens", "max_length")
    for key in (*above_zero, "eval_every", "save_every", "keep"):
        value = getattr(recipe, key)
        if value is not None and value <= 0:
            yield f"`{key}` must be more than 0, found {value}"
    for key in ("max_steps", "weight_decay", "clip", "eval_samples"):
        value = getattr(recipe, key)
        if value is not None and value < 0:
            yield f"`{key}` must be 0 or more, found {value}"
    if not 0 <= recipe.warmup_ratio < 1:
        yield f"`warmup_ratio` must be at least 0 and less than 1, found {recipe.warmup_ratio}"
    if not 0 < recipe.beta2 < 1:
        yield f"`beta2` must lie between 0 and 1, found {recipe.beta2}"
    if not 0 <= recipe.lora.dropout < 1:
        yield f"`lora.dropout` must be at least 0 and less than 1, found {recipe.lora.dropout}"
    if recipe.lora.rank < 1:
        yield f"`lora.rank` must be more than 0, found {recipe.lora.rank}"
