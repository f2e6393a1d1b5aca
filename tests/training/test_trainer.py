"""The whole loop on a few samples: learning, accounting, budgets, and going on after a kill."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from coalm.errors import DataError, ModelError, RecipeError
from coalm.models import Job, open_model
from coalm.tokens import Encoder
from coalm.training.base import context_length
from coalm.training.recipe import Lora, load_recipe
from coalm.training.trainer import schedule, train

from .made import RECIPE, SHAPE, samples, tiny_model, write_mixture


def metrics(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def facts(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "run.json").read_text())
    return content


def final_weights(out: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(next((out / "model").glob("*.safetensors")))


def assert_equal_weights(one: Path, other: Path) -> None:
    mine, theirs = final_weights(one), final_weights(other)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


# ── learning ──────────────────────────────────────────────────────────────────────────────────────


def test_a_model_from_scratch_learns_and_can_be_opened(tmp_path: Path, mixture: Path) -> None:
    recipe = replace(RECIPE, max_steps=60, batch=10, eval_every=60)
    model = train(recipe, mixture, tmp_path)
    rows = metrics(tmp_path)
    assert model == tmp_path / "model"
    assert rows[-1]["eval_loss"] < 0.5 * rows[0]["eval_loss"]
    opened = open_model(f"hf:{model}")
    sample = samples(0, 1, start=100)[0]
    [(_, completion)] = opened.complete([Job("a", 0, sample.as_prompt(), max_tokens=16)])
    assert completion.text.startswith('System: {"domain": "')


def test_what_is_forgotten_is_on_record(tmp_path: Path, mixture: Path) -> None:
    train(replace(RECIPE, max_steps=4), mixture, tmp_path)
    rows = metrics(tmp_path)
    measured = [row["step"] for row in rows if "plain_loss" in row]
    assert measured == [0, 4]
    assert facts(tmp_path)["plain_loss"] == {"before": rows[0]["plain_loss"], "after": rows[-1]["plain_loss"]}
    assert all(value > 1 for value in facts(tmp_path)["plain_loss"].values())


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_lora_adapts_a_model_in_a_folder(tmp_path: Path, mixture: Path, base: Path, kind: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    folder = tmp_path / "base"
    tiny_model(kind, len(tokenizer), initializer_range=0.05).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    recipe = replace(RECIPE, scratch=None, model=str(folder), method="lora", lora=Lora(rank=4), max_steps=12)
    model = train(recipe, mixture, tmp_path / "run")
    rows = metrics(tmp_path / "run")
    assert rows[-1]["eval_loss"] < rows[0]["eval_loss"] - 0.1
    assert set(final_weights(tmp_path / "run")) == {
        f"base_model.model.model.layers.{layer}.{block}.{name}.lora_{part}.weight"
        for layer in range(2)
        for block, names in (("self_attn", "qkvo"), ("mlp", ("gate", "up", "down")))
        for name in (f"{one}_proj" for one in names)
        for part in "AB"
    }
    parameters = facts(tmp_path / "run")["parameters"]
    assert 0 < parameters["learned"] < parameters["all"] / 4
    assert list(open_model(f"hf:{model}").complete([Job("a", 0, samples(1, 0)[0].as_prompt(), max_tokens=2)]))


def test_sharing_changes_what_is_computed_and_nothing_else(tmp_path: Path, mixture: Path) -> None:
    for name, sharing, budget in (("on", True, 8192), ("off", False, 8192), ("small", True, 500)):
        train(replace(RECIPE, sharing=sharing, pack_tokens=budget), mixture, tmp_path / name)
    shared, plain, small = (metrics(tmp_path / name) for name in ("on", "off", "small"))
    for one, other, third in zip(shared, plain, small, strict=True):
        for key in ("samples", "targets", "plain_tokens", "lr"):
            assert one.get(key) == other.get(key) == third.get(key)
        losses = [[row.get("loss") or 0, row.get("eval_loss", 0)] for row in (one, other, third)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
        assert losses[0] == pytest.approx(losses[2], rel=1e-4)
    totals = [facts(tmp_path / name)["totals"] for name in ("on", "off", "small")]
    assert totals[1]["computed_tokens"] == totals[1]["plain_tokens"]
    assert totals[0]["computed_tokens"] * 2 < totals[0]["plain_tokens"]
    assert totals[0]["computed_tokens"] < totals[2]["computed_tokens"] < totals[2]["plain_tokens"]


# ── accounting ────────────────────────────────────────────────────────────────────────────────────


def test_every_row_of_metrics_counts_its_own_step(tmp_path: Path, mixture: Path) -> None:
    train(replace(RECIPE, epochs=1, max_steps=None, batch=8), mixture, tmp_path)
    first, *steps = metrics(tmp_path)
    assert (first["step"], first["loss"]) == (0, None)
    assert [row["step"] for row in steps] == [1, 2, 3, 4]
    assert [row["samples"] for row in steps] == [8, 8, 8, 6]
    assert [row["step"] for row in [first, *steps] if "eval_loss" in row] == [0, 3, 4]
    encoder = Encoder.load(tmp_path / "model")
    tokens = [encoder.sample(sample) for sample in samples(5, 10)]
    totals = facts(tmp_path)["totals"]
    assert totals["samples"] == 30
    assert totals["targets"] == sum(len(output) for _, output in tokens)
    assert totals["plain_tokens"] == sum(len(prompt) + len(output) - 1 for prompt, output in tokens)
    for name, total in totals.items():
        assert sum(row[name] for row in steps) == total


def test_a_run_explains_itself(tmp_path: Path, mixture: Path) -> None:
    train(RECIPE, mixture, tmp_path)
    content = facts(tmp_path)
    assert content["command"] == "train"
    assert content["arguments"]["recipe"]["batch"] == 6
    assert content["attention"] == "segments"
    assert content["steps"] == 6
    assert set(content["data_sha256"]) == {"train", "validation"}
    assert load_recipe(tmp_path / "recipe.yaml") == RECIPE
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("checkpoints", "metrics.jsonl", "model", "recipe.yaml", "run.json", "started.json")
    ]


def test_without_validation_samples_there_is_no_evaluation(tmp_path: Path) -> None:
    folder = write_mixture(tmp_path / "mixture", samples(2, 2))
    train(RECIPE, folder, tmp_path / "run")
    assert not any("eval_loss" in row for row in metrics(tmp_path / "run"))


# ── schedule and budgets ──────────────────────────────────────────────────────────────────────────


def test_schedules() -> None:
    def rates(name: str) -> list[float]:
        recipe = replace(RECIPE, schedule=name, warmup_ratio=0.2)  # type: ignore[arg-type]
        return [round(schedule(recipe, done), 3) for done in (0.0, 0.1, 0.2, 0.6, 1.0)]

    assert rates("linear") == [0.0, 0.5, 1.0, 0.5, 0.0]
    assert rates("cosine") == [0.0, 0.5, 1.0, 0.5, 0.0]
    assert rates("constant") == [0.0, 0.5, 1.0, 1.0, 1.0]


def test_no_step_is_wasted_on_a_rate_of_zero(tmp_path: Path, mixture: Path) -> None:
    train(RECIPE, mixture, tmp_path)
    rates = [row["lr"] for row in metrics(tmp_path)[1:]]
    assert all(0 < rate <= RECIPE.learning_rate for rate in rates)
    assert rates[1:] == sorted(rates[1:], reverse=True)


def test_a_budget_of_minutes_ends_the_run_and_bends_the_schedule(tmp_path: Path, mixture: Path) -> None:
    started = time.monotonic()
    train(replace(RECIPE, max_steps=None, max_minutes=0.05, epochs=10_000), mixture, tmp_path)
    rows = metrics(tmp_path)
    assert 3 <= facts(tmp_path)["training_seconds"] < 3 + max(row.get("seconds", 0) for row in rows) + 5
    assert time.monotonic() - started < 60
    assert rows[-1]["lr"] < 0.5 * RECIPE.learning_rate
    assert "eval_loss" in rows[-1]


# ── going on ──────────────────────────────────────────────────────────────────────────────────────


class StoppedError(Exception):
    pass


def stop_after(step: int) -> Any:
    """A progress display that ends the run when that step has been recorded."""
    from contextlib import contextmanager

    @contextmanager
    def show() -> Any:
        def watch(done: float, row: dict[str, Any]) -> None:
            if row["step"] == step:
                raise StoppedError

        yield watch

    return show


@pytest.mark.parametrize("stops", [[1], [4], [3, 5, 6]])
@pytest.mark.parametrize("method", ["full", "lora", "muon"])
def test_a_stopped_run_goes_on_bit_by_bit(
    tmp_path: Path, mixture: Path, base: Path, stops: list[int], method: str
) -> None:
    recipe = RECIPE
    if method == "lora":
        recipe = replace(RECIPE, scratch=None, model=str(base), method="lora", lora=Lora(rank=4, dropout=0.2))
    elif method == "muon":
        recipe = replace(RECIPE, optimizer="muon")
    train(recipe, mixture, tmp_path / "whole")
    for stop in stops:
        with pytest.raises(StoppedError):
            train(recipe, mixture, tmp_path / "broken", resume=True, progress=stop_after(stop))
    train(recipe, mixture, tmp_path / "broken", resume=True)
    assert_equal_weights(tmp_path / "whole", tmp_path / "broken")
    timeless = [
        [
            {key: value for key, value in row.items() if "seconds" not in key and key != "memory_mb"}
            for row in metrics(tmp_path / name)
        ]
        for name in ("whole", "broken")
    ]
    assert timeless[0] == timeless[1]
    assert facts(tmp_path / "whole")["totals"] == facts(tmp_path / "broken")["totals"]


def test_muons_companion_learns_at_its_share_of_the_rate(tmp_path: Path, mixture: Path) -> None:
    recipe = replace(RECIPE, optimizer="muon", adamw_ratio=1e-9, weight_decay=0.0)
    train(replace(recipe, max_steps=0), mixture, tmp_path / "before")
    train(recipe, mixture, tmp_path / "after")
    before, after = final_weights(tmp_path / "before"), final_weights(tmp_path / "after")
    kept = {name for name in before if torch.allclose(before[name], after[name], atol=1e-6)}
    assert "model.embed_tokens.weight" in kept
    assert "model.layers.0.self_attn.q_proj.bias" in kept
    assert "model.layers.0.mlp.up_proj.weight" not in kept


def latest(out: Path) -> int:
    return max((int(path.name[5:]) for path in (out / "checkpoints").glob("step-*")), default=0)


def test_a_finished_run_is_left_alone(tmp_path: Path, mixture: Path) -> None:
    train(RECIPE, mixture, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert train(RECIPE, mixture, tmp_path, resume=True) == tmp_path / "model"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


def test_runs_are_not_mixed(tmp_path: Path, mixture: Path) -> None:
    train(replace(RECIPE, max_steps=0), mixture, tmp_path)
    with pytest.raises(DataError, match="holds a run already"):
        train(RECIPE, mixture, tmp_path)
    with pytest.raises(DataError, match="holds a run of another recipe"):
        train(RECIPE, mixture, tmp_path, resume=True)
    other = write_mixture(tmp_path / "other", samples(1, 1))
    with pytest.raises(DataError, match="holds a run on other data"):
        train(replace(RECIPE, max_steps=0), other, tmp_path, resume=True)


# ── faults ────────────────────────────────────────────────────────────────────────────────────────


def test_samples_longer_than_the_context(
    tmp_path: Path, mixture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = replace(RECIPE, scratch=replace(SHAPE, context=460), max_steps=1)
    with pytest.raises(DataError, match=r"\d+ samples are longer than the 460 tokens"):
        train(recipe, mixture, tmp_path / "error")
    train(replace(recipe, too_long="drop"), mixture, tmp_path / "drop")
    dropped = facts(tmp_path / "drop")["store"]["dropped"]
    assert 0 < dropped < 30
    assert f"train: left out {dropped} samples longer than 460 tokens" in capsys.readouterr().err


def test_no_mixture(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.parquet"):
        train(RECIPE, tmp_path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_no_model(tmp_path: Path, mixture: Path) -> None:
    with pytest.raises(ModelError, match="nowhere"):
        train(replace(RECIPE, scratch=None, model=str(tmp_path / "nowhere")), mixture, tmp_path / "run")


def test_no_place_for_adapters(tmp_path: Path, mixture: Path, base: Path) -> None:
    recipe = replace(RECIPE, scratch=None, model=str(base), method="lora", lora=Lora(targets=("nothing",)))
    with pytest.raises(ModelError, match="no place for adapters"):
        train(recipe, mixture, tmp_path / "run")


def test_a_recipe_is_checked_before_anything_else() -> None:
    with pytest.raises(RecipeError):
        load_recipe("tiny", ["batch=none"])


@pytest.mark.parametrize(
    ("kind", "settings", "context"),
    [("llama", {}, 2048), ("mistral", {"sliding_window": 64}, 2048), ("mamba", {}, None)],
)
def test_a_sliding_window_leaves_the_context_as_it_is(
    kind: str, settings: dict[str, Any], context: int | None
) -> None:
    assert context_length(tiny_model(kind, **settings).config) == context


def test_every_row_knows_the_memory_it_took(tmp_path: Path, mixture: Path) -> None:
    train(RECIPE, mixture, tmp_path)
    held = [row["memory_mb"] for row in metrics(tmp_path)]
    assert len(held) == 7
    assert held == sorted(held)
    assert 100 < held[0] < 20_000  # of this process, torch and all


def names(rows: Sequence[dict[str, Any]]) -> set[str]:
    return set().union(*rows)


def test_metrics_have_the_columns_that_the_report_reads(tmp_path: Path, mixture: Path) -> None:
    train(RECIPE, mixture, tmp_path)
    assert names(metrics(tmp_path)) == {
        *(
            "step",
            "loss",
            "lr",
            "samples",
            "targets",
            "plain_tokens",
            "computed_tokens",
            "seconds",
            "packing_seconds",
        ),
        *("eval_loss", "eval_seconds", "plain_loss", "memory_mb"),
    }
