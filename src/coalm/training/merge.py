"""An adapter and its base made one plain model, which opens without `peft`.

    merge(Path("runs/coalm-8b"), Path("runs/coalm-8b-merged"))

A merged weight is rounded to the type that it is written in, the base's own unless another is named: in
bfloat16, answers may differ a little from those of base and adapter side by side.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from coalm.errors import DataError, MissingExtra, ModelError, did_you_mean
from coalm.runs import read_json
from coalm.tokens import load_tokenizer, locate
from coalm.training.model_card import hand_on_card

ADAPTER = "adapter_config.json"
DTYPES = ("float32", "bfloat16", "float16")


def merge(run_or_adapter: Path, out: Path, *, base: str | None = None, dtype: str | None = None) -> Path:
    """Write base and adapter as one model, tokenizer included, to `out`; that folder.

    `run_or_adapter` is what `coalm train` filled, or the adapter's own folder. `base` (Hub id or folder) stands
    in for the one that the adapter names; `dtype` is that of the merged weights, the base's where None. `out`
    appears when all of it is written.

    Raises:
        DataError: no adapter there, or `out` is not empty or cannot be written.
        ModelError: the base cannot be opened, or the adapter does not fit it.
        MissingExtra: `peft` or `transformers` is not installed.
    """
    adapter = _find_adapter(run_or_adapter)
    _check_empty(out)
    if dtype not in (None, *DTYPES):
        raise ModelError(f"no type of weights is called `{dtype}`", hint=did_you_mean(str(dtype), DTYPES))
    name = base or _named_base(adapter)
    model = _load_merged(name, adapter, dtype)
    has_tokenizer = (adapter / "tokenizer_config.json").is_file()
    _save(model, load_tokenizer(adapter if has_tokenizer else name), adapter, out)
    return out


def _find_adapter(folder: Path) -> Path:
    """The folder itself, or its `model` where it is a run's."""
    for place in (folder, folder / "model"):
        if (place / ADAPTER).is_file():
            return place
    for place in (folder, folder / "model"):
        if (place / "config.json").is_file():
            raise DataError("a plain model already: there is nothing to merge", where=place)
    hint = "name the folder of a finished run with `method: lora` or `qlora`, or of an adapter"
    raise DataError(f"no adapter there: no {ADAPTER}", where=folder, hint=hint)


def _check_empty(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError("is there already, and not an empty folder", where=out, hint="give another one")


def _named_base(adapter: Path) -> str:
    name = read_json(adapter / ADAPTER).get("base_model_name_or_path")
    if not name:
        raise ModelError("the adapter does not name its base", where=adapter, hint="name it yourself: --base")
    return str(name)


def _load_merged(name: str, adapter: Path, dtype: str | None) -> Any:
    """The base in the type that is written, with the adapter added to its weights."""
    try:
        import transformers
        from peft import PeftModel
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "peft", extra="train") from None
    transformers.utils.logging.disable_progress_bar()
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(locate(name), dtype=dtype or "auto")
    except (OSError, ValueError) as error:
        hint = "where the base has moved, name its place: --base FOLDER"
        raise ModelError(
            f"no base at `{name}`: {str(error).splitlines()[0]}", where=adapter, hint=hint
        ) from None
    try:
        return PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    except (OSError, RuntimeError, ValueError) as error:
        hint = "name the model that it was trained on: --base"
        what = f"the adapter does not fit `{name}`: {str(error).splitlines()[0]}"
        raise ModelError(what, where=adapter, hint=hint) from None


def _save(model: Any, tokenizer: Any, adapter: Path, out: Path) -> None:
    unfinished = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir(parents=True)
        model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        hand_on_card(adapter, unfinished)
        unfinished.rename(out)
    except OSError as error:
        raise DataError(f"the model cannot be written: {error}", where=out) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
