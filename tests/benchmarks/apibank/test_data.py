from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from coalm.benchmarks.apibank.data import load, write_as_published
from coalm.dialogue import Tool, ToolCall, Turn
from coalm.errors import DataError
from tests.benchmarks.apibank.corpus import L1, write


def test_items_of_both_levels(tmp_path: Path) -> None:
    items = load(write(tmp_path))
    assert [(item.id, item.group) for item in items] == [("l1-0", "L-1"), ("l1-1", "L-1"), ("l2-0", "L-2")]


def test_history_keeps_what_the_item_says(tmp_path: Path) -> None:
    question = load(write(tmp_path))[0].data
    assert question.turns == (
        Turn("user", "Water my ferns at 7, please."),
        Turn("assistant", "Who are you?"),
        Turn("user", "Ada, code 'fern'."),
        Turn("assistant", calls=(ToolCall("LogIn", {"user": "Ada"}),)),
        Turn("tool", "{'key': 'k1'}"),
        Turn("assistant", "Now I water them.\nGenerate API Request:"),
    )


def test_tools_keep_their_flat_types(tmp_path: Path) -> None:
    log_in, water = load(write(tmp_path))[0].data.tools
    assert log_in == Tool(
        "LogIn",
        "Does LogIn.",
        {"type": "object", "properties": {"user": {"type": "str", "description": "the user"}}},
    )
    assert [schema["type"] for schema in water.properties.values()] == ["str", "list(str)", "int"]
    assert water.required == ()


def test_the_gold_call_as_published(tmp_path: Path) -> None:
    items = load(write(tmp_path))
    assert items[0].data.gold == (ToolCall("Water", {"key": "k1", "plants": "['fern', 'moss']", "hour": "7"}),)
    assert [item.data.reference for item in items] == [
        "[Water(key='k1', plants='['fern', 'moss']', hour='7')]",
        "[Today()]",
        "[Finder(words='dim lights')]",
    ]


def test_calls_of_any_type_are_written_as_published() -> None:
    calls = (ToolCall("A", {"x": 7, "y": ["it's"], "z": None}), ToolCall("B"))
    assert write_as_published(calls) == "[A(x='7', y='[\"it's\"]', z='None'), B()]"
    assert write_as_published(()) == "[]"


def test_a_call_that_cannot_be_read_stays_text(tmp_path: Path) -> None:
    row = {**L1[1], "query": [{"role": "assistant", "content": "```[{broken```"}]}
    assert load(write(tmp_path, l1=[row]))[0].data.turns == (Turn("assistant", "```[{broken```"),)


def test_folder_or_zip(tmp_path: Path) -> None:
    folder = write(tmp_path / "a") / "api_bank"
    shutil.make_archive(str(tmp_path / "b" / "api_bank"), "zip", folder)
    assert load(tmp_path / "b") == load(tmp_path / "a") == load(folder / "hammer_format")


def test_missing_file_says_which_and_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="MadeAgents/Hammer"):
        load(tmp_path)
    (write(tmp_path) / "api_bank" / "hammer_format" / "apibank_l2.json").unlink()
    with pytest.raises(DataError, match=r"apibank_l2\.json"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": []}, "query"),
        ({"tools": {}}, "query, tools"),
        ({"query": [{"role": "wizard", "content": "Hocus"}]}, "user, agent"),
        ({"query": [{"role": "user"}]}, "user, agent"),
        ({"tools": [{"name": "NoParameters"}]}, "parameters"),
        ({"answers": [{"name": "NoArguments"}]}, "gold answer"),
    ],
)
def test_broken_item_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load(write(tmp_path, l1=[L1[0], {**L1[1], **change}]))
    assert caught.value.where.endswith("apibank_l1.json#1")


def test_file_that_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="list of items"):
        load(write(tmp_path, l1={}))


@pytest.mark.corpora
def test_real_data(shared: Path) -> None:
    items = load(shared / "data")
    assert [sum(item.group == level for item in items) for level in ("L-1", "L-2")] == [399, 127]
    turns = [turn for item in items for turn in item.data.turns]
    calls = [turn for turn in turns if turn.calls]
    assert len(calls) == sum(turn.role == "tool" for turn in turns) == 375
    assert not [turn for turn in turns if turn.text.startswith("```")]
    assert all(item.data.turns[-1].text.endswith("Generate API Request:") for item in items)
    assert all(len(item.data.gold) == 1 for item in items)
