"""xLAM rows: read in every form in which they come, and written back as they were."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from coalm.dialogue import Dialogue, ToolCall
from coalm.errors import DataError, NotFound
from coalm.families.coalm import call_samples, flat_tool
from coalm.sources import xlam

TOOLS = [
    {
        "name": "weather.get",
        "description": "Forecast for a town.",
        "parameters": {
            "town": {"description": "The town.", "type": "str", "default": "Wrenford"},
            "days": {"description": "How many days.", "type": "List[int], optional", "default": [1]},
        },
    },
    {"name": "bell", "description": "Ring.", "parameters": {}},
]
ANSWERS = [{"name": "weather.get", "arguments": {"town": "Oakhaven", "days": [1, 2]}}]
ROW = {"id": 7, "query": "Weather in Oakhaven?", "tools": json.dumps(TOOLS), "answers": json.dumps(ANSWERS)}


def save(folder: Path, name: str, content: Any) -> None:
    path = folder / "function_calling" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def load(folder: Path) -> list[Dialogue]:
    return list(xlam.load(folder))


def test_a_row_becomes_two_turns_with_its_tools(tmp_path: Path) -> None:
    save(tmp_path, "xlam_function_calling_60k.json", [ROW])
    (dialogue,) = load(tmp_path)
    user, assistant = dialogue.turns
    assert (user.role, user.text) == ("user", "Weather in Oakhaven?")
    assert assistant.calls == (ToolCall("weather.get", {"town": "Oakhaven", "days": [1, 2]}),)
    assert [tool.signature for tool in dialogue.tools] == ["weather.get(town, days)", "bell()"]
    assert dialogue.tools[0].required == ("town",)
    assert dialogue.tools[0].properties["days"]["type"] == "List[int]"
    assert dialogue.id == "xlam_function_calling_60k/0"
    assert dialogue.origin.endswith("xlam_function_calling_60k.json#0")


def test_flat_tools_are_written_as_they_were_read(tmp_path: Path) -> None:
    save(tmp_path, "xlam.json", [ROW])
    assert [flat_tool(tool) for tool in load(tmp_path)[0].tools] == TOOLS


def test_texts_and_lists_lines_and_lists_are_the_same(tmp_path: Path) -> None:
    plain = {**ROW, "tools": TOOLS, "answers": ANSWERS}
    save(tmp_path / "a", "xlam.json", [ROW, plain])
    save(tmp_path / "b", "xlam.jsonl", f"{json.dumps(plain)}\n\n{json.dumps(ROW)}\n")
    turns = [dialogue.turns for name in ("a", "b") for dialogue in load(tmp_path / name)]
    assert len(turns) == 4
    assert turns == turns[:1] * 4


def test_irrelevance_rows_come_last_and_call_nothing(tmp_path: Path) -> None:
    save(tmp_path, "irrelevance.json", [{**ROW, "answers": "[]"}])
    save(tmp_path, "xlam.json", [ROW])
    first, last = load(tmp_path)
    assert first.turns[1].calls
    assert last.turns[1].calls == ()
    (sample,) = call_samples(last)
    assert sample.output == "```\n[]\n```"


def test_other_files_of_the_folder_are_left_alone(tmp_path: Path) -> None:
    save(tmp_path, "xlam_format/xlam.json", [ROW])
    save(tmp_path, "xlam_format/hammer_masking_sft_data_example.json", [{"instruction": ""}])
    save(tmp_path, "bfcl/BFCL_v3_irrelevance.json", [{"id": "irrelevance_0"}])
    _, names = xlam.find(tmp_path)
    assert names == ["xlam_format/xlam.json"]


def test_a_zip_is_read_like_a_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "function_calling.zip", "w") as archive:
        archive.writestr("xlam_format/some_as_xlam.json", json.dumps([ROW]))
    assert [dialogue.id for dialogue in load(tmp_path)] == ["some_as_xlam/0"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"query": None}, "expected an object with query, tools and answers"),
        ({"tools": "[{"}, "not valid JSON"),
        ({"tools": '{"name": "f"}'}, "expected tools to be a list"),
        ({"tools": [{"name": "f", "parameters": {"a": "str"}}]}, "expected tools with name and parameters"),
        ({"answers": [{"name": "f"}]}, "answers: not_a_call"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    save(tmp_path, "xlam.json", [ROW, {**ROW, **change}])
    with pytest.raises(DataError, match=complaint) as caught:
        load(tmp_path)
    assert "xlam.json#1" in caught.value.where


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    save(tmp_path, "xlam.jsonl", f"{json.dumps(ROW)}\n{{broken\n")
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert caught.value.where.endswith("xlam.jsonl:2")


def test_no_corpus_and_no_such_split(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="Hugging Face"):
        load(tmp_path)
    with pytest.raises(DataError, match="no split `dev`"):
        list(xlam.load(tmp_path, "dev"))


@pytest.mark.corpora
def test_real_rows(shared: Path) -> None:
    dialogues = list(xlam.load(shared / "data"))
    assert len(dialogues) == 1_969 + 253
    assert sum(not dialogue.turns[1].calls for dialogue in dialogues) == 253
    with zipfile.ZipFile(shared / "data" / "function_calling.zip") as archive:
        rows = json.loads(archive.read("xlam_format/seal_tools_as_xlam.json"))
    for row, dialogue in zip(rows, dialogues, strict=False):
        assert [flat_tool(tool) for tool in dialogue.tools] == json.loads(row["tools"])
