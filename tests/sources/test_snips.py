"""SNIPS as dialogues: nothing lost, bytes that are not UTF-8 put right, errors that name the file."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from coalm.errors import DataError, NotFound
from coalm.sources import snips

FIXTURES = Path(__file__).parents[1] / "fixtures"
TOP = "2017-06-custom-intent-engines"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    shutil.copytree(FIXTURES / "snips", tmp_path / "snips")
    return tmp_path / "snips" / TOP


def test_an_utterance_is_a_user_turn_with_its_state() -> None:
    first = next(snips.load(FIXTURES))
    assert first.id == "train/GetWeather/1"
    assert first.turns[0].text == "will it be windy tonight in Arlen"
    state = {"condition_description": "windy", "timeRange": "tonight", "city": "Arlen"}
    assert first.turns[0].state == {"GetWeather": state}
    assert (first.source, first.services, len(first.turns)) == ("snips", ("GetWeather",), 1)
    assert first.origin.endswith("train_GetWeather_full.json#1")


def test_only_the_full_training_files_are_read() -> None:
    counts = Counter(dialogue.services[0] for dialogue in snips.load(FIXTURES))
    assert list(counts) == list(snips.SLOTS)
    assert counts.total() == 10


def test_surrogates_become_the_character_they_stand_for() -> None:
    file = FIXTURES / "snips" / TOP / "PlayMusic" / "train_PlayMusic_full.json"
    with pytest.raises(UnicodeDecodeError):
        file.read_text(encoding="utf-8")
    states = [dialogue.turns[0].state for dialogue in snips.load(FIXTURES)]
    assert {"PlayMusic": {"playlist": "Pizza Night 🍕", "service": "Tuneful"}} in states


def test_repeated_slots_keep_all_their_distinct_values() -> None:
    found = {dialogue.turns[0].text: dialogue.turns[0].state for dialogue in snips.load(FIXTURES)}
    one = found["a table for four at a tavern or diner in Arlen"]["BookRestaurant"]
    assert one["restaurant_type"] == "tavern, diner"
    two = found["book a tavern close to a tavern"]["BookRestaurant"]
    assert two["restaurant_type"] == "tavern"


def test_domains_are_the_seven_intents_with_the_slots_that_occur() -> None:
    domains = next(snips.load(FIXTURES)).domains
    assert [domain.name for domain in domains] == list(snips.SLOTS)
    weather = [slot.name for slot in domains[0].slots]
    assert weather == [
        "condition_temperature",
        "current_location",
        "timeRange",
        "condition_description",
        "city",
    ]


def test_folder_and_zip_give_the_same(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "snips.zip", "w") as archive:
        for file in (FIXTURES / "snips").rglob("*.json"):
            archive.write(file, file.relative_to(FIXTURES / "snips").as_posix())

    def turns(root: Path, split: str) -> list[object]:
        return [(dialogue.id, dialogue.turns, dialogue.domains) for dialogue in snips.load(root, split)]

    for split in ("train", "validation"):
        assert turns(tmp_path, split) == turns(FIXTURES, split)
        assert turns(tmp_path / "snips.zip", split) == turns(FIXTURES / "snips" / TOP, split)


def test_no_corpus_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"github\.com/sonos/nlu-benchmark"):
        list(snips.load(tmp_path))


def test_a_missing_intent_is_named(corpus: Path) -> None:
    (corpus / "RateBook" / "train_RateBook_full.json").unlink()
    with pytest.raises(DataError, match=r"RateBook/train_RateBook_full\.json` is missing"):
        list(snips.load(corpus.parent.parent))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"RateBook": [\n{"data": [}]}', r"train_RateBook_full\.json:2: not valid JSON"),
        (b'{"RateBook": [\xff]}', "neither UTF-8 nor CESU-8"),
        (b'{"PlayMusic": []}', 'expected {"RateBook"'),
        (b'{"RateBook": [{"data": [{"entity": "x"}]}]}', r"train_RateBook_full\.json#1: expected"),
    ],
)
def test_a_broken_file_is_named_with_its_place(corpus: Path, content: bytes, message: str) -> None:
    (corpus / "RateBook" / "train_RateBook_full.json").write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(snips.load(corpus.parent.parent))


def test_an_unknown_split_names_the_known_ones() -> None:
    with pytest.raises(DataError, match="did you mean `validation`"):
        list(snips.load(FIXTURES, "validate"))


def test_intents_of_ones_own_are_taken_as_they_are(tmp_path: Path) -> None:
    row = {"data": [{"text": "open the "}, {"text": "hatch", "entity": "door"}]}
    file = tmp_path / "snips" / "OpenDoor" / "train_OpenDoor_full.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"OpenDoor": [row]}))
    (dialogue,) = snips.load(tmp_path)
    assert dialogue.turns[0].state == {"OpenDoor": {"door": "hatch"}}
    assert [slot.name for slot in dialogue.domains[0].slots] == ["door"]


@pytest.mark.corpora
def test_the_real_corpus_is_read_whole(shared: Path) -> None:
    train = list(snips.load(shared / "data"))
    assert len(train) == 13_784
    assert len(list(snips.load(shared / "data", "validation"))) == 700
    slots = {domain.name: {slot.name for slot in domain.slots} for domain in train[0].domains}
    assert slots == {intent: set(names.split()) for intent, names in snips.SLOTS.items()}
    assert sum("🍕" in dialogue.turns[0].text for dialogue in train) == 1
