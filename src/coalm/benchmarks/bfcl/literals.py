"""Java and JavaScript values as the official checker reads them: by pattern, not by grammar.

A model writes the arguments of these two categories as source text. Text that does not look like its type stays
text, which the type check then refuses, unless the key wants text as well (it names a variable):

    read_java('new ArrayList<>(Arrays.asList("a", "b"))', "ArrayList", "String")     ['a', 'b']
    read_java("7L", "long")      7             read_java("7", "long")                '7'
    read_javascript("[1, 2]", "array", "integer")                                    [1, 2]

Oddities of the official reader that are kept: items are split at every comma, strings or not; the items of a
Java array keep their quotes, those of an ArrayList lose their first and last character, whatever it is; an
object ends at its first closing brace.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

JAVA_TYPES: Mapping[str, type] = {
    "byte": int,
    "short": int,
    "integer": int,
    "long": int,
    "float": float,
    "double": float,
    "boolean": bool,
    "char": str,
    "String": str,
    "any": str,
    "Array": list,
    "ArrayList": list,
    "HashMap": dict,
}
JAVASCRIPT_TYPES: Mapping[str, type] = {
    "integer": int,
    "Bigint": int,
    "float": float,
    "Boolean": bool,
    "String": str,
    "any": str,
    "array": list,
    "dict": dict,
}

MAX_LENGTH = 4000
"""Longer text is no collection: the patterns below take time that is the square of it."""

_INTEGER = re.compile(r"(-?\d+)$")
_JAVA_NUMBERS = {
    "byte": (_INTEGER, int),
    "short": (_INTEGER, int),
    "integer": (_INTEGER, int),
    "long": (re.compile(r"(-?\d+)[lL]$"), int),
    "float": (re.compile(r"(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)[fF]$"), float),
    "double": (re.compile(r"(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)$"), float),
}
_JAVASCRIPT_NUMBERS = {
    "integer": (_INTEGER, int),
    "Bigint": (re.compile(r"(-?\d+)n$"), int),
    "float": (re.compile(r"(-?\d+(?:\.\d+)?)$"), float),
}
_BOOLEANS = {"true": True, "false": False}


def read_java(text: str, kind: str, item_kind: str | None = None) -> Any:
    """The value of a Java literal of type `kind`, or `text` itself."""
    match kind:
        case "boolean":
            return _BOOLEANS.get(text, text)
        case "Array":
            return _java_array(text, item_kind or "any")
        case "ArrayList":
            return _java_list(text, item_kind or "any")
        case "HashMap":
            return _java_map(text)
        case _:
            return _read_number(text, *_JAVA_NUMBERS[kind]) if kind in _JAVA_NUMBERS else text


def read_javascript(text: str, kind: str, item_kind: str | None = None) -> Any:
    """The value of a JavaScript literal of type `kind`, or `text` itself."""
    match kind:
        case "Boolean":
            return _BOOLEANS.get(text, text)
        case "String":
            return text[1:-1] if _is_quoted(text, "\"'") else text
        case "array":
            return _javascript_array(text.strip(), item_kind)
        case "dict":
            return _javascript_object(text.strip())
        case _:
            return _read_number(text, *_JAVASCRIPT_NUMBERS[kind]) if kind in _JAVASCRIPT_NUMBERS else text


def _read_number(text: str, pattern: re.Pattern[str], number: Callable[[str], Any]) -> Any:
    found = pattern.match(text)
    try:
        return number(found.group(1)) if found else text
    except ValueError:  # more digits than Python converts
        return text


def _is_quoted(text: str, quotes: str) -> bool:
    return any(text.startswith(quote) and text.endswith(quote) for quote in quotes)


def _guess(text: str, quotes: str) -> Any:
    """The value of a literal of unknown type: a boolean, a quoted string, a number, else the text."""
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _is_quoted(text, quotes):
        return text[1:-1]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


# ── Java ──────────────────────────────────────────────────────────────────────────────────────────

_ARRAY = re.compile(r"new\s+\w+\[\]\s*\{(.*?)\}")
_LIST_OF = re.compile(r"new\s+ArrayList<\w*>\(Arrays\.asList\((.+?)\)\)")
_LIST_WITH = re.compile(r"new\s+ArrayList<\w*>\(\)\s*\{\{(?:\s*+(.+?)|\s+)\}\}", re.DOTALL)
_NEW_LIST = re.compile(r"new\s+ArrayList<\w*>\(\)")
_ADD = re.compile(r"add\((.+?)\)")
_MAP_WITH = re.compile(r"new\s+HashMap<.*?>\s*\(\)\s*\{([^}]*)\}", re.DOTALL)
_NEW_MAP = re.compile(r"new\s+HashMap<.*?>\s*\(\)")
_PUT = re.compile(r'put\("(.*?)",\s*(.*?)\)')


def _java_array(text: str, item_kind: str) -> Any:
    found = _search(_ARRAY, text)
    if not found:
        return text
    return [read_java(item.strip(), item_kind) for item in found.group(1).split(",") if item.strip()]


def _java_list(text: str, item_kind: str) -> Any:
    if found := _search(_LIST_OF, text):
        items = found.group(1).split(",")
    elif found := _search(_LIST_WITH, text):
        items = _ADD.findall(found.group(1) or "")
    elif _search(_NEW_LIST, text):
        items = []
    else:
        return text
    if item_kind in ("char", "String"):
        return [item.strip()[1:-1] for item in items]
    return [read_java(item.strip(), item_kind) for item in items]


def _java_map(text: str) -> Any:
    if found := _search(_MAP_WITH, text):
        return {key: _guess_java(value.strip()) for key, value in _PUT.findall(found.group(1))}
    return {} if _search(_NEW_MAP, text) else text


def _guess_java(text: str) -> Any:
    for kind in ("long", "float"):
        value = read_java(text, kind)
        if type(value) is not str:
            return value
    return _guess(text, '"')


def _search(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    return pattern.search(text) if len(text) <= MAX_LENGTH else None


# ── JavaScript ────────────────────────────────────────────────────────────────────────────────────

# A row ends at the first bracket behind which a further row or the end can stand. Atomic groups keep a matrix
# that was cut off from being tried in exponentially many ways; they change no match.
_ROWS_IN_BRACKETS = r"\[\s*\[(?>.*?\]\s*(?=,\s*\[|\]))(?>,\s*\[.*?\]\s*(?=,\s*\[|\]))*\]"
_ROWS_IN_CALL = r"\bnew\s+Array\(\s*\[(?>.*?\]\s*(?=,\s*\[|\)))(?>,\s*\[.*?\]\s*(?=,\s*\[|\)))*\)"
_MATRIX = re.compile(f"{_ROWS_IN_BRACKETS}|{_ROWS_IN_CALL}")
_ROW = re.compile(r"\[(.*?)\]")
_ITEMS = re.compile(r"\[(.*?)\]|\bnew\s+Array\((.*?)\)")
_OBJECT = re.compile(r"\{(.*?)\}")
_PAIR = re.compile(r"([^:]+):\s*(.*?)(?:,\s*(?=[^,]+:)|$)")


def _javascript_array(text: str, item_kind: str | None) -> Any:
    if len(text) > MAX_LENGTH:
        return text
    if matrix := _MATRIX.match(text):
        first, *others = _ROW.findall(matrix.group())
        rows = [first.strip().removeprefix("["), *others]
        return [[_guess_javascript(item) for item in row.split(",")] for row in rows]
    found = _ITEMS.match(text)
    if not found:
        return text
    items = (found.group(1) or found.group(2) or "").strip()
    if not items:
        return []
    if item_kind is None:
        return [_guess_javascript(item) for item in items.split(",")]
    return [read_javascript(item.strip(), item_kind) for item in items.split(",")]


def _javascript_object(text: str) -> Any:
    found = _OBJECT.match(text) if len(text) <= MAX_LENGTH else None
    if not found:
        return text
    pairs = _PAIR.findall(found.group(1))
    return {key.strip().strip("'\""): _object_value(value.strip()) for key, value in pairs}


def _object_value(text: str) -> Any:
    if text.startswith("[") and text.endswith("]"):
        return _javascript_array(text, None)
    if text.startswith("{") and text.endswith("}"):
        return _javascript_object(text)
    return _guess_javascript(text.strip("'\""))


def _guess_javascript(text: str) -> Any:
    return _guess(text.strip(), "\"'")
