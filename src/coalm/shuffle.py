"""Samples in and out of Parquet, shuffled on the way without being held in memory.

Rows are put into buckets on disk by the first bits of their key; then one bucket after the other is sorted by
key and written. The order of the file is that of the keys, whatever order the rows came in, and from however
many processes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from coalm.dialogue import Sample
from coalm.errors import DataError

BUCKETS = 32
BUFFER = 32 << 20  # characters of text held before they go to disk
ROW_GROUP = 1024

SCHEMA = pa.schema(
    [
        ("instruction", pa.string()),
        ("input", pa.string()),
        ("output", pa.string()),
        ("source", pa.string()),
        ("domain", pa.string()),
        ("task", pa.string()),
        ("dialogue", pa.string()),
        ("turn", pa.int32()),
        ("services", pa.list_(pa.string())),
        ("tokens", pa.int32()),
    ]
)
_SPILLED = SCHEMA.append(pa.field("key", pa.uint64()))
_FEW_VALUES = ["source", "domain", "task"]


class Spill:
    """Rows on their way: put into buckets in `folder`, which is made anew.

    with Spill(folder) as rows:
        rows.add(key, sample)
    write_sorted([folder], path)
    """

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self._files = [pa.OSFile(str(_bucket(folder, number)), "wb") for number in range(BUCKETS)]
        self._buckets = [pa.ipc.new_stream(file, _SPILLED, options=options) for file in self._files]
        self._columns: list[list[Any]] = [[] for _ in _SPILLED]
        self._held = 0

    def add(self, key: int, sample: Sample, tokens: int | None = None) -> None:
        """`key` has 64 bits; rows with equal keys keep the order in which they came."""
        row = (
            sample.instruction,
            sample.input,
            sample.output,
            sample.source,
            sample.domain,
            sample.task,
            sample.dialogue,
            sample.turn,
            sample.services,
            tokens,
            key,
        )
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)
        self._held += len(sample.instruction) + len(sample.input) + len(sample.output)
        if self._held > BUFFER:
            self._spill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._spill()
        for bucket, file in zip(self._buckets, self._files, strict=True):
            bucket.close()
            file.close()

    def _spill(self) -> None:
        arrays = [pa.array(column, field.type) for column, field in zip(self._columns, _SPILLED, strict=True)]
        batch = pa.record_batch(arrays, schema=_SPILLED)
        bucket_of = batch.column("key").to_numpy() >> np.uint64(64 - BUCKETS.bit_length() + 1)
        for number, bucket in enumerate(self._buckets):
            rows = np.flatnonzero(bucket_of == number)
            if len(rows):
                bucket.write_batch(batch.take(pa.array(rows)))
        self._columns = [[] for _ in _SPILLED]
        self._held = 0


def write_sorted(spills: Sequence[Path], path: Path) -> None:
    """Write what was spilled into those folders to `path`, in the order of the keys, whole or not at all."""
    unfinished = path.with_name(f".{path.name}.tmp")
    buckets = (_read_sorted([_bucket(folder, number) for folder in spills]) for number in range(BUCKETS))
    try:
        with pq.ParquetWriter(unfinished, SCHEMA, compression="zstd", use_dictionary=_FEW_VALUES) as writer:
            for table in _regroup(buckets, ROW_GROUP):
                writer.write_table(table)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _bucket(folder: Path, number: int) -> Path:
    return folder / f"{number}.spill"


def _read_sorted(paths: Sequence[Path]) -> pa.Table:
    """A bucket's rows in one piece, so that the file does not show in how many they came."""
    tables = []
    for path in paths:
        with pa.OSFile(str(path)) as file:
            tables.append(pa.ipc.open_stream(file).read_all())
    table = pa.concat_tables(tables)
    return table.take(pc.sort_indices(table["key"])).drop_columns(["key"]).combine_chunks()


def _regroup(tables: Iterator[pa.Table], size: int) -> Iterator[pa.Table]:
    """The same rows in tables of `size` rows, the last one excepted."""
    held = SCHEMA.empty_table()
    for table in tables:
        held = pa.concat_tables([held, table]).combine_chunks()
        while held.num_rows >= size:
            yield held.slice(0, size)
            held = held.slice(size)
    if held.num_rows:
        yield held


def read_samples(path: Path, source: str | None = None) -> Iterator[Sample]:
    """The samples of a file in its order, read a row group at a time; only those of `source` where given.

    Raises:
        DataError: no such file, or not one of ours.
    """
    columns = [name for name in SCHEMA.names if name != "tokens"]
    try:
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=columns)
            for row in table.to_pylist():
                if source is None or row["source"] == source:
                    yield Sample(**{**row, "services": tuple(row["services"])})
    except FileNotFoundError:
        hint = "build it with `coalm data build --corpora DIR --out DIR`"
        raise DataError("no such mixture", where=path, hint=hint) from None
    except (pa.ArrowInvalid, TypeError) as error:
        raise DataError(f"not a mixture of ours: {error}", where=path) from None


def count_rows(path: Path) -> int:
    """Number of samples in a file, from its footer."""
    return int(pq.read_metadata(path).num_rows)
