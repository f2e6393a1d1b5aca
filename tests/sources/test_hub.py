"""Corpora of the Hub: what is fetched is read as what was published. Offline: the data sets are folders."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coalm.dialogue import Dialogue
from coalm.errors import DataError, MissingExtra
from coalm.sources import hub, toolace, xlam

TIDE = {
    "name": "tide",
    "description": "High water – when?",
    "parameters": {
        "harbour": {"description": "Where.", "type": "str", "default": None},
        "days": {"description": "For how long.", "type": "List[int], optional", "default": [1, 2.5]},
    },
}
BELL = {"name": "bell", "description": "Ring.\u2028Twice.", "parameters": {}}


def ask(id: int, query: str, tools: list[Any], answers: list[Any]) -> dict[str, Any]:
    return {"id": id, "query": query, "answers": json.dumps(answers), "tools": json.dumps(tools)}


PUBLISHED: dict[str, list[dict[str, Any]]] = {
    "xlam": [
        ask(0, "Tide at “Skerry”?", [TIDE, BELL], [{"name": "tide", "arguments": {"harbour": "Skerry"}}]),
        ask(1, "Ring,\nplease.", [BELL], [{"name": "bell", "arguments": {}}]),
    ],
    "irrelevance": [ask(0, "Knit me a jumper.", [TIDE], [])],
    "toolace": [
        {
            "system": f"Here are functions:\n{json.dumps([TIDE])}. Write [f(a=b)].",
            "conversations": [
                {"from": "user", "value": "Tide at Skerry?"},
                {"from": "assistant", "value": '[tide(harbour="Skerry", days=[1, 2])]'},
                {"from": "tool", "value": '[{"high": "06:12"}]'},
                {"from": "assistant", "value": "At 06:12."},
            ],
        },
        {"system": "Nothing to call.", "conversations": [{"from": "user", "value": "Hello?"}]},
    ],
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def publish(tmp_path: Path) -> Callable[[str, Any], str]:
    """Put rows into a folder that stands in for a data set of the Hub; its id."""

    def write(name: str, rows: Any) -> str:
        folder = tmp_path / "published" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "data.json").write_text(json.dumps(rows), encoding="utf-8")
        return str(folder)

    return write


def without_origin(dialogues: Iterable[Dialogue]) -> list[Dialogue]:
    return [replace(dialogue, id="", origin="") for dialogue in dialogues]


def test_what_is_fetched_reads_as_what_was_published(
    tmp_path: Path, publish: Callable[[str, Any], str]
) -> None:
    fetched, by_hand = tmp_path / "fetched", tmp_path / "by_hand"
    for name, rows in PUBLISHED.items():
        path = hub.fetch(name, fetched, id=publish(name, rows))
        assert path == fetched / hub.CORPORA[name].path
        original = (by_hand / hub.CORPORA[name].path).with_suffix(".json")
        original.parent.mkdir(parents=True, exist_ok=True)
        original.write_text(json.dumps(rows), encoding="utf-8")
    assert without_origin(xlam.load(fetched)) == without_origin(xlam.load(by_hand))
    assert without_origin(toolace.load(fetched)) == without_origin(toolace.load(by_hand))
    assert [dialogue.turns[0].text for dialogue in xlam.load(fetched)] == [
        "Tide at “Skerry”?",
        "Ring,\nplease.",
        "Knit me a jumper.",
    ]
    assert next(xlam.load(fetched)).id == "xlam_function_calling_60k/0"
    assert len(list(toolace.load(fetched))) == 2


def test_rows_are_written_as_they_are_and_told_of(tmp_path: Path, publish: Callable[[str, Any], str]) -> None:
    told: list[tuple[int, int | None]] = []
    id = publish("xlam", PUBLISHED["xlam"])
    path = hub.fetch("xlam", tmp_path / "out", id=id, progress=lambda done, all: told.append((done, all)))
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in path.read_bytes().split(b"\n") if line] == PUBLISHED["xlam"]
    assert "“Skerry”" in lines[0]
    assert told == [(1, 2), (2, 2)]


def test_an_unknown_name_is_told_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no corpus `toolac`(?s:.*)did you mean `toolace`"):
        hub.fetch("toolac", tmp_path)


def test_a_data_set_that_cannot_be_had_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError) as caught:
        hub.fetch("xlam", tmp_path / "out")
    assert caught.value.where == "Salesforce/xlam-function-calling-60k"
    assert "https://huggingface.co/datasets/Salesforce/xlam-function-calling-60k" in caught.value.hint
    assert "hf auth login" in caught.value.hint
    assert xlam.HINT in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_gated_data_set_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets.exceptions import DatasetNotFoundError

    def refuse(*_: object, **__: object) -> None:
        raise DatasetNotFoundError("this is a gated data set")

    monkeypatch.setattr("datasets.load_dataset", refuse)
    with pytest.raises(DataError, match=r"gated data set(?s:.*)accept its terms"):
        hub.fetch("xlam", tmp_path)


@pytest.mark.parametrize("broken", [[{"query": "Tide?"}], {"query": [1]}])
def test_other_columns_are_refused(tmp_path: Path, publish: Callable[[str, Any], str], broken: Any) -> None:
    with pytest.raises(DataError, match="no column tools, answers; there are: query"):
        hub.fetch("xlam", tmp_path / "out", id=publish("broken", broken))


def test_a_broken_file_is_named(tmp_path: Path, publish: Callable[[str, Any], str]) -> None:
    folder = publish("broken", [])
    (Path(folder) / "data.json").write_text('[{"query": ', encoding="utf-8")
    with pytest.raises(DataError, match="cannot be loaded") as caught:
        hub.fetch("xlam", tmp_path / "out", id=folder)
    assert (caught.value.where, caught.value.hint) == (folder, "")


def test_objects_in_place_of_texts_are_refused_and_nothing_is_left(
    tmp_path: Path, publish: Callable[[str, Any], str]
) -> None:
    """`datasets` would give all of them the same keys."""
    rows = [{"query": "Tide?", "tools": [TIDE], "answers": "[]"}]
    with pytest.raises(DataError, match="expected tools to be a text"):
        hub.fetch("xlam", tmp_path / "out", id=publish("nested", rows))
    assert not list((tmp_path / "out" / "function_calling").iterdir())


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"`datasets` is not installed(?s:.*)coalm\[hub\]"):
        hub.fetch("xlam", tmp_path)
