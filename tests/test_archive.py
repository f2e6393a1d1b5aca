"""Dialogues come back from a file as they went in."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

import coalm
from coalm import archive
from coalm.cra.grounded import ground
from coalm.dialogue import Act, Dialogue, Domain, Slot, Tool, ToolCall, Turn
from coalm.errors import DataError
from coalm.families.coalm import act_samples
from coalm.sources import sgd

DEMO = Path(coalm.__file__).parent / "demo" / "corpora"

FULL = Dialogue(
    id="train/1",
    source="sgd",
    turns=(
        Turn("user", "Züri, «bitte»\n", acts=(Act("INFORM", "city", ("Züri",), ("Zürich",), "S"),), state={}),
        Turn("assistant", thought="Ich rufe.", calls=(ToolCall("F", {"a": [1, None, {"b": 2.5}], "c": True}),)),
        Turn("tool", "[]", results=({"x": "1"}, {})),
        Turn("assistant", "Gut.", intents=("F",), state={"S": {"city": "Zürich"}}),
        Turn("user"),
    ),
    tools=(Tool("F", "f", {"type": "object", "properties": {"a": {"type": "array"}}, "required": ["a"]}),),
    domains=(Domain("S", (Slot("city", "where", ("a", "b")), Slot("day")), "a service"),),
    services=("S", "T"),
    origin="file#1",
)


def store(folder: Path, dialogues: list[Dialogue]) -> Path:
    with archive.Writer(folder) as writer:
        for dialogue in dialogues:
            writer.add(dialogue)
    return folder


def test_everything_comes_back(tmp_path: Path) -> None:
    bare = Dialogue("2", "mine", ())
    dialogues = [FULL, bare, replace(FULL, id="train/3", tools=())]
    assert list(archive.read(store(tmp_path, dialogues))) == dialogues
    assert archive.read_keys(tmp_path) == [("sgd", "train/1"), ("mine", "2"), ("sgd", "train/3")]
    assert list(archive.read(tmp_path, {("mine", "2")})) == [bare]
    assert list(archive.read(tmp_path, set())) == []


def test_samples_of_what_comes_back_are_the_same(tmp_path: Path) -> None:
    dialogues = [ground(dialogue) for dialogue in islice(sgd.load(DEMO, "train"), 30)]
    back = list(archive.read(store(tmp_path, dialogues)))
    assert back == dialogues
    assert back[0].tools is back[1].tools, "what dialogues share is in memory once"
    for old, new in zip(dialogues, back, strict=True):
        assert list(act_samples(old)) == list(act_samples(new))


def test_the_same_dialogues_give_the_same_bytes(tmp_path: Path) -> None:
    dialogues = [replace(FULL, id=str(number)) for number in range(archive.ROW_GROUP + 3)]
    first, second = (store(tmp_path / name, dialogues) / archive.NAME for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert [one.id for one in archive.read(tmp_path / "a")] == [one.id for one in dialogues]


def test_a_run_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    store(tmp_path, [FULL])

    def write_half() -> None:
        with archive.Writer(tmp_path) as writer:
            writer.add(replace(FULL, id="other"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert [one.id for one in archive.read(tmp_path)] == ["train/1"]
    assert [path.name for path in tmp_path.iterdir()] == [archive.NAME]


def test_what_is_not_there_or_no_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no dialogues to look at"):
        list(archive.read(tmp_path))
    (tmp_path / archive.NAME).write_bytes(b"something else")
    with pytest.raises(DataError, match="not an archive of dialogues"):
        list(archive.read(tmp_path))
