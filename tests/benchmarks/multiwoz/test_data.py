from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from coalm.benchmarks.multiwoz.data import Exchange, load
from coalm.benchmarks.multiwoz.ontology import DOMAINS, SLOTS
from coalm.errors import DataError
from tests.benchmarks.multiwoz.corpus import DIALOGUES, log, metadata, write

ITEM_2 = (Exchange("A train at five.", {"train": {"leave": "17:00"}}, "Where to?"),)


def test_dialogues_of_the_list_in_its_order(tmp_path: Path) -> None:
    items = load(write(tmp_path, names="Try0002.json\nTRY0001.json\n"))
    assert [item.id for item in items] == ["try0002", "try0001"]
    assert items[0].data == ITEM_2


def test_states_have_filled_slots_only_under_our_names(tmp_path: Path) -> None:
    exchanges = load(write(tmp_path))[0].data
    assert [exchange.state for exchange in exchanges] == [
        {},
        {"hotel": {"area": "north", "type": "guest house"}},
        {"hotel": {"area": "north", "type": "guest house", "name": "blue door|red door", "people": "2"}},
    ]
    assert [exchange.user for exchange in exchanges][1] == "A guest house up north, please."
    assert exchanges[2].system == "It is booked."


def test_list_as_json_and_data_as_zip(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", names='["Try0002.json"]') / "multiwoz_2.4"
    shutil.make_archive(str(tmp_path / "b" / "multiwoz_2.4"), "zip", folder)
    assert load(tmp_path / "b")[0].data == ITEM_2
    assert load(folder / "MULTIWOZ2.4")[0].data == ITEM_2


def test_missing_data_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"smartyfh/MultiWOZ2\.4"):
        load(tmp_path)
    (write(tmp_path) / "multiwoz_2.4" / "MULTIWOZ2.4" / "data.json").unlink()
    with pytest.raises(DataError, match=r"data\.json"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("dialogue", "message"),
    [
        (None, "no such dialogue"),
        ({"log": [{"text": "Only half", "metadata": {}}]}, "in turn"),
        ({"log": []}, "in turn"),
        ([], "in turn"),
        (log(("Hi", {}, "No state here")), "metadata"),
        (log((3, metadata(), "No text here")), "text"),
        (log(("Hi", {"hotel": {"semi": {}}}, "No bookings here")), "book"),
        (log(("Hi", metadata({"hotel": {"area": ["north"]}}), "A list here")), "hotel-area"),
    ],
)
def test_broken_dialogue_is_named(tmp_path: Path, dialogue: object, message: str) -> None:
    dialogues: dict[str, Any] = {name: content for name, content in DIALOGUES.items() if name != "TRY0001.json"}
    if dialogue is not None:
        dialogues["TRY0001.json"] = dialogue
    with pytest.raises(DataError, match=message) as caught:
        load(write(tmp_path, dialogues))
    assert "data.json#TRY0001.json" in caught.value.where


def test_thirty_slots_each_described() -> None:
    assert len(SLOTS) == len(set(SLOTS)) == 30
    assert all(slot.description for domain in DOMAINS for slot in domain.slots)


@pytest.mark.corpora
@pytest.mark.parametrize("form", ["zip", "folder"])
def test_real_data(shared: Path, tmp_path: Path, form: str) -> None:
    root = shared / "data"
    if form == "folder":
        shutil.unpack_archive(root / "multiwoz_2.4.zip", tmp_path / "multiwoz_2.4")
        root = tmp_path
    items = load(root)
    assert len(items) == 1000
    assert sum(len(item.data) for item in items) == 7372
    filled = [
        f"{domain}-{slot}"
        for item in items
        for exchange in item.data
        for domain, slots in exchange.state.items()
        for slot in slots
    ]
    assert set(filled) == set(SLOTS)
    assert len(filled) == 42_493
