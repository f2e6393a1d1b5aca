"""Dialogues in a file, as they were when samples were made of them: `dialogues.parquet` of a mixture.

    with Writer(folder) as archive:                what `coalm data build` does, a dialogue at a time
        archive.add(dialogue)
    for dialogue in read(folder): …                what `coalm data check` and `review` do

Samples alone would not do: their text shows three rows of an observation, and none of the annotation. A row
is a dialogue; its turns are JSON, and the tools and domains that dialogues share are stored once for all.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from coalm.dialogue import Act, Dialogue, Domain, Slot, Tool, ToolCall, Turn
from coalm.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

NAME = "dialogues.parquet"
ROW_GROUP = 512
Shared = tuple[Tool, ...] | tuple[Domain, ...]
_COLUMNS = ("id", "source", "origin", "services", "tools", "domains", "turns")


class Writer:
    """Writes a folder's archive, in the order in which dialogues come; the file is there when all of it is."""

    def __init__(self, folder: Path) -> None:
        import pyarrow.parquet as pq

        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / NAME
        self._unfinished = folder / f".{NAME}.tmp"
        self._file: pq.ParquetWriter = pq.ParquetWriter(
            self._unfinished, _schema(), compression="zstd", use_dictionary=["source", "tools", "domains"]
        )
        self._held: list[Dialogue] = []

    def add(self, dialogue: Dialogue) -> None:
        self._held.append(dialogue)
        if len(self._held) == ROW_GROUP:
            self._flush()

    def add_part(self, path: Path) -> None:
        """The dialogues of a file that `write_part` has written, as a row group of their own."""
        import pyarrow as pa

        self._flush()
        with pa.OSFile(str(path)) as file:
            self._file.write_table(pa.ipc.open_stream(file).read_all())

    def _flush(self) -> None:
        if self._held:
            self._file.write_table(_to_table(self._held))
        self._held.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._flush()
        self._file.close()
        if kind is None:
            self._unfinished.replace(self._path)
        else:
            self._unfinished.unlink(missing_ok=True)


def write_part(dialogues: Sequence[Dialogue], path: Path) -> None:
    """Write some of an archive's dialogues to a file of their own, for `join`."""
    import pyarrow as pa

    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, _schema()) as stream:
        stream.write_table(_to_table(dialogues))


def join(parts: Sequence[Path], folder: Path) -> None:
    """Make a folder's archive of parts, in that order; without any, the folder has none afterwards."""
    (folder / NAME).unlink(missing_ok=True)
    if parts:
        with Writer(folder) as archive:
            for part in parts:
                archive.add_part(part)


def _schema() -> pa.Schema:
    import pyarrow as pa

    services = pa.field("services", pa.list_(pa.string()))
    return pa.schema([services if name == "services" else (name, pa.string()) for name in _COLUMNS])


def _to_table(dialogues: Iterable[Dialogue]) -> pa.Table:
    import pyarrow as pa

    written: dict[int, tuple[Shared, str]] = {}  # tools and domains as text, once for all that have the same

    def write(shared: Shared) -> str:
        if id(shared) not in written:
            text = json.dumps([asdict(item) for item in shared], ensure_ascii=False)
            written[id(shared)] = (shared, text)
        return written[id(shared)][1]

    rows = [
        {
            "id": dialogue.id,
            "source": dialogue.source,
            "origin": dialogue.origin,
            "services": dialogue.services,
            "tools": write(dialogue.tools),
            "domains": write(dialogue.domains),
            "turns": json.dumps([_turn_to_json(turn) for turn in dialogue.turns], ensure_ascii=False),
        }
        for dialogue in dialogues
    ]
    return pa.Table.from_pylist(rows, _schema())


def read(folder: Path, only: Collection[tuple[str, str]] | None = None) -> Iterator[Dialogue]:
    """The dialogues of a folder's archive in their order, a row group at a time.

    With `only`, those with one of these (source, id).

    Raises:
        DataError: there is no archive, or the file is not one.
    """
    for row in _read_rows(folder, list(_COLUMNS)):
        if only is None or (row["source"], row["id"]) in only:
            yield _from_row(row)


def read_keys(folder: Path) -> list[tuple[str, str]]:
    """(source, id) of all dialogues, without reading these; two sources may use the same ids.

    Raises:
        DataError: there is no archive, or the file is not one.
    """
    return [(row["source"], row["id"]) for row in _read_rows(folder, ["source", "id"])]


def _read_rows(folder: Path, columns: list[str]) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / NAME
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield from file.read_row_group(group, columns=columns).to_pylist()
    except FileNotFoundError:
        hint = "`coalm data build` writes it where a source makes CRA dialogues (sgd)"
        raise DataError("no dialogues to look at", where=path, hint=hint) from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"not an archive of dialogues: {error}", where=path) from None


def _from_row(row: Mapping[str, Any]) -> Dialogue:
    """The dialogue of a row; tuples in its arguments and results have become lists."""
    return Dialogue(
        id=row["id"],
        source=row["source"],
        turns=tuple(_turn_from_json(turn) for turn in json.loads(row["turns"])),
        tools=_read_tools(row["tools"]),
        domains=_read_domains(row["domains"]),
        services=tuple(row["services"]),
        origin=row["origin"],
    )


@lru_cache(maxsize=64)
def _read_tools(text: str) -> tuple[Tool, ...]:
    return tuple(Tool(**row) for row in json.loads(text))


@lru_cache(maxsize=64)
def _read_domains(text: str) -> tuple[Domain, ...]:
    return tuple(_domain(**row) for row in json.loads(text))


def _domain(name: str, slots: list[dict[str, Any]], description: str) -> Domain:
    found = (Slot(slot["name"], slot["description"], tuple(slot["values"])) for slot in slots)
    return Domain(name, tuple(found), description)


def _turn_to_json(turn: Turn) -> dict[str, Any]:
    """What there is of a turn; fields that say nothing are left out."""
    found = {field.name: getattr(turn, field.name) for field in fields(turn)}
    found["calls"] = [{"name": call.name, "arguments": call.arguments} for call in turn.calls]
    found["acts"] = [
        {
            name: value
            for name in ("name", "slot", "values", "canonical_values", "service")
            if (value := getattr(act, name))
        }
        for act in turn.acts
    ]
    return {name: value for name, value in found.items() if value or (name == "state" and value is not None)}


def _turn_from_json(row: dict[str, Any]) -> Turn:
    calls = tuple(ToolCall(call["name"], call["arguments"]) for call in row.pop("calls", ()))
    acts = tuple(_act(**act) for act in row.pop("acts", ()))
    results, intents = tuple(row.pop("results", ())), tuple(row.pop("intents", ()))
    return Turn(**row, calls=calls, acts=acts, results=results, intents=intents)


def _act(name: str, slot: str = "", values: Any = (), canonical_values: Any = (), service: str = "") -> Act:
    return Act(name, slot, tuple(values), tuple(canonical_values), service)
