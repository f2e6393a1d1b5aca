from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from coalm.errors import RecipeError
from coalm.training.recipe import FOLDER, Lora, Recipe, Scratch, load_recipe, recipe_names
from coalm.training.settings import field_help


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def faults(folder: Path, text: str, *settings: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(folder, text), settings)
    return str(caught.value)


def test_every_shipped_recipe_loads_and_says_how_to_run_it() -> None:
    papers = {f"coalm-{size}{variant}" for size in ("8b", "70b", "405b") for variant in ("", "-released")}
    ablations = {f"{model}-without-{part}" for model in ("coalm-8b", "nano") for part in ("la", "tod", "cra")}
    assert set(recipe_names()) == papers | ablations | {"hammer-8b", "tiny", "nano", "nano-base", "nano-lora"}
    for name in recipe_names():
        load_recipe(name)
        text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
        assert f"coalm train {name} " in text or "extends: coalm-8b\n" in text


@pytest.mark.parametrize("size", ["70b", "405b"])
def test_larger_models_differ_in_what_the_paper_says(size: str) -> None:
    small, large = load_recipe("coalm-8b"), load_recipe(f"coalm-{size}")
    changed = {item.name for item in fields(Recipe) if getattr(small, item.name) != getattr(large, item.name)}
    memory = {"gradient_checkpointing", "offload", "pack_tokens"}
    assert changed - memory == ({"model"} if size == "70b" else {"model", "method"})


@pytest.mark.parametrize("domain", ["la", "tod", "cra"])
def test_ablations_differ_in_their_data_alone(domain: str) -> None:
    assert load_recipe(f"coalm-8b-without-{domain}") == replace(
        load_recipe("coalm-8b"), without=(domain.upper(),)
    )


def test_a_recipe_extends_another(tmp_path: Path) -> None:
    (tmp_path / "below.yaml").write_text("scratch: {layers: 3, heads: 2, kv_heads: 2}\nbatch: 4\nclip: 0\n")
    recipe = load_recipe(write(tmp_path, "extends: below\nscratch: {layers: 5}\nbatch: 6\n"), ["clip=2"])
    assert recipe.scratch == Scratch(layers=5, heads=2, kv_heads=2)
    assert (recipe.batch, recipe.clip) == (6, 2.0)


def test_a_recipe_cannot_extend_itself_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "below.yaml").write_text("extends: mine\n")
    assert "extends itself" in faults(tmp_path, "extends: below\n")
    assert "no recipe is called `blow`" in faults(tmp_path, "extends: blow\n")


def test_the_8b_recipe_is_the_papers() -> None:
    recipe = load_recipe("coalm-8b")
    assert recipe.model == "meta-llama/Llama-3.1-8B-Instruct"
    assert (recipe.method, recipe.lora) == ("lora", Lora(rank=16, alpha=32, targets="all-linear"))
    assert (recipe.learning_rate, recipe.schedule, recipe.warmup_ratio) == (1e-4, "linear", 0.1)
    assert (recipe.epochs, recipe.batch, recipe.dtype) == (3, 8, "bfloat16")


def test_settings_change_a_recipe(tmp_path: Path) -> None:
    path = write(tmp_path, "scratch: {layers: 3}\nlearning_rate: 1e-3\n")
    changes = [
        "scratch.heads=2",
        "scratch.kv_heads=1",
        "batch=16",
        "sharing=off",
        "max_minutes=2",
        "model=null",
    ]
    recipe = load_recipe(path, changes)
    assert recipe.scratch == Scratch(layers=3, heads=2, kv_heads=1)
    assert (recipe.learning_rate, recipe.batch, recipe.sharing, recipe.max_minutes) == (1e-3, 16, False, 2.0)


def test_a_setting_may_open_a_section(tmp_path: Path) -> None:
    path = write(tmp_path, "model: some/model\nmethod: lora\n")
    recipe = load_recipe(path, ["lora.targets=[q_proj, v_proj]", "lora.rank=4"])
    assert recipe.lora == Lora(rank=4, targets=("q_proj", "v_proj"))


def test_a_resolved_recipe_loads_as_itself(tmp_path: Path) -> None:
    for recipe in (
        load_recipe("tiny"),
        load_recipe("coalm-8b", ["lora.targets=[q_proj]", "model='yes: no # odd'", "max_steps=5"]),
    ):
        assert load_recipe(write(tmp_path, recipe.to_yaml())) == recipe


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = "scratch: {layers: many, laiers: 3}\nmethd: full\nbatch: 2.5\nsharing: maybe\n"
    text += "schedule: lin\nclip: true\n"
    message = faults(tmp_path, text, "epoks=3", "no-equals", "seed=[", "lora=5")
    for part in (
        "`scratch.layers`: expected a whole number, found 'many'",
        "`scratch.laiers` is no key: did you mean `layers`?",
        "`methd` is no key: did you mean `method`?",
        "`batch`: expected a whole number, found 2.5",
        "`sharing`: expected on or off, found 'maybe'",
        "`schedule`: expected one of linear, cosine, constant, found 'lin'",
        "`clip`: expected a number, found True",
        "`epoks` is no key: did you mean `epochs`?",
        "`--set no-equals`: write key=value",
        "`--set seed=[`: the value is not valid YAML",
        "`lora`: expected keys and values, found 5",
    ):
        assert part in message
    assert message.startswith(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "give either `model` or `scratch`"),
        ("model: a\nscratch: {}", "give either `model` or `scratch`"),
        ("scratch: {}\nmethod: lora", "`method: lora` needs a `model`"),
        ("scratch: {hidden_size: 30, heads: 4}", "`hidden_size` must be a multiple of `heads`"),
        ("scratch: {hidden_size: 12, heads: 4, kv_heads: 4}", "`hidden_size / heads` must be even"),
        ("scratch: {layers: 0}", "sizes must be 1 or more"),
        ("model: a\nbatch: 0", "`batch` must be more than 0, found 0"),
        ("model: a\nmax_minutes: -1", "`max_minutes` must be more than 0"),
        ("model: a\nwarmup_ratio: 1", "`warmup_ratio` must be at least 0 and less than 1"),
        ("model: a\nbeta2: 1", "`beta2` must lie between"),
        ("model: a\nclip: -1", "`clip` must be 0 or more"),
        ("model: a\nlora: {rank: 0}", "`lora.rank` must be more than 0"),
        ("model: a\nlora: {dropout: 1}", "`lora.dropout`"),
        ("model: a\nlora: {targets: [1]}", "`lora.targets`: expected text or a list of texts"),
        ("- a", "expected keys and values"),
        ("a: [", "not valid YAML"),
    ],
)
def test_values_that_cannot_be(tmp_path: Path, text: str, message: str) -> None:
    assert message in faults(tmp_path, text)


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean `tiny`"):
        load_recipe("tinny")


@pytest.mark.parametrize("kind", [Recipe, Lora, Scratch])
def test_every_field_is_explained(kind: type) -> None:
    help = field_help(kind)
    for item in fields(kind):
        assert help[item.name].endswith("."), item.name
    if kind is Recipe:
        assert f"# {help['batch']}\nbatch: 8\n" in load_recipe("coalm-8b").to_yaml()
