"""The authors' mixture: every form is told from the others, in the paper's words and in ours."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from coalm.dialogue import Dialogue, Domain, Sample, Slot, Tool, ToolCall, Turn
from coalm.errors import DataError, NotFound
from coalm.families.coalm import act_samples, call_samples, state_samples
from coalm.sources import released


class Row(NamedTuple):
    """A row in the paper's form, and what it is."""

    source: str
    task: str
    instruction: str
    input: str
    output: str


TOOLS = '[BEGIN OF AVAILABLE TOOLS]\n[{"name": "xQ.7", "parameters": {}}]\n[END OF AVAILABLE TOOLS]\n'
HISTORY = (
    "[BEGIN OF CONVERSATION HISTORY]\nUser: Hello.\nThought: A greeting.\nSystem: Hello!\n"
    "[END OF CONVERSATION HISTORY]"
)
PLAIN_HISTORY = "[BEGIN OF CONVERSATION HISTORY]\nUser: Hello.\nSystem: Hello!\n[END OF CONVERSATION HISTORY]"
QUERY = "[BEGIN OF QUERY]\nRing the bell.\n[END OF QUERY]"
ROWS = [
    Row(
        "snips",
        "state",
        "Find the intents of 2 domains.\n# Task\nGive JSON.",
        "User: row me to Skerry",
        'System: {"domain": "BookBoat", "slot_values": {"place": "Skerry"}}',
    ),
    Row("xlam", "call", TOOLS, QUERY, '```\n[{"name": "xQ.7", "arguments": {}}]\n```'),
    Row("xlam", "call", TOOLS, QUERY, '[{"name": "xQ.7", "arguments": {}}]'),
    Row("xlam", "call", TOOLS, QUERY, "```json\n[]\n```"),
    Row(
        "sgd",
        "action",
        TOOLS + HISTORY,
        "User: Tide?\nThought: Look it up.",
        "Action: FindTide(harbour='Skerry')",
    ),
    Row("sgd", "response", HISTORY, "User: Tide?\nThought: I know.", "System: At six.\nAction: none."),
    Row("sgd", "action", TOOLS, "User: Tide?", "Thought: Look it up,\nthen say.\nAction: FindTide()"),
    Row("sgd", "response", TOOLS, "User: Tide?", "Thought: Which harbour?\nSystem: Where?"),
    Row("toolace", "call", TOOLS + PLAIN_HISTORY, QUERY, '```\n[{"name": "xQ.7", "arguments": {}}]\n```'),
    Row("toolace", "call", TOOLS, QUERY, '[Ring Bell(times="2")]'),
    Row("toolace", "call", TOOLS, QUERY, "The bell has no clapper."),
    Row("toolace", "call", TOOLS + PLAIN_HISTORY, "User: Bye.", "System: Goodbye!"),
]


def columns(rows: Iterable[Row]) -> list[dict[str, Any]]:
    return [{"instruction": row.instruction, "input": row.input, "output": row.output} for row in rows]


def save_parquet(path: Path, rows: list[dict[str, Any]], row_group_size: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=row_group_size)
    return path


def save_lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.source}-{row.task}")
def test_forms_are_told_apart(row: Row) -> None:
    form, task = released.guess(row.instruction, row.input, row.output)
    assert (form.source, task) == (row.source, row.task)


def test_rows_become_samples(tmp_path: Path) -> None:
    samples = list(released.load(save_parquet(tmp_path / "train.parquet", columns(ROWS))))
    assert [(sample.source, sample.task) for sample in samples] == [(row.source, row.task) for row in ROWS]
    assert [sample.dialogue for sample in samples] == [f"released/{n}" for n in range(len(ROWS))]
    assert {sample.source: sample.domain for sample in samples} == {
        "snips": "TOD",
        "xlam": "LA",
        "sgd": "CRA",
        "toolace": "LA",
    }
    assert samples[0] == Sample(*ROWS[0][2:], "snips", "TOD", "state", "released/0", 0)


def test_files_folders_lists_and_lines_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = columns(ROWS)
    wanted = list(released.load(save_parquet(tmp_path / "all.parquet", rows)))
    save_parquet(tmp_path / "hub/data/train-00000-of-00002.parquet", rows[:5])
    save_parquet(tmp_path / "hub/data/train-00001-of-00002.parquet", rows[5:])
    (tmp_path / "rows.json").write_text(f"\n {json.dumps(rows)}", encoding="utf-8")
    assert list(released.load(str(tmp_path / "hub"))) == wanted
    assert list(released.load(tmp_path / "rows.json")) == wanted
    assert list(released.load(save_lines(tmp_path / "rows.jsonl", rows))) == wanted


def test_a_hub_id_is_asked_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def load_dataset(id: str, split: str) -> Any:
        asked.append((id, split))
        from datasets import Dataset

        return Dataset.from_list(columns(ROWS))

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    samples = list(released.load(Path(released.HUB_ID)))
    assert asked == [("uiuc-convai/CoALM-IT", "train")]
    assert [sample.source for sample in samples] == [row.source for row in ROWS]


def test_an_input_may_be_missing_and_other_columns_there(tmp_path: Path) -> None:
    rows = [{**row, "input": None, "id": n} for n, row in enumerate(columns(ROWS[:1]))]
    (sample,) = released.load(save_lines(tmp_path / "rows.jsonl", rows))
    assert sample.input == ""


def test_our_own_samples_are_known_too() -> None:
    tool = Tool("tide", "High water.", {"type": "object", "properties": {"harbour": {"type": "str"}}})
    call = Turn("assistant", thought="Look it up.", calls=(ToolCall("tide", {"harbour": "Skerry"}),))
    told = Turn("assistant", thought="It is known.", text="At six.")
    asked, found = Turn("user", "Tide?"), Turn("tool", "[]")
    steps = Dialogue("1", "sgd", (asked, call, found, told), tools=(tool,))
    single = Dialogue("2", "xlam", (asked, Turn("assistant", calls=call.calls)), tools=(tool,))
    none = Dialogue("3", "xlam", (asked, Turn("assistant")), tools=(tool,))
    later = Dialogue("4", "toolace", (*single.turns, found, Turn("assistant", calls=call.calls)), tools=(tool,))
    state = Turn("user", "row me there", state={"BookBoat": {"place": "Skerry"}})
    tracked = Dialogue("5", "snips", (state,), domains=(Domain("BookBoat", (Slot("place"),)),))
    samples = [
        *act_samples(steps, "react"),
        *act_samples(steps, "paper"),
        *call_samples(single),
        *call_samples(none),
        *list(call_samples(later))[1:],  # its first is as good as xLAM's
        *state_samples(tracked),
    ]
    for sample in samples:
        form, task = released.guess(sample.instruction, sample.input, sample.output)
        assert (form.source, form.domain, task) == (sample.source, sample.domain, sample.task)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = save_parquet(tmp_path / "train.parquet", [{"instruction": "a", "text": "b"}])
    with pytest.raises(DataError, match="no column input, output; there are: instruction, text") as caught:
        list(released.load(path))
    assert caught.value.where == str(path)
    path = save_lines(tmp_path / "rows.jsonl", [columns(ROWS)[0], {"instruction": "a"}])
    with pytest.raises(DataError, match=r"rows\.jsonl:3: expected an object with the texts"):
        list(released.load(path))


@pytest.mark.parametrize("name", ["train.parquet", "rows.json", "rows.jsonl"])
def test_a_broken_file_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text('[{"instruction": ', encoding="utf-8")
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        list(released.load(path))


def test_damage_in_the_middle_is_named(tmp_path: Path) -> None:
    path = save_parquet(tmp_path / "train.parquet", columns(ROWS))
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"train\.parquet: "):
        list(released.load(path))


def test_a_column_that_is_no_text_is_named_by_row(tmp_path: Path) -> None:
    path = save_parquet(tmp_path / "train.parquet", [{"instruction": "a", "input": "b", "output": 1}])
    with pytest.raises(DataError, match=r"train\.parquet#0: expected an object with the texts"):
        list(released.load(path))


@pytest.mark.parametrize("name", ["no/such/folder", "data/train.parquet", "nothing"])
def test_nothing_there(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound, match=r"uiuc-convai/CoALM-IT"):
        list(released.load(name))
    with pytest.raises(NotFound, match="no Parquet file"):
        list(released.load(tmp_path))
