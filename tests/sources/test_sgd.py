"""SGD as dialogues: turns, states, calls by their unique names, and the domains for state tracking."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from coalm.dialogue import Dialogue, ToolCall
from coalm.errors import DataError, NotFound
from coalm.sources import sgd

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="module")
def dialogues() -> list[Dialogue]:
    return list(sgd.load(FIXTURES))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    shutil.copytree(FIXTURES / "sgd", tmp_path / "sgd")
    return tmp_path / "sgd"


def roles(dialogue: Dialogue) -> list[str]:
    return [turn.role for turn in dialogue.turns]


def test_dialogues_come_in_file_order_with_the_split_in_their_ids(dialogues: list[Dialogue]) -> None:
    assert [dialogue.id for dialogue in dialogues] == ["train/1_00000", "train/1_00001", "train/2_00000"]
    assert dialogues[2].origin.endswith("sgd/train/dialogues_002.json#2_00000")
    assert [dialogue.id for dialogue in sgd.load(FIXTURES, "dev")] == ["dev/1_00000"]


def test_a_call_is_three_turns(dialogues: list[Dialogue]) -> None:
    turns = dialogues[0].turns
    assert roles(dialogues[0])[:6] == ["user", "assistant", "user", "assistant", "tool", "assistant"]
    assert turns[3].calls == (ToolCall("FindCafe", {"city": "Arlen"}),)
    assert len(turns[4].results) == 4
    assert turns[5].text == "I know 4 places. Blue Spoon in Arlen is nice."
    assert [act.name for act in turns[5].acts] == ["OFFER", "OFFER", "INFORM_COUNT"]
    assert turns[5].acts[0].service == "Cafes_1"


def test_a_name_that_is_taken_with_other_parameters_gets_a_number(dialogues: list[Dialogue]) -> None:
    assert [tool.name for tool in dialogues[0].tools] == ["FindCafe", "BookTable", "FindCafe_2", "GetForecast"]
    calls = [call.name for turn in dialogues[2].turns for call in turn.calls]
    assert calls == ["FindCafe_2", "FindCafe_2"]
    assert dialogues[2].turns[0].intents == ("FindCafe_2",)


def test_equal_functions_share_a_name_and_a_third_gets_the_next_number() -> None:
    def service(name: str, *slots: str) -> dict[str, object]:
        intent = {"name": "Find", "required_slots": list(slots), "optional_slots": {}}
        return {"service_name": name, "intents": [intent]}

    names = sgd.name_functions([service("A", "x"), service("B", "y"), service("C", "x"), service("D", "z")])
    assert list(names.values()) == ["Find", "Find_2", "Find", "Find_3"]


def test_parameters_are_json_schema(dialogues: list[Dialogue]) -> None:
    find, book = dialogues[0].tools[:2]
    assert find.parameters["required"] == ["city"]
    assert find.properties["city"] == {"type": "string", "description": "Town the café is in"}
    kinds = ["bakery", "tearoom", "espresso bar", "dontcare"]
    assert find.properties["kind"]["enum"] == kinds
    assert find.properties["kind"]["default"] == "dontcare"
    assert book.properties["party_size"]["enum"] == ["1", "2", "3", "4"]
    assert book.properties["party_size"]["default"] == "2"
    assert book.signature == "BookTable(cafe_name, city, time, date, party_size)"


def test_state_accumulates_over_services_with_first_values(dialogues: list[Dialogue]) -> None:
    users = [turn for turn in dialogues[1].turns if turn.role == "user"]
    assert users[0].state == {"Cafes_1": {"city": "Dunmore", "has_seating_outdoors": "True", "kind": "bakery"}}
    assert users[1].state is not None
    assert list(users[1].state) == ["Cafes_1", "Forecast_1"]
    assert users[1].state["Forecast_1"] == {"city": "Dunmore", "date": "Sunday"}
    assert users[3].state is not None
    assert users[3].state["Forecast_1"] == users[1].state["Forecast_1"]
    assert users[3].state["Cafes_1"]["time"] == "12 pm"
    assert users[1].intents == ("FindCafe", "GetForecast")
    assert users[-1].intents == ()


def test_a_service_without_values_is_in_the_state_once_it_is_asked_for(dialogues: list[Dialogue]) -> None:
    assert dialogues[0].turns[0].state == {"Cafes_1": {}}


def test_domains_have_the_slots_that_a_user_can_fill(dialogues: list[Dialogue]) -> None:
    cafes = dialogues[0].domains[0]
    assert [slot.name for slot in cafes.slots] == [
        "city",
        "cafe_name",
        "kind",
        "has_seating_outdoors",
        "date",
        "time",
        "party_size",
    ]
    assert cafes.slots[2].values == ("bakery", "tearoom", "espresso bar")


def test_tracking_has_words_only_and_other_domains_beside_its_own(dialogues: list[Dialogue]) -> None:
    tracked = sgd.track(dialogues[2], seed=0, total=2)
    assert tracked.source == "sgd-dst"
    assert set(roles(tracked)) == {"user", "assistant"}
    assert all(turn.text and not turn.calls for turn in tracked.turns)
    names = [domain.name for domain in tracked.domains]
    assert len(names) == 2
    assert "Cafes_2" in names
    assert tracked == sgd.track(dialogues[2], seed=0, total=2)
    drawn = {tuple(domain.name for domain in sgd.track(dialogues[2], seed, 2).domains) for seed in range(20)}
    assert drawn == {("Cafes_1", "Cafes_2"), ("Cafes_2", "Forecast_1")}
    assert len(sgd.track(dialogues[0]).domains) == 3  # all that there are, where five are wanted


def test_no_corpus_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="dstc8-schema-guided-dialogue"):
        list(sgd.load(tmp_path))


def test_a_repository_with_deeper_copies_is_read_once(tmp_path: Path) -> None:
    """The owners' repository holds further schemas below; only the files beside the least nested one count."""
    top = tmp_path / "dstc8-schema-guided-dialogue-master"
    shutil.copytree(FIXTURES / "sgd", top)
    shutil.copytree(FIXTURES / "sgd", top / "sgd_x" / "data" / "v1")
    assert len(list(sgd.load(tmp_path))) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace('"BookTable"', '"BuyTable"'), "#1_00000: not a dialogue of this schema"),
        (lambda text: text.replace('"speaker"', '"who"'), "'speaker' is missing or unknown"),
        (lambda text: text[:400], r"dialogues_001\.json:\d+: not valid JSON"),
        (lambda text: "[3]", r"dialogues_001\.json#None: not a dialogue"),
    ],
)
def test_a_broken_dialogue_is_named(corpus: Path, change: object, message: str) -> None:
    assert callable(change)
    file = corpus / "train" / "dialogues_001.json"
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        list(sgd.load(corpus))


def test_a_broken_schema_is_named(corpus: Path) -> None:
    (corpus / "train" / "schema.json").write_text(json.dumps([{"service_name": "x"}]))
    with pytest.raises(DataError, match=r"schema\.json: not a schema of services"):
        list(sgd.load(corpus))


def test_missing_files_and_unknown_splits_are_named(corpus: Path) -> None:
    with pytest.raises(DataError, match="known: dev, test, train"):
        list(sgd.load(corpus, "validation"))
    (corpus / "dev" / "dialogues_001.json").unlink()
    with pytest.raises(DataError, match=r"no file `dev/dialogues_\*\.json`"):
        list(sgd.load(corpus, "dev"))


@pytest.mark.corpora
def test_the_shipped_files_are_read_whole(shared: Path) -> None:
    dialogues = calls = steps = 0
    for dialogue in sgd.load(shared / "data"):
        dialogues += 1
        calls += sum(len(turn.calls) for turn in dialogue.turns)
        steps += sum(turn.role == "assistant" for turn in dialogue.turns)
        tools = dialogue.tools
    assert (dialogues, calls, steps) == (12_174, 33_963, 145_841)
    assert len(tools) == len({tool.name for tool in tools}) == 53
    assert len({tool.name.split("_")[0] for tool in tools}) == 37
    assert {tool.name for tool in tools if tool.name.endswith("_3")} == {"BookAppointment_3", "FindProvider_3"}
