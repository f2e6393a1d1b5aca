"""What other trainers read: TRL takes a step on it; of the others the keys are checked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from coalm.errors import DataError, RecipeError
from coalm.mixture import read
from coalm.tokens import Encoder
from coalm.training.export import Framework, export
from coalm.training.recipe import Lora, Recipe, Scratch, load_recipe
from tests.models.tiny import CHAT_TEMPLATE, train_tokenizer

from .made import samples, tiny_model, write_mixture

RECIPE = Recipe(
    model="me/base",
    method="lora",
    lora=Lora(rank=4, alpha=8, dropout=0.1, targets=("q_proj", "v_proj")),
    batch=4,
    epochs=2,
    max_steps=1,
    max_length=2048,
    dtype="float32",
)
FRAMEWORKS: tuple[Framework, ...] = ("trl", "oumi", "llamafactory")


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mixture(tmp_path_factory.mktemp("mixture"), samples(2, 6), samples(1, 0, start=100))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama whose tokenizer has a chat template."""
    folder = tmp_path_factory.mktemp("base")
    tokenizer = train_tokenizer()
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    tiny_model("llama", len(tokenizer)).save_pretrained(folder)
    return folder


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def settings(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


# ── TRL ───────────────────────────────────────────────────────────────────────────────────────────


def test_trl_reads_and_trains(
    mixture: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trl = pytest.importorskip("trl", reason="TRL is not installed")
    from datasets import load_dataset

    export(replace(RECIPE, model=str(base)), mixture, tmp_path / "out", "trl")
    monkeypatch.chdir(tmp_path / "out")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    script, training, model = _parse_trl(Path("trl.yaml"))
    data = load_dataset(script.dataset_name, cache_dir=str(tmp_path / "cache"))
    assert {split: len(data[split]) for split in data} == {"train": 14, "validation": 4}
    trainer = trl.SFTTrainer(
        model=model.model_name_or_path,
        args=training,
        train_dataset=data[script.dataset_train_split],
        eval_dataset=data[script.dataset_test_split],
        peft_config=trl.get_peft_config(model),
    )
    _check_tokens_are_ours(trainer, mixture)
    trainer.train()
    assert trainer.state.global_step == 1
    assert trainer.state.max_steps == 1
    assert training.learning_rate == RECIPE.learning_rate
    assert trainer.model.peft_config["default"].target_modules == {"q_proj", "v_proj"}


def _parse_trl(path: Path) -> tuple[Any, Any, Any]:
    """As `trl sft --config` does: keys that it does not know are errors."""
    import trl

    kinds = (trl.ScriptArguments, trl.SFTConfig, trl.ModelConfig, trl.DatasetMixtureConfig)
    parsed = trl.TrlParser(kinds).parse_args_and_config(["--config", str(path), "--use_cpu"])
    return parsed[0], parsed[1], parsed[2]


def _check_tokens_are_ours(trainer: Any, mixture: Path) -> None:
    """Row by row, what TRL makes of the export is what we train on, but for the break behind the end token."""
    encoder = Encoder(trainer.processing_class)
    found = set()
    for row in trainer.train_dataset:
        labels = trainer.data_collator([row])["labels"][0].tolist()
        end = len(labels) - labels[::-1].index(encoder.end_id)
        found.add((tuple(row["input_ids"][:end]), labels[:end].count(-100)))
    ours = [encoder.sample(sample) for sample in read(mixture)]
    assert found == {(tuple(one.prompt + one.output), len(one.prompt)) for one in ours}


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_trl_knows_all_keys(mixture: Path, tmp_path: Path, method: Any) -> None:
    pytest.importorskip("trl", reason="TRL is not installed")
    recipe = replace(load_recipe("coalm-8b"), method=method, schedule="constant")
    export(recipe, mixture, tmp_path / "out", "trl")
    _, training, model = _parse_trl(tmp_path / "out" / "trl.yaml")
    assert (training.num_train_epochs, training.gradient_accumulation_steps) == (3, 8)
    assert (training.learning_rate, training.warmup_steps, training.bf16) == (1e-4, 0.1, True)
    assert training.lr_scheduler_type == "constant_with_warmup"
    assert training.max_length is None
    assert training.completion_only_loss
    assert model.use_peft is (method != "full")
    assert model.load_in_4bit is (method == "qlora")
    if method != "full":
        assert (model.lora_r, model.lora_alpha, model.lora_target_modules) == (16, 32, "all-linear")


def test_trl_rows_are_conversations(mixture: Path, tmp_path: Path) -> None:
    written = export(RECIPE, mixture, tmp_path / "out", "trl")
    assert [str(path.relative_to(tmp_path / "out")) for path in written] == [
        "data/train.jsonl",
        "data/validation.jsonl",
        "trl.yaml",
    ]
    assert rows(written[0]) == [
        {
            "prompt": [{"role": "user", "content": sample.prompt}],
            "completion": [{"role": "assistant", "content": sample.output}],
        }
        for sample in read(mixture)
    ]


# ── the others ────────────────────────────────────────────────────────────────────────────────────


def test_oumi(mixture: Path, tmp_path: Path) -> None:
    export(replace(RECIPE, method="qlora"), mixture, tmp_path / "out", "oumi")
    config = settings(tmp_path / "out" / "oumi.yaml")
    assert config.keys() == {"model", "data", "training", "peft"}
    assert config["model"]["model_name"] == "me/base"
    assert config["data"]["validation"]["datasets"] == [
        {"dataset_name": "text_sft_jsonl", "dataset_path": "data/validation.jsonl"}
    ]
    assert config["training"]["trainer_type"] == "TRL_SFT"
    assert config["training"]["gradient_accumulation_steps"] == 4
    assert config["peft"] == {
        "lora_r": 4,
        "lora_alpha": 8,
        "lora_dropout": 0.1,
        "lora_target_modules": ["q_proj", "v_proj"],
        "q_lora": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_quant_storage": "float32",
        "bnb_4bit_compute_dtype": "float32",
    }
    first = rows(tmp_path / "out" / "data" / "train.jsonl")[0]
    assert [message["role"] for message in first["messages"]] == ["user", "assistant"]
    assert first["messages"][1]["content"] == next(read(mixture)).output


def test_oumi_has_whole_epochs_only(mixture: Path, tmp_path: Path) -> None:
    export(replace(RECIPE, epochs=1.5, max_steps=None), mixture, tmp_path / "out", "oumi")
    training = settings(tmp_path / "out" / "oumi.yaml")["training"]
    assert (training["num_train_epochs"], training["max_steps"]) == (2, 6)  # 1.5 * 14 samples / 4


def test_llamafactory(mixture: Path, tmp_path: Path) -> None:
    export(RECIPE, mixture, tmp_path / "out", "llamafactory")
    config = settings(tmp_path / "out" / "llamafactory.yaml")
    info = json.loads((tmp_path / "out" / "data" / "dataset_info.json").read_text())
    assert info.keys() == {config["dataset"], config["eval_dataset"]}
    columns = {"prompt": "instruction", "query": "input", "response": "output"}
    assert info["coalm_train"] == {
        "file_name": "train.jsonl",
        "formatting": "alpaca",
        "columns": columns,
    }
    assert (config["stage"], config["finetuning_type"], config["lora_target"]) == (
        "sft",
        "lora",
        "q_proj,v_proj",
    )
    first, sample = rows(tmp_path / "out" / "data" / "train.jsonl")[0], next(read(mixture))
    assert first == {"instruction": sample.prompt, "input": "", "output": sample.output}


# ── all of them ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("to", FRAMEWORKS)
def test_only_what_the_recipe_selects(to: Framework, mixture: Path, tmp_path: Path) -> None:
    export(replace(RECIPE, only=("snips",)), mixture, tmp_path / "out", to)
    assert len(rows(tmp_path / "out" / "data" / "train.jsonl")) == 6
    assert not (tmp_path / "out" / "data" / "validation.jsonl").exists()
    assert "validation" not in (tmp_path / "out" / f"{to}.yaml").read_text().replace("_split: validation", "")


def test_errors(mixture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(RecipeError, match="scratch"):
        export(Recipe(scratch=Scratch()), mixture, out, "trl")
    with pytest.raises(RecipeError, match="max_minutes"):
        export(replace(RECIPE, max_minutes=2), mixture, out, "trl")
    with pytest.raises(RecipeError, match="no trainer is called `axolotl`"):
        export(RECIPE, mixture, out, "axolotl")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no sample to train on"):
        export(replace(RECIPE, only=("toolace",)), mixture, out, "trl")
    with pytest.raises(DataError, match="no such mixture"):
        export(RECIPE, tmp_path / "nowhere", out, "trl")
    with pytest.raises(DataError, match="not an empty folder"):
        export(RECIPE, mixture, mixture, "trl")
    assert list(tmp_path.iterdir()) == []


def test_empty_output_is_refused(tmp_path: Path) -> None:
    good = samples(1, 0)
    data = write_mixture(tmp_path / "mixture", [*good, replace(good[0], output=" ")])
    with pytest.raises(DataError, match="output is empty"):
        export(RECIPE, data, tmp_path / "out", "trl")
    assert not (tmp_path / "out").exists()
