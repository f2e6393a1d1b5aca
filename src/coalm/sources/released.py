"""The authors' own mixture, `uiuc-convai/CoALM-IT` on the Hugging Face Hub, as samples.

Rows have the columns instruction, input and output, and say nothing of where they come from. Their source is a
guess from their form, the first of these that fits (paper, Figures 4 to 7):

    snips    the output is a state: `System: {"domain": …, "slot_values": …}`
    sgd      the output is a labelled step: `Action:`, `Thought:`, or a `System:` that answers a `Thought:`
    xlam     the prompt lists tools and has one query without history; the output is a JSON list of calls,
             fenced or not
    toolace  all else: calls or words after a history

So a state over several turns passes for SNIPS', and what ToolACE calls at once, if it is written as JSON, for
xLAM's. `dialogue` is `released/<row number>`, from 0; which rows belong to one conversation is not known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from coalm.dialogue import Sample
from coalm.errors import DataError, NotFound
from coalm.runs import read_json, read_json_lines
from coalm.sources.hub import open_rows

HUB_ID = "uiuc-convai/CoALM-IT"
COLUMNS = ("instruction", "input", "output")

_BATCH = 1024
_JSON = (".json", ".jsonl")
_ON_HUB = re.compile(r"[\w.-]+/[\w.-]+")


# ── the guess ─────────────────────────────────────────────────────────────────────────────────────

_STATE = re.compile(r"\s*(?:System:)?\s*\[?\s*\{\s*[\"']domain[\"']\s*:.*[\"']slot_values[\"']", re.DOTALL)
_STEP = re.compile(r"\s*(?:Thought:.*?^)?(Action|System):", re.DOTALL | re.MULTILINE)
_CALLS = re.compile(r"\s*(?:```\w*)?\s*\[\s*(?:\]|\{\s*\"(?:name|arguments)\")")
_THOUGHT = re.compile(r"^Thought:", re.MULTILINE)
_SPOKEN = re.compile(r"^(?:System|Action|Observation|Context):", re.MULTILINE)


def _is_state(prompt: str, output: str) -> bool:
    return bool(_STATE.match(output))


def _is_step(prompt: str, output: str) -> bool:
    step = _STEP.match(output)
    return step is not None and (step[1] == "Action" or bool(_THOUGHT.search(f"{prompt}\n{output}")))


def _is_masked_call(prompt: str, output: str) -> bool:
    tools, _, query = prompt.partition("[BEGIN OF QUERY]")
    single = bool(query) and "[BEGIN OF CONVERSATION HISTORY]" not in tools and not _SPOKEN.search(query)
    return single and "[BEGIN OF AVAILABLE TOOLS]" in tools and bool(_CALLS.match(output))


class Form(NamedTuple):
    """A source and the sign by which its rows are known; `task` is None where the output has to be asked."""

    source: str
    domain: Literal["TOD", "LA", "CRA"]
    task: str | None
    fits: Callable[[str, str], bool]


FORMS = (
    Form("snips", "TOD", "state", _is_state),
    Form("sgd", "CRA", None, _is_step),
    Form("xlam", "LA", "call", _is_masked_call),
    Form("toolace", "LA", "call", lambda prompt, output: True),
)


def guess(instruction: str, input: str, output: str) -> tuple[Form, str]:
    """The form of a row, and its task: state, call, action or response."""
    form = next(form for form in FORMS if form.fits(f"{instruction}\n{input}", output))
    step = _STEP.match(output)
    return form, form.task or ("action" if step and step[1] == "Action" else "response")


# ── reading ───────────────────────────────────────────────────────────────────────────────────────


def load(where: str | Path = HUB_ID) -> Iterator[Sample]:
    """Yield the rows of a Parquet, JSON or JSON lines file, of a folder's Parquet files, or of a Hub id.

    Files are read a batch at a time, but for a JSON list; from the Hub the split `train` is taken.

    Raises:
        DataError: nothing there, a broken file, or columns missing.
        MissingExtra: a Hub id, and `datasets` is not installed.
    """
    for number, (row, place) in enumerate(_rows(where)):
        match row:
            case {"instruction": str(instruction), "input": str() | None as input, "output": str(output)}:
                form, task = guess(instruction, input or "", output)
                yield Sample(
                    instruction=instruction,
                    input=input or "",
                    output=output,
                    source=form.source,
                    domain=form.domain,
                    task=task,
                    dialogue=f"released/{number}",
                    turn=0,
                )
            case _:
                raise DataError(f"expected an object with the texts {', '.join(COLUMNS)}", where=place)


def _rows(where: str | Path) -> Iterator[tuple[Any, str]]:
    """Each row, and where it stands."""
    path = Path(where)
    if path.is_dir():
        files = sorted(path.rglob("*.parquet"))
        if not files:
            raise NotFound("no Parquet file in the folder", where=path)
        for file in files:
            yield from _parquet_rows(file)
    elif path.is_file() and path.suffix in _JSON:
        yield from _json_rows(path)
    elif path.is_file():
        yield from _parquet_rows(path)
    elif _ON_HUB.fullmatch(path.as_posix()) and path.suffix not in (".parquet", *_JSON):
        id = path.as_posix()
        for index, row in enumerate(open_rows(id, COLUMNS)):
            yield row, f"{id}#{index}"
    else:
        raise NotFound("no such file or folder", where=path, hint=f"or name a Hub id, such as {HUB_ID}")


def _parquet_rows(path: Path) -> Iterator[tuple[Any, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    index = 0
    try:
        with pq.ParquetFile(path) as file:
            missing = [column for column in COLUMNS if column not in file.schema_arrow.names]
            if missing:
                found = ", ".join(file.schema_arrow.names)
                raise DataError(f"no column {', '.join(missing)}; there are: {found}", where=path)
            for batch in file.iter_batches(batch_size=_BATCH, columns=list(COLUMNS)):
                for row in batch.to_pylist():
                    yield row, f"{path}#{index}"
                    index += 1
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"cannot be read as Parquet: {error}", where=path) from None


def _json_rows(path: Path) -> Iterator[tuple[Any, str]]:
    with path.open("rb") as file:
        is_list = file.read(64).lstrip().startswith(b"[")
    if is_list:
        yield from ((row, f"{path}#{index}") for index, row in enumerate(read_json(path)))
    else:
        yield from ((row, f"{path}:{number}") for number, row in read_json_lines(path))
