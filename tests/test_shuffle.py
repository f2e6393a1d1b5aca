"""Rows leave in the order of their keys, whatever order they came in and however often they were spilled."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coalm import shuffle
from coalm.dialogue import Sample
from coalm.shuffle import Spill, count_rows, read_samples, write_sorted


def sample(number: int) -> Sample:
    return Sample(f"do {number}", "", "done", "s", "TOD", "state", f"d{number}", number, ("a", "b"))


def write(path: Path, keys: list[int]) -> None:
    with Spill(path.with_suffix(".spill")) as rows:
        for key in keys:
            rows.add(key, sample(key % 1000), tokens=key % 7)
    write_sorted([path.with_suffix(".spill")], path)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=60), buffer=st.integers(0, 200))
def test_order_is_that_of_the_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: list[int], buffer: int
) -> None:
    monkeypatch.setattr(shuffle, "BUFFER", buffer)
    monkeypatch.setattr(shuffle, "ROW_GROUP", 7)
    write(tmp_path / "one.parquet", keys)
    assert list(read_samples(tmp_path / "one.parquet")) == [sample(key % 1000) for key in sorted(keys)]
    assert pq.read_table(tmp_path / "one.parquet")["tokens"].to_pylist() == [key % 7 for key in sorted(keys)]
    assert count_rows(tmp_path / "one.parquet") == len(keys)


def test_neither_order_nor_buffer_change_the_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [number * 0x9E3779B97F4A7C15 % 2**64 for number in range(1, 500)]
    write(tmp_path / "one.parquet", keys)
    monkeypatch.setattr(shuffle, "BUFFER", 100)
    write(tmp_path / "two.parquet", keys[::-1])
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_row_groups_are_full_but_for_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shuffle, "ROW_GROUP", 100)
    write(tmp_path / "one.parquet", [number * 0x9E3779B97F4A7C15 % 2**64 for number in range(250)])
    metadata = pq.read_metadata(tmp_path / "one.parquet")
    sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    assert sizes == [100, 100, 50]


def test_spills_of_several_processes_are_one_file(tmp_path: Path) -> None:
    keys = [number * 0x9E3779B97F4A7C15 % 2**64 for number in range(1, 300)]
    write(tmp_path / "one.parquet", keys)
    for part in range(3):
        with Spill(tmp_path / f"{part}") as rows:
            for key in keys[part::3]:
                rows.add(key, sample(key % 1000), tokens=key % 7)
    write_sorted([tmp_path / f"{part}" for part in range(3)], tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_a_file_that_cannot_be_written_whole_is_not_there(tmp_path: Path) -> None:
    write(tmp_path / "one.parquet", [1, 2])
    (tmp_path / "one.spill" / "0.spill").write_bytes(b"damaged")
    with pytest.raises((OSError, pa.ArrowInvalid), match=r".+"):
        write_sorted([tmp_path / "one.spill"], tmp_path / "two.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.parquet", "one.spill"]
