"""Run books end to end, with small random models in the place of the paper's."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from coalm.benchmarks import BENCHMARKS, benchmark, draw
from coalm.benchmarks.episode import Item
from coalm.cli import main
from coalm.demo import DATA
from coalm.dialogue import Reply
from coalm.errors import RecipeError
from coalm.families import FAMILIES, pick
from coalm.report.paper import load_paper
from coalm.runbooks import load_book, plan_book, read_substitutes
from coalm.runbooks.book import book_names
from coalm.runbooks.plan import TASKS
from tests.small_models import SYSTEMS, save_models

HERE = ["multiwoz", "multiwoz-end-to-end", "multiwoz-interactive", "apibank", "bfcl", "snips"]
"""The benchmarks that the demo has data of."""
SHORT = ["--data", str(DATA), "--limit", "1", "--max-tokens", "2"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    saved = save_models(tmp_path_factory.mktemp("models"))
    gc.freeze()  # a book collects garbage after each model, and would go through all of the tests' own
    yield saved
    gc.unfreeze()


def write(path: Path, content: object) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """What `coalm eval … --json` prints."""
    capsys.readouterr()
    assert main(["eval", *map(str, arguments), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert main(["eval", *map(str, arguments)]) == 2
    return capsys.readouterr().err


# ── the books that come with the package ──────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [name for name in book_names() if name.isdigit()])
def test_a_book_has_the_rows_of_its_table(name: str) -> None:
    book = load_book(name)
    assert book.table == int(name)
    assert [entry.label for entry in book.entries] == [
        row.system for row in load_paper().tables[int(name)].rows
    ]
    assert set(book.benchmarks) <= BENCHMARKS.keys()


def test_all_books_can_be_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row has a family, and a reason where it is not run."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert book_names() == ["2", "3", "4", "5", "5-nano"]
    for name in book_names():
        for planned in plan_book(load_book(name)):
            assert planned.family in FAMILIES
    why = {planned.entry.label: planned.obstacle or "" for planned in plan_book(load_book("2"))}
    assert "OPENAI_API_KEY" in why["GPT-4o"]
    assert "--mixture" in (plan_book(load_book("5").only("without LA"))[0].obstacle or "")
    assert "GitHub" in (plan_book(load_book("3").only("ldst"))[0].obstacle or "")


@pytest.mark.parametrize(
    ("setting", "why"),
    [({"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be reached"), ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE")],
)
def test_a_hub_that_is_out_of_reach(setting: dict[str, str], why: str, tmp_path: Path) -> None:
    """It is asked once, not for each model; what is on the machine needs none."""
    program = (
        "from coalm.runbooks import *; print([one.obstacle for one in plan_book(load_book('3').only('nc-'))])"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path), **setting}
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert "`Brendan/nc-latent-tod-step-2-final` is not on this machine, and the Hub" in found.stdout, (
        found.stderr
    )
    assert why in found.stdout


@pytest.mark.parametrize("name", HERE)
def test_what_a_benchmark_asks_for(name: str) -> None:
    asked = set()
    for item in draw(benchmark(name).load(DATA), 4):
        asked |= tasks_of(name, item)
    assert asked == TASKS[name]


def tasks_of(name: str, item: Item) -> set[str]:
    episode = benchmark(name).episode(item)
    asked = set()
    try:
        request = next(episode)
        while True:
            asked |= {request.task} if request.party == "agent" else set()
            reply = Reply("", state={}) if request.task == "state" else Reply("Yes.", response="Yes.")
            request = episode.send(reply)
    except StopIteration:
        return asked


def test_what_does_not_fit_is_known_beforehand(tmp_path: Path) -> None:
    huge = {"label": "Huge", "model": "hf:nobody/Huge-chat-instruct", "family": "chat", "billions": 9e6}
    gpus = huge | {"label": "Spread", "options": {"quantization": "fp8"}}
    path = write(tmp_path / "mine.yaml", {"benchmarks": ["snips"], "models": [huge, gpus]})
    whole, half = plan_book(load_book(str(path)))
    assert "too big: its weights take 18,000,000 GB" in (whole.obstacle or "")
    assert "9,000,000 GB" in (half.obstacle or "")


# ── running ───────────────────────────────────────────────────────────────────────────────────────


def test_every_family_on_every_benchmark(
    tmp_path: Path, models: Mapping[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """All systems of the paper, picked by their names: predictions, verdicts, scores, and a report."""
    assert {family: pick(str(folder)) for family, folder in models.items()} == {name: name for name in models}
    rows = [{"label": folder.name, "model": f"hf:{folder}"} for folder in models.values()]
    book = write(tmp_path / "all.yaml", {"benchmarks": HERE, "models": rows})
    runs = tmp_path / "runs"
    outcome = run(capsys, "--table", book, "--out", runs, *SHORT)
    assert [row["family"] for row in outcome["rows"]] == list(models)
    for row, (family, folder) in zip(outcome["rows"], models.items(), strict=True):
        capable = {name for name in HERE if TASKS[name] <= FAMILIES[family].tasks}
        assert {name for name, state in row["benchmarks"].items() if state == "finished"} == capable
        facts = json.loads((runs / row["folder"] / "run.json").read_text())
        assert facts["label"] == folder.name
        assert set(facts["arguments"]["bench"]) == capable
        for name in capable:
            place = runs / row["folder"] / name
            scores = json.loads((place / "scores.json").read_text())
            assert (scores["items"], scores["failed"], scores["family"]) == (1, 0, family)
            assert (place / "verdicts.jsonl").read_text().count("\n") == scores["verdicts"] > 0
            steps = json.loads((place / "predictions.jsonl").read_text())["steps"]
            assert steps
            assert all(step["completion_tokens"] <= 2 for step in steps)
    refused = {(one["label"], one.get("benchmark")) for one in outcome["skipped"]}
    assert (SYSTEMS["ldst"], "apibank") in refused
    assert json.loads((runs / "skipped.json").read_text())["skipped"] == outcome["skipped"]
    assert not (runs / ".unfinished").exists()
    page = tmp_path / "report.html"
    assert main(["report", *map(str, sorted(runs.iterdir())), "--out", str(page)]) == 0
    assert all(folder.name in page.read_text() for folder in models.values())


def test_a_book_resumes_and_goes_on_after_a_failure(
    tmp_path: Path, models: Mapping[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    broken = shutil.copytree(models["hammer"], tmp_path / "Hammer2.0-7b")
    template = broken / "chat_template.jinja"
    template.write_text("{{ raise_exception('not this one') }}")
    rows = [
        {"label": "Nobody", "model": f"hf:{tmp_path / 'no' / 'CoALM-8B'}"},
        {"label": "Broken", "model": f"hf:{broken}"},
        {"label": "Elsewhere", "note": "it lies elsewhere", "family": "chat"},
        {"label": "CoALM 8B", "model": f"hf:{models['coalm']}", "options": {"dtype": "float32"}},
    ]
    book = write(tmp_path / "book.yaml", {"benchmarks": ["snips"], "models": rows})
    runs = tmp_path / "runs"
    arguments = ["--table", book, "--out", runs, *SHORT]
    outcome = run(capsys, *arguments)
    found = {one["label"]: one["why"] for one in outcome["skipped"]}
    assert list(found) == ["Nobody", "Broken", "Elsewhere"]
    assert "no model at" in found["Nobody"]
    assert found["Elsewhere"] == "it lies elsewhere"
    assert outcome["rows"][-1]["benchmarks"] == {"snips": "finished"}
    assert sorted(path.name for path in runs.iterdir() if path.is_dir() and path.name[0] != ".") == ["coalm-8b"]

    shutil.copy(models["hammer"] / template.name, template)
    (runs / "coalm-8b" / "snips" / "predictions.jsonl").touch()
    predictions = (runs / "coalm-8b" / "snips" / "predictions.jsonl").read_bytes()
    outcome = run(capsys, *arguments)
    states = {row["label"]: row["benchmarks"] for row in outcome["rows"]}
    assert states["CoALM 8B"] == {"snips": "found"}
    assert states["Broken"] == {"snips": "finished"}

    grown = ["--table", book, "--out", runs, "--data", DATA, "--limit", 3, "--max-tokens", 2]
    states = {row["label"]: row["benchmarks"] for row in run(capsys, *grown, "--only", "coalm 8")["rows"]}
    assert states == {"CoALM 8B": {"snips": "finished"}}
    assert (runs / "coalm-8b" / "snips" / "predictions.jsonl").read_bytes().startswith(predictions)
    assert json.loads((runs / "coalm-8b" / "snips" / "scores.json").read_text())["items"] == 3

    other = write(
        tmp_path / "other.yaml", {"CoALM 8B": str(models["coalm"]), "GPT-4o": "openai:x@http://127.0.0.1"}
    )
    swapped = run(capsys, *arguments, "--models-from", other, "--only", "coalm 8")
    assert swapped["skipped"] == []  # the same folder, named without `hf:`
    elsewhere = write(tmp_path / "other.yaml", {"CoALM 8B": f"hf:{models['chat']}"})
    swapped = run(capsys, *arguments, "--models-from", elsewhere, "--only", "coalm 8")
    assert "holds a run of" in swapped["skipped"][0]["why"]


def test_a_row_that_breaks_off_keeps_what_it_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A script that ends too early: the other benchmark and the other row are run, and it goes on later."""
    script, short = tmp_path / "script.jsonl", tmp_path / "short.jsonl"
    items = {name: draw(benchmark(name).load(DATA), 3) for name in ("snips", "apibank")}
    lines = [
        json.dumps({"item": item.id, "step": 0, "text": f"no answer to {item.id}"}) + "\n"
        for found in items.values()
        for item in found
    ]
    script.write_text("".join(lines))
    short.write_text("".join(lines[:2] + lines[3:]))
    rows = [{"label": name, "model": f"replay:{path}"} for name, path in (("A", short), ("B", script))]
    book = write(tmp_path / "book.yaml", {"benchmarks": ["snips", "apibank"], "models": rows})
    runs = tmp_path / "runs"
    arguments = ["--table", book, "--data", DATA, "--out", runs, "--limit", 3]
    outcome = run(capsys, *arguments)
    (failed,) = outcome["skipped"]
    assert (failed["label"], failed["benchmark"], failed["kind"]) == ("A", "snips", "failed")
    assert items["snips"][2].id in failed["why"]
    assert outcome["rows"][0]["benchmarks"]["apibank"] == "finished"
    assert outcome["rows"][1]["benchmarks"] == {"snips": "finished", "apibank": "finished"}
    assert sorted(path.name for path in (runs / "a").iterdir()) == ["apibank", "run.json"]
    assert main(["report", *map(str, sorted(runs.glob("[!.]*"))), "--out", str(tmp_path / "r.html")]) == 0

    kept = (runs / ".unfinished" / "a" / "snips" / "predictions.jsonl").read_text()
    short.write_text("".join(lines))
    outcome = run(capsys, *arguments)
    assert outcome["skipped"] == []
    assert outcome["rows"][0]["benchmarks"] == {"snips": "finished", "apibank": "found"}
    assert (runs / "a" / "snips" / "predictions.jsonl").read_text().startswith(kept)
    assert not (runs / ".unfinished").exists()


def test_tables_share_a_folder(
    tmp_path: Path, models: Mapping[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Models of one's own take the places of a book's, whatever they are called, and keep its family."""
    plain = tmp_path / "mine"
    plain.symlink_to(models["hammer"])
    mine = write(tmp_path / "mine.yaml", {"MadeAgents/Hammer2.0-7b": {"model": f"hf:{plain}"}})
    runs = tmp_path / "runs"
    for table in ("3", "4"):
        chosen = ["--table", table, "--only", "hammer*", "--models-from", mine]
        plan = run(capsys, *chosen, "--dry-run")
        assert [(row["label"], row["family"], row["obstacle"]) for row in plan] == [
            ("Hammer 2.0 7B", "hammer", None)
        ]
        run(capsys, *chosen, "--out", runs, *SHORT)
    assert sorted(path.name for path in (runs / "hammer-2.0-7b").iterdir()) == ["apibank", "bfcl", "run.json"]
    facts = json.loads((runs / "hammer-2.0-7b" / "run.json").read_text())
    assert (facts["label"], facts["arguments"]["bench"]) == ("Hammer 2.0 7B", ["apibank", "bfcl"])


# ── table 5: trained, then run ────────────────────────────────────────────────────────────────────


def test_the_ablation_trains_and_runs_its_models(
    tmp_path: Path, models: Mapping[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """All four recipes on a small base: each leaves out its domain, and each run says which one it is."""
    mixture = tmp_path / "mixture"
    shares = ["--share", "sgd=0.02", "--share", "snips=0.1", "--share", "xlam=0.2"]
    build = ["--corpora", str(DATA / "corpora"), "--out", str(mixture), "--no-tokens", "--jobs", "1"]
    assert main(["data", "build", *build, "--sources", "snips,xlam,sgd", *shares]) == 0
    base = write(tmp_path / "base.yaml", {"Llama 3.1 8B Instruct": f"hf:{models['chat']}"})
    runs = tmp_path / "runs"
    settings = [f"model={models['chat']}", "max_steps=4", "batch=2", "dtype=float32", "eval_samples=0"]
    changes = [part for setting in settings for part in ("--set", setting)]
    arguments = ["--table", "5", "--out", runs, "--mixture", mixture, "--models-from", base, *changes, *SHORT]
    arguments += ["--dtype", "float32", "--limit", 3]  # both levels of API-Bank are in three items
    outcome = run(capsys, *arguments)
    assert outcome["skipped"] == []

    rows = load_paper().tables[5].rows
    assert [row["label"] for row in outcome["rows"]] == [row.system for row in rows]
    assert [row["family"] for row in outcome["rows"]] == ["chat", "coalm", "coalm", "coalm", "coalm"]
    recipes, without, digests = [], [], set()
    for row in outcome["rows"]:
        assert row["benchmarks"] == dict.fromkeys(load_book("5").benchmarks, "finished")
        facts = json.loads((runs / row["folder"] / "run.json").read_text())
        assert (facts["label"], facts["table"]) == (row["label"], 5)
        recipes.append(facts.get("recipe"))
        figures = {
            metric["name"]: metric["value"]
            for name in load_book("5").benchmarks
            for metric in json.loads((runs / row["folder"] / name / "scores.json").read_text())["metrics"]
        }
        assert {column.metric for column in load_paper().tables[5].columns} <= figures.keys()
        if facts.get("recipe"):
            trained = json.loads((runs / f"{row['folder']}-training" / "run.json").read_text())
            assert trained["steps"] == 4
            without.append(trained["arguments"]["recipe"]["without"])
            learned = {source["domain"] for source in trained["mixture"]["sources"]}
            assert learned == {"TOD", "LA", "CRA"} - set(without[-1])
            weights = runs / f"{row['folder']}-training" / "model" / "adapter_model.safetensors"
            digests.add(weights.read_bytes())
    assert recipes == [None, "coalm-8b-without-la", "coalm-8b-without-tod", "coalm-8b-without-cra", "coalm-8b"]
    assert without == [["LA"], ["TOD"], ["CRA"], []]
    assert len(digests) == 4

    again = run(capsys, *arguments)
    assert all(set(row["benchmarks"].values()) == {"found"} for row in again["rows"])
    assert main(["report", *map(str, sorted(runs.iterdir())), "--table", "5"]) == 0
    table = capsys.readouterr().out
    assert all(f"| {row.system} | measured" in table for row in rows)

    other = run(capsys, *arguments, "--set", "seed=1", "--only", "without LA", "--limit", 4)
    assert "another recipe" in other["skipped"][0]["why"]
    bare = ["--table", "5", "--data", DATA, "--out", runs, "--limit", 3, "--only", "without LA"]
    assert set(run(capsys, *bare)["rows"][0]["benchmarks"].values()) == {"found"}


# ── what is refused ───────────────────────────────────────────────────────────────────────────────


def test_a_wrong_book_lists_its_faults(tmp_path: Path) -> None:
    rows = [{"label": "A", "modl": "hf:x"}, {"label": "B", "model": 3}, {"label": "C"}, "D", {"model": "hf:y"}]
    path = write(tmp_path / "book.yaml", {"benchmarks": [], "model": [], "models": rows})
    with pytest.raises(RecipeError) as raised:
        load_book(str(path))
    for fault in (
        "unknown key `model`",
        "`benchmarks`: expected a list",
        "model 1: unknown key `modl`. did you mean `model`?",
        "model 2: `model` cannot be 3",
        "model 3: give `model`, `recipe`, or a `note`",
        "model 4: expected keys and values",
        "model 5: no `label`",
    ):
        assert fault in raised.value.what


def test_wrong_substitutes(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.yaml", {"CoALM 8B": {"family": "coalm"}, "GPT-4o": {"model": "x", "size": 3}})
    with pytest.raises(RecipeError, match=r"(?s)`CoALM 8B`: no `model`.*`GPT-4o`: unknown key `size`"):
        read_substitutes(path)
    with pytest.raises(RecipeError, match="did you mean `CoALM 8B`"):
        load_book("3").with_models(read_substitutes(write(path, {"CoALM 8": "hf:x"})))


def test_arguments_that_do_not_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ("--data", DATA, "--out", tmp_path)
    assert "--table" in refusal(capsys, *places)
    assert "--table" in refusal(capsys, "hf:x", "--table", "3", *places)
    assert "--dry-run is for a run book" in refusal(capsys, "hf:x", *places, "--dry-run")
    assert "--bench cannot be given" in refusal(capsys, "--table", "3", "--bench", "snips", *places)
    assert "--data is missing" in refusal(capsys, "--table", "3", "--out", tmp_path)
    assert "did you mean" not in refusal(capsys, "--table", "7", *places)
    assert "no model fits `gpt`" in refusal(capsys, "--table", "3", "--only", "gpt", *places)
