"""Function calls as text: the one grammar for training data, families, agent and benchmarks.

    FindBus(from_location='Davis', number=2)            write_call, read_calls
    [FindBus(a='b'), Other()]                           write_calls, read_calls
    [{"name": "FindBus", "arguments": {"a": "b"}}]      write_json_calls, read_json_calls

Values are Python literals made of None, bool, int, float, str, list, tuple and dict with string keys
(JSON literals in the JSON form). Nothing is ever evaluated. Reading what was written gives the same
calls back: `read_calls(write_calls(calls)) == calls`.
"""

from __future__ import annotations

import ast
import json
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from coalm.dialogue import ToolCall

# Fences stand at the edges of lines; three backticks elsewhere belong to a string.
_FENCE = re.compile(r"^[ \t]*```(?:\w*[ \t]*\n)?(.*?)(?:^[ \t]*```|```[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_ENDS_IN_CALLS = re.compile(r"(?P<said>.*?)(?:^|\n)```(?:json)?\n(?P<calls>\[.*\])\n```\s*", re.DOTALL)
_NAME_STOPS = frozenset("()[]{},;='\"`\n\r")
_CLOSERS = {"(": ")", "[": "]", "{": "}"}


class CallSyntaxError(ValueError):
    """Text that is not a list of calls; `kind` is one of
    empty, bad_name, bad_argument, bad_literal, bad_json, not_a_call, unbalanced.
    """

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind = kind


def write_call(call: ToolCall) -> str:
    """`FindBus(from_location='Davis', number=2)`.

    Raises:
        ValueError: a name that could not be read back, or a value that has no literal.
    """
    if not is_writable_name(call.name):
        raise ValueError(f"function name cannot be written as text: {call.name!r}")
    for key in call.arguments:
        if not is_writable_name(key):
            raise ValueError(f"parameter name cannot be written as text: {key!r}")
    arguments = ", ".join(f"{key}={_literal(value)}" for key, value in call.arguments.items())
    return f"{call.name}({arguments})"


def write_calls(calls: Sequence[ToolCall]) -> str:
    """`[FindBus(a='b'), Other()]`; `[]` where there are none."""
    return f"[{', '.join(map(write_call, calls))}]"


def write_json_calls(calls: Sequence[ToolCall]) -> str:
    """`[{"name": "FindBus", "arguments": {"a": "b"}}]`, on one line."""
    rows = [{"name": call.name, "arguments": call.arguments} for call in calls]
    return json.dumps(rows, ensure_ascii=False, allow_nan=False)


def read_calls(text: str) -> tuple[ToolCall, ...]:
    """The calls in `f(a='b')`, `f(), g()`, `[f(), g()]`, a call a line, a JSON list, or any of these fenced.

    Raises:
        CallSyntaxError: the text, as a whole, is none of these.
    """
    body = unfence(text).strip()
    if not body:
        raise CallSyntaxError("empty", "no text")
    if _looks_like_json(body):
        return read_json_calls(body)
    if body.startswith("["):
        if _closing(body, 0) != len(body) - 1:
            raise CallSyntaxError("unbalanced", "text after the list, or no closing bracket")
        body = body[1:-1]
    return tuple(_scan_calls(body))


def read_json_calls(text: str) -> tuple[ToolCall, ...]:
    """The calls in a JSON list of `{"name", "arguments"}`, or in one such object.

    Raises:
        CallSyntaxError: bad_json or not_a_call.
    """
    try:
        rows = json.loads(unfence(text).strip())
    except (ValueError, RecursionError) as error:
        raise CallSyntaxError("bad_json", str(error)) from None
    return calls_from_json(rows if isinstance(rows, list) else [rows])


def split_calls(text: str) -> tuple[str, tuple[ToolCall, ...]]:
    """What is said in a text, and the calls in the fenced JSON list that it ends with, if it does."""
    found = _ENDS_IN_CALLS.fullmatch(text)
    if not found:
        return text, ()
    try:
        return found["said"].strip(), read_json_calls(found["calls"])
    except CallSyntaxError:
        return text, ()


def calls_from_json(rows: Sequence[Any]) -> tuple[ToolCall, ...]:
    """The calls in parsed JSON rows; every row is one `{"name": str, "arguments": object}`.

    Raises:
        CallSyntaxError: not_a_call.
    """
    calls = []
    for row in rows:
        match row:
            case {"name": str(name), "arguments": dict(arguments), **rest} if not rest:
                calls.append(ToolCall(name, arguments))
            case _:
                raise CallSyntaxError("not_a_call", f"expected name and arguments, found {str(row)[:80]}")
    return tuple(calls)


def unfence(text: str) -> str:
    """What stands in the first fenced block, or all of the text where there is none."""
    found = _FENCE.search(text)
    return found.group(1) if found else text


def read_literal(text: str) -> Any:
    """A Python literal of None, bool, int, float, str, list, tuple, dict with string keys.

    Raises:
        CallSyntaxError: bad_literal.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # '\d' in a model's string is its own business
            value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise CallSyntaxError("bad_literal", text[:80]) from None
    if not _is_plain(value):
        raise CallSyntaxError("bad_literal", text[:80])
    return value


def read_json_value(text: str) -> Any:
    """A JSON value, finite numbers only: one that `write_call` can write.

    Raises:
        CallSyntaxError: bad_json.
    """
    try:
        return json.loads(text, parse_constant=_read_finite, parse_float=_read_finite)
    except (ValueError, RecursionError) as error:
        raise CallSyntaxError("bad_json", str(error)) from None


def is_writable_name(name: str) -> bool:
    """Whether a function or parameter name survives the text form: no bracket, quote, comma or = in it."""
    return bool(name) and name == name.strip() and not (_NAME_STOPS & set(name))


def _read_finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def _literal(value: Any) -> str:
    if not _is_plain(value):
        raise ValueError(f"value has no literal form: {value!r}")
    return repr(value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(_is_plain, value.values()))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int)


def _looks_like_json(body: str) -> bool:
    return body.startswith("{") or bool(re.match(r"\[\s*(\{|\]$)", body))


def _scan_calls(text: str) -> Iterator[ToolCall]:
    """Calls one after the other, apart by commas, semicolons or line breaks."""
    position = 0
    while True:
        start = position
        while position < len(text) and (text[position].isspace() or text[position] in ",;"):
            position += 1
        if position == len(text):
            return
        if start and not set(text[start:position]) & set(",;\n"):
            raise CallSyntaxError("not_a_call", text[start : start + 80])
        opening = text.find("(", position)
        if opening < 0:
            raise CallSyntaxError("not_a_call", text[position : position + 80])
        name = text[position:opening].strip()
        if not is_writable_name(name):
            raise CallSyntaxError("bad_name", name[:80])
        closing = _closing(text, opening)
        yield ToolCall(name, _read_arguments(text[opening + 1 : closing]))
        position = closing + 1


def _read_arguments(text: str) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for piece in _split(text):
        key, equals, value = piece.partition("=")
        key = key.strip()
        if not equals or not is_writable_name(key) or key in arguments:
            raise CallSyntaxError("bad_argument", piece.strip()[:80])
        arguments[key] = read_literal(value)
    return arguments


def _split(text: str) -> Iterator[str]:
    """Pieces between top-level commas; a trailing comma is allowed."""
    start = position = 0
    while position < len(text):
        char = text[position]
        if char in "'\"":
            position = _string_end(text, position)
        elif char in _CLOSERS:
            position = _closing(text, position)
        elif char == ",":
            yield text[start:position]
            start = position + 1
        position += 1
    if text[start:].strip():
        yield text[start:]


def _closing(text: str, opening: int) -> int:
    """Index of the bracket that closes the one at `opening`, strings respected."""
    stack = [_CLOSERS[text[opening]]]
    position = opening + 1
    while position < len(text):
        char = text[position]
        if char in "'\"":
            position = _string_end(text, position)
        elif char in _CLOSERS:
            stack.append(_CLOSERS[char])
        elif char in ")]}":
            if char != stack.pop():
                break
            if not stack:
                return position
        position += 1
    raise CallSyntaxError("unbalanced", text[opening : opening + 80])


def _string_end(text: str, start: int) -> int:
    """Index of the quote that closes the string that opens at `start`."""
    position = start + 1
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == text[start]:
            return position
        position += 1
    raise CallSyntaxError("unbalanced", text[start : start + 80])
