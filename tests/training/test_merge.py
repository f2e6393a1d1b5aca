"""A merged model answers as its base with the adapter does, and needs no `peft`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from coalm.errors import DataError, ModelError
from coalm.training.base import Base
from coalm.training.merge import merge
from tests.models.tiny import train_tokenizer

from .made import tiny_model


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose adapter has learned something, beside its base."""
    folder = tmp_path_factory.mktemp("run")
    tokenizer = train_tokenizer()
    base = tiny_model("llama", len(tokenizer))
    Base(base, tokenizer, "dense", None, torch.float32).save(folder / "base")
    adapted = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    adapted.peft_config["default"].base_model_name_or_path = str(folder / "base")
    torch.manual_seed(1)
    for name, weight in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.1)
    Base(adapted, tokenizer, "dense", None, None).save(folder / "model")
    return folder


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model.eval()(torch.arange(40)[None]).logits
    return result


@pytest.mark.parametrize("inside", ["", "model"])
def test_merged_model_answers_as_base_and_adapter(run: Path, tmp_path: Path, inside: str) -> None:
    out = merge(run / inside, tmp_path / "merged")
    plain = AutoModelForCausalLM.from_pretrained(run / "base")
    base = logits(plain)
    expected = logits(PeftModel.from_pretrained(plain, run / "model"))
    merged = logits(AutoModelForCausalLM.from_pretrained(out))
    assert (expected - base).abs().max() > 0.1
    assert (merged - expected).abs().max() < 1e-4


def test_merged_model_opens_without_peft(run: Path, tmp_path: Path) -> None:
    out = merge(run, tmp_path / "deep" / "merged")
    assert (out / "model.safetensors").is_file()
    assert not list(out.glob("adapter*"))
    assert not list(out.parent.glob(".*"))
    program = (
        "import sys; sys.modules['peft'] = None\n"
        "from transformers import AutoModelForCausalLM\n"
        f"AutoModelForCausalLM.from_pretrained({str(out)!r})"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer.encode("a hotel<|end|>") == train_tokenizer().encode("a hotel<|end|>")


def test_type_of_the_weights(run: Path, tmp_path: Path) -> None:
    out = merge(run, tmp_path / "merged", dtype="bfloat16")
    assert AutoModelForCausalLM.from_pretrained(out, dtype="auto").dtype == torch.bfloat16
    with pytest.raises(ModelError, match="bfloat17"):
        merge(run, tmp_path / "other", dtype="bfloat17")


def test_base_that_has_moved(run: Path, tmp_path: Path) -> None:
    adapter = shutil.copytree(run / "model", tmp_path / "adapter")
    settings = json.loads((adapter / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = str(tmp_path / "gone")
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=r"no base at `.*gone`"):
        merge(adapter, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    assert merge(adapter, tmp_path / "merged", base=str(run / "base")) == tmp_path / "merged"


def test_base_of_another_shape(run: Path, tmp_path: Path) -> None:
    tiny_model("llama", 64, hidden_size=48).save_pretrained(tmp_path / "wide")
    with pytest.raises(ModelError, match="does not fit"):
        merge(run, tmp_path / "merged", base=str(tmp_path / "wide"))


def test_folders_that_cannot_be_merged(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="plain model already"):
        merge(run / "base", tmp_path / "merged")
    with pytest.raises(DataError, match="no adapter there"):
        merge(tmp_path, tmp_path / "merged")
    with pytest.raises(DataError, match="not an empty folder"):
        merge(run, run / "base")
