"""BFCL V3, the categories that are judged by looking at calls: which functions are called, with which values.

3,641 entries: one call or several, of one function or several, in Python, Java and JavaScript, written by the
board's authors or asked by users ("live"); and questions that none of the functions answers. What counts as
right: `ast_check.py`. What the board makes of it: `aggregate.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coalm.benchmarks.bfcl.aggregate import metrics
from coalm.benchmarks.bfcl.ast_check import find_fault
from coalm.benchmarks.bfcl.data import Entry, load
from coalm.benchmarks.bfcl.decode import DecodeError, decode, pack, unpack
from coalm.benchmarks.bfcl.decode_source import decode_source
from coalm.benchmarks.bfcl.tools import make_tools
from coalm.benchmarks.episode import Benchmark, Episode, Item, Verdict
from coalm.dialogue import Request
from coalm.errors import DataError

__all__ = ["BENCHMARK", "VERSION", "check_row", "episode", "load", "metrics", "score"]

VERSION = 1


def episode(item: Item) -> Episode:
    """Ask for calls once; the result is `{"decoded": [{function: {parameter: value}}] | None, "error"}`."""
    entry: Entry = item.data
    reply = yield Request("call", entry.turns, tools=make_tools(entry.functions, entry.language))
    if reply.error is not None:
        return {"decoded": None, "error": reply.error}
    try:
        return {"decoded": pack([{call.name: call.arguments} for call in reply.calls]), "error": None}
    except RecursionError:
        return {"decoded": None, "error": "too_deep"}


def score(item: Item, result: Any) -> list[Verdict]:
    """One verdict on a result. Where it could not be read, a fault is called `unreadable:<kind>`.

    Raises:
        DataError: the result is not of the form that `episode` returns.
    """
    match result:
        case {"decoded": None, "error": str(kind)}:
            return [_judge(item, None, got=None, unreadable=f"unreadable:{kind}")]
        case {"decoded": decoded, "error": None}:
            return [_judge(item, unpack(decoded), got=decoded)]
        case _:
            raise DataError("expected `decoded`, a list of calls, and `error`", where=f"result of {item.id}")


def check_row(row: Any, items: Mapping[str, Item], where: str = "") -> Verdict:
    """The verdict on a line of a file in the board's terms; `items` by their ids.

    A row has `id`, `category` (may be left out) and either `decoded_output`, with tuples as
    `{"__tuple__": […]}`, or `text`, which is read as the board reads a model's text. All faults have their
    official names.

    Raises:
        DataError: the row is something else, or not of these items.
        MissingExtra: Java or JavaScript text, and no tree-sitter.
    """
    match row:
        case {"id": str(id), "decoded_output": _} | {"id": str(id), "text": str()}:
            pass
        case _:
            raise DataError("expected an object with id, category and text or decoded_output", where=where)
    if id not in items:
        raise DataError(f"no entry of BFCL is called `{id}`", where=where)
    item = items[id]
    if row.get("category", item.group) != item.group:
        raise DataError(f"`{id}` is of category {item.group}, not {row['category']}", where=where)
    if "decoded_output" in row:
        return _judge(item, unpack(row["decoded_output"]), got=row["decoded_output"])
    try:
        calls = _decode(row["text"], item.data.language)
    except DecodeError:
        failed = "relevance_error" if item.group == "live_relevance" else "ast_decoder"
        return _judge(item, None, got=None, unreadable=f"{failed}:decoder_failed")
    return _judge(item, calls, got=pack(calls))


def _decode(text: str, language: str) -> Any:
    return decode(text) if language == "Python" else decode_source(text, language)


def _judge(item: Item, calls: Any, got: Any, unreadable: str | None = None) -> Verdict:
    """What comes of decoded calls, or of text without any: `unreadable`, where that is a fault.

    `got` are the calls packed, to be shown.
    """
    entry: Entry = item.data
    fault = find_fault(item.group, entry.expected, calls)
    right = fault is None
    return Verdict(
        item.id,
        part="",
        group=item.group,
        correct=right,
        counts={f"n_{item.group}": 1, f"ok_{item.group}": int(right)},
        why=None if right else unreadable or fault,
        got=got,
        want=entry.answers or ("a call" if item.group == "live_relevance" else "no call"),
    )


BENCHMARK = Benchmark("bfcl", VERSION, load, episode, score, metrics, max_tokens=512)
