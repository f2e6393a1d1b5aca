"""Corpora of the Hugging Face Hub, fetched into a corpora folder for the ordinary sources to find.

    fetch("toolace", Path("corpora"))     corpora/toolace/toolace.jsonl, which `toolace.load` reads

    xlam         Salesforce/xlam-function-calling-60k   asks for a login and its terms to be accepted
    irrelevance  MadeAgents/xlam-irrelevance-7.5k
    toolace      Team-ACE/ToolACE

The rows are written as they are published, one to a line. The library `datasets` gives all rows the same keys,
at every depth, and fills the gaps with null; so columns that hold objects have to be JSON texts, as in xLAM.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coalm.errors import DataError, MissingExtra, did_you_mean
from coalm.sources import toolace, xlam


@dataclass(frozen=True, slots=True)
class HubCorpus:
    """A data set of the Hub: its id, the file it becomes, and the columns it must have.

    Those in `texts` must hold text; `by_hand` says how to get it without us.
    """

    id: str
    path: str
    columns: tuple[str, ...]
    texts: tuple[str, ...]
    by_hand: str


_XLAM = ("query", "tools", "answers")
CORPORA: Mapping[str, HubCorpus] = {
    "xlam": HubCorpus(
        "Salesforce/xlam-function-calling-60k",
        "function_calling/xlam_function_calling_60k.jsonl",
        _XLAM,
        _XLAM,
        xlam.HINT,
    ),
    "irrelevance": HubCorpus(
        "MadeAgents/xlam-irrelevance-7.5k",
        "function_calling/xlam_irrelevance_7.5k.jsonl",
        _XLAM,
        _XLAM,
        xlam.HINT,
    ),
    "toolace": HubCorpus(
        "Team-ACE/ToolACE",
        "toolace/toolace.jsonl",
        ("system", "conversations"),
        ("system",),
        toolace.HINT,
    ),
}


def fetch(
    name: str,
    out: Path,
    *,
    id: str | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Fetch the corpus `name` into the corpora folder `out`; the file written, whole or not at all.

    `id` is another data set with the same columns, or a folder of files that `datasets` can load; `progress` is
    told (rows so far, all rows).

    Raises:
        DataError: no such corpus, it cannot be had, or its columns are not those of the corpus.
        MissingExtra: `datasets` is not installed.
    """
    if name not in CORPORA:
        raise DataError(f"no corpus `{name}` to fetch", hint=did_you_mean(name, CORPORA))
    corpus = CORPORA[name]
    id = id or corpus.id
    rows = open_rows(id, corpus.columns, by_hand=corpus.by_hand)
    path = out / corpus.path
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.stem}.tmp")
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            for index, row in enumerate(rows):
                _check_texts(row, corpus.texts, f"{id}#{index}")
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                if progress:
                    progress(index + 1, len(rows))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def open_rows(id: str, columns: Iterable[str], by_hand: str = "") -> Collection[dict[str, Any]]:
    """The rows of a data set's split `train`, downloaded to the cache of `datasets` unless they are there.

    Raises:
        DataError: it cannot be had, or lacks one of `columns`.
        MissingExtra: `datasets` is not installed.
    """
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "datasets", extra="hub") from None
    try:
        rows = datasets.load_dataset(id, split="train")
    except Exception as error:  # of `datasets`, the Hub's client, its HTTP library, Arrow, the system
        what = f"cannot be loaded: {error.__cause__ or error}"
        raise DataError(what, where=id, hint="" if Path(id).exists() else _hint(id, by_hand)) from error
    missing = [column for column in columns if column not in rows.column_names]
    if missing:
        found = ", ".join(rows.column_names)
        raise DataError(f"no column {', '.join(missing)}; there are: {found}", where=id)
    checked: Collection[dict[str, Any]] = rows
    return checked


def _hint(id: str, by_hand: str) -> str:
    login = (
        f"is there a network? where https://huggingface.co/datasets/{id} asks for it, accept its terms and log "
        "in with `hf auth login`"
    )
    return f"{login}; or {by_hand}" if by_hand else login


def _check_texts(row: Mapping[str, Any], columns: Iterable[str], where: str) -> None:
    for column in columns:
        if not isinstance(row[column], str):
            hint = "download the file by hand; `datasets` would add keys to it"
            raise DataError(f"expected {column} to be a text", where=where, hint=hint)
