"""A mixture and a recipe for another trainer: its data format, and the nearest configuration.

    export(load_recipe("coalm-8b"), Path("runs/mixture"), Path("runs/for-trl"), "trl")

    OUT/data/train.jsonl, validation.jsonl      the samples that the recipe selects, in the mixture's order
    OUT/trl.yaml, oumi.yaml, llamafactory.yaml  how to train on them

Paths in the configuration are relative to OUT, so that the folder can be taken elsewhere. Loss falls on the
answer alone in all three. The other trainers compute shared prefixes again and again, shuffle all samples,
and cut those that are longer than `max_length`.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import yaml

from coalm.dialogue import Sample
from coalm.errors import DataError, RecipeError, did_you_mean
from coalm.mixture import SPLITS, read
from coalm.training.data import select
from coalm.training.recipe import Recipe

Framework = Literal["trl", "oumi", "llamafactory"]
Row = dict[str, Any]
Counts = Mapping[str, int]
LONGEST = 1 << 17  # tokens; for a trainer that has no "as long as the model can see"


def export(recipe: Recipe, data: Path, out: Path, to: Framework) -> list[Path]:
    """Write the mixture in `data` and the recipe to `out` as the other trainer reads them; the files written.

    `out` appears when all of it is written. One device is assumed: the recipe's global batch is reached by
    gradient accumulation.

    Raises:
        RecipeError: there is no such trainer, or it cannot do what the recipe says.
        DataError: no mixture, no sample to train on, one without an output, or `out` is not empty.
    """
    _check(recipe, to)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError("is there already, and not an empty folder", where=out, hint="give another one")
    unfinished = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        _write(recipe, data, unfinished, _FORMATS[to], f"{to}.yaml")
        unfinished.rename(out)
    except OSError as error:
        raise DataError(f"the export cannot be written: {error}", where=out) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return sorted(path for path in out.rglob("*") if path.is_file())


def _check(recipe: Recipe, to: str) -> None:
    known = get_args(Framework)
    if to not in known:
        raise RecipeError(f"no trainer is called `{to}`", hint=did_you_mean(to, known))
    if recipe.model is None:
        hint = "--set model=HUB_ID --set scratch=null, or train it here with `coalm train`"
        raise RecipeError("other trainers need a `model` to start from: this recipe has `scratch`", hint=hint)
    if recipe.optimizer != "adamw":
        raise RecipeError(f"`optimizer: {recipe.optimizer}` is ours alone", hint="--set optimizer=adamw")
    if recipe.max_minutes is not None:
        raise RecipeError("`max_minutes` is ours alone", hint="--set max_minutes=null, and give max_steps")


def _write(recipe: Recipe, data: Path, out: Path, form: _Format, name: str) -> None:
    (out / "data").mkdir(parents=True)
    counts = {split: _write_rows(recipe, data, split, out / "data", form.row) for split in SPLITS}
    if not counts["train"]:
        raise DataError("no sample to train on", where=data)
    if form is _FORMATS["llamafactory"]:
        info = json.dumps(_dataset_info(counts), indent=2) + "\n"
        (out / "data" / "dataset_info.json").write_text(info, encoding="utf-8")
    text = yaml.safe_dump(form.settings(recipe, counts), sort_keys=False, default_flow_style=False)
    (out / name).write_text(_head(form) + text, encoding="utf-8")


def _write_rows(recipe: Recipe, data: Path, split: str, folder: Path, form: Callable[[Sample], Row]) -> int:
    """One JSON object a line; number of rows. A validation split without rows gets no file."""
    if split != "train" and not (data / f"{split}.parquet").is_file():
        return 0
    path, count = folder / f"{split}.jsonl", 0
    with path.open("w", encoding="utf-8") as file:
        for sample in select(read(data, split), recipe.only, recipe.without):
            if not sample.output.strip():
                where = f"{sample.source} {sample.dialogue} turn {sample.turn}"
                raise DataError("the sample's output is empty", where=where, hint="mend the mixture")
            file.write(json.dumps(form(sample), ensure_ascii=False) + "\n")
            count += 1
    if not count:
        path.unlink()
    return count


def _head(form: _Format) -> str:
    lines = [
        f"Made by `coalm export`. In this folder: {form.command}",
        "For N devices, divide gradient_accumulation_steps by N.",
        *form.remarks,
    ]
    return "".join(f"# {line}\n" for line in lines)


# ── rows ──────────────────────────────────────────────────────────────────────────────────────────


def _user(sample: Sample) -> Row:
    return {"role": "user", "content": sample.prompt}


def _assistant(sample: Sample) -> Row:
    return {"role": "assistant", "content": sample.output}


def _trl_row(sample: Sample) -> Row:
    return {"prompt": [_user(sample)], "completion": [_assistant(sample)]}


def _oumi_row(sample: Sample) -> Row:
    return {"messages": [_user(sample), _assistant(sample)]}


def _llamafactory_row(sample: Sample) -> Row:
    """The whole prompt as instruction: instruction and input would be joined without the blank line."""
    return {"instruction": sample.prompt, "input": "", "output": sample.output}


def _dataset_info(counts: Counts) -> Row:
    columns = {"prompt": "instruction", "query": "input", "response": "output"}
    return {
        f"coalm_{split}": {"file_name": f"{split}.jsonl", "formatting": "alpaca", "columns": columns}
        for split, count in counts.items()
        if count
    }


# ── settings ──────────────────────────────────────────────────────────────────────────────────────


def _trl_settings(recipe: Recipe, counts: Counts) -> Row:
    settings = {
        "model_name_or_path": _model(recipe),
        "dtype": "float32" if recipe.method == "full" else recipe.dtype,
        "dataset_name": "data",
        "dataset_train_split": "train",
        "dataset_test_split": "validation",
        "completion_only_loss": True,
        "max_length": recipe.max_length,
        **_shared_settings(recipe, counts),
        "num_train_epochs": recipe.epochs,
        "warmup_steps": recipe.warmup_ratio,
        "optim": "adamw_torch",
        "bf16": recipe.dtype == "bfloat16",
        "gradient_checkpointing": recipe.gradient_checkpointing,
        "use_liger_kernel": recipe.liger,
        "save_total_limit": recipe.keep,
        "report_to": "none",
        "use_peft": recipe.method != "full",
    }
    if recipe.method != "full":
        settings |= {**_lora_sizes(recipe), "lora_target_modules": _targets(recipe)}
    if recipe.method == "qlora":
        settings |= {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_quant_storage": recipe.dtype,
        }
    return settings


def _oumi_settings(recipe: Recipe, counts: Counts) -> Row:
    model = {
        "model_name": _model(recipe),
        "torch_dtype_str": "float32" if recipe.method == "full" else recipe.dtype,
        "enable_liger_kernel": recipe.liger,
    }
    if recipe.max_length:
        model["model_max_length"] = recipe.max_length
    # Oumi counts whole epochs only.
    steps = math.ceil(recipe.epochs * counts["train"] / recipe.batch)
    limit = {} if recipe.max_steps or recipe.epochs.is_integer() else {"max_steps": steps}
    training = {
        "trainer_type": "TRL_SFT",
        "use_peft": recipe.method != "full",
        **_shared_settings(recipe, counts),
        "num_train_epochs": math.ceil(recipe.epochs),
        **limit,
        "warmup_ratio": recipe.warmup_ratio,
        "optimizer": "adamw_torch",
        "mixed_precision_dtype": "BF16" if recipe.dtype == "bfloat16" else "NONE",
        "enable_gradient_checkpointing": recipe.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
    }
    settings: Row = {
        "model": model,
        "data": {split: _oumi_split(split) for split in SPLITS if counts[split]},
        "training": training,
    }
    if recipe.method != "full":
        settings["peft"] = {**_lora_sizes(recipe), "lora_target_modules": _targets(recipe)}
    if recipe.method == "qlora":
        settings["peft"] |= {
            "q_lora": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_quant_storage": recipe.dtype,
            "bnb_4bit_compute_dtype": recipe.dtype,
        }
    return settings


def _oumi_split(split: str) -> Row:
    return {
        "datasets": [{"dataset_name": "text_sft_jsonl", "dataset_path": f"data/{split}.jsonl"}],
        "collator_name": "text_completions_only_with_padding",
        "train_target": "FINAL_ASSISTANT_TURN",
    }


def _llamafactory_settings(recipe: Recipe, counts: Counts) -> Row:
    settings = {
        "model_name_or_path": _model(recipe),
        "stage": "sft",
        "do_train": True,
        "dataset_dir": "data",
        "dataset": "coalm_train",
        "cutoff_len": recipe.max_length or LONGEST,
        "train_on_prompt": False,
        **_shared_settings(recipe, counts),
        "num_train_epochs": recipe.epochs,
        "warmup_ratio": recipe.warmup_ratio,
        "optim": "adamw_torch",
        "bf16": recipe.dtype == "bfloat16",
        "disable_gradient_checkpointing": not recipe.gradient_checkpointing,
        "enable_liger_kernel": recipe.liger,
        "save_total_limit": recipe.keep,
        "report_to": "none",
        "finetuning_type": "full" if recipe.method == "full" else "lora",
    }
    if counts["validation"]:
        settings["eval_dataset"] = "coalm_validation"
    if recipe.method != "full":
        lora = recipe.lora
        targets = "all" if lora.targets == "all-linear" else ",".join(_targets(recipe))
        settings |= {
            "lora_rank": lora.rank,
            "lora_alpha": lora.alpha,
            "lora_dropout": lora.dropout,
            "lora_target": targets,
        }
    if recipe.method == "qlora":
        settings |= {"quantization_bit": 4, "quantization_type": "nf4"}
    return settings


def _shared_settings(recipe: Recipe, counts: Counts) -> Row:
    """What all three call by the name that Hugging Face's trainer has for it."""
    settings: Row = {
        "output_dir": "model",
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": "constant_with_warmup" if recipe.schedule == "constant" else recipe.schedule,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": recipe.batch,
        "per_device_eval_batch_size": 1,
        "adam_beta2": recipe.beta2,
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.clip,
        "seed": recipe.seed,
        "logging_steps": 10,
        "save_steps": recipe.save_every,
    }
    if recipe.max_steps is not None:
        settings["max_steps"] = recipe.max_steps
    if counts["validation"] and recipe.eval_samples:
        settings |= {"eval_strategy": "steps", "eval_steps": recipe.eval_every}
    return settings


def _lora_sizes(recipe: Recipe) -> Row:
    lora = recipe.lora
    return {"lora_r": lora.rank, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout}


def _targets(recipe: Recipe) -> list[str]:
    targets = recipe.lora.targets
    return [targets] if isinstance(targets, str) else list(targets)


def _model(recipe: Recipe) -> str:
    """The base as it is found from any working folder."""
    name = str(recipe.model)
    return str(Path(name).resolve()) if Path(name).exists() else name


class _Format(NamedTuple):
    """How a trainer is started, what it reads, and what to know about it."""

    command: str
    row: Callable[[Sample], Row]
    settings: Callable[[Recipe, Counts], Row]
    remarks: tuple[str, ...] = ()


_FORMATS: Mapping[str, _Format] = {
    "trl": _Format(
        "trl sft --config trl.yaml",
        _trl_row,
        _trl_settings,
        (
            "The base needs a chat template. warmup_steps below 1 is a share of all steps (transformers 5;",
            "call it warmup_ratio before).",
        ),
    ),
    "oumi": _Format(
        "oumi train -c oumi.yaml",
        _oumi_row,
        _oumi_settings,
        ("The base needs a chat template; train_target finds the answer in it (Oumi of 2026).",),
    ),
    "llamafactory": _Format(
        "llamafactory-cli train llamafactory.yaml",
        _llamafactory_row,
        _llamafactory_settings,
        ("No `template`: the one of the tokenizer is used, as it is here.",),
    ),
}
