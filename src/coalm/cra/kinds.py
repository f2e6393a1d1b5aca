"""Whether a value is of the kind that a parameter's schema asks for.

SGD writes everything as text, so that its schema says `string` of a number of seats and of a date; what kind of
text is meant shows in the listed values, and for dates, times and counts in the parameter's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from coalm.cra.support import ANY, is_time, read_date

_NATIVE: dict[str, type | tuple[type, ...]] = {
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": (list, tuple),
    "object": Mapping,
    "null": type(None),
}
_FLAGS = ({"true", "false"}, {"yes", "no"})
_SHOWN = 6


def find_fault(name: str, value: Any, schema: Mapping[str, Any]) -> str | None:
    """Why the value is not what the parameter `name` takes, or None where it is."""
    types = schema.get("type", "string")
    accepted = [types] if isinstance(types, str) else list(types)
    if "enum" in schema:
        return _fault_of_choice(value, schema["enum"])
    if any(_is_native(value, kind) for kind in accepted if kind in _NATIVE):
        return _fault_inside(value, schema)
    if "string" not in accepted:
        known = [kind for kind in accepted if kind in _NATIVE]
        return f"{name} takes {' or '.join(known)}, not {_kind(value)}" if known else None
    return _fault_of_text(name, value, schema)


def _is_native(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _NATIVE[kind])


def _fault_inside(value: Any, schema: Mapping[str, Any]) -> str | None:
    """The first fault among the items of a list or the properties of an object."""
    parts: Sequence[tuple[str, Any, Any]] = ()
    if isinstance(value, Mapping):
        properties = schema.get("properties") or {}
        parts = [(name, part, properties.get(name)) for name, part in value.items()]
    elif isinstance(value, list | tuple):
        parts = [("item", part, schema.get("items")) for part in value]
    return next((why for name, part, inner in parts if inner and (why := find_fault(name, part, inner))), None)


def _fault_of_choice(value: Any, choices: Sequence[Any]) -> str | None:
    """A listed value, also a number or truth value for its text: `2` for `'2'`, but not `'two'`."""
    if value in choices and not (isinstance(value, bool) and not any(choice is value for choice in choices)):
        return None
    texts = {str(choice) for choice in choices}
    if isinstance(value, bool | int | float) and str(value) in texts:
        return None
    wanted = {text.casefold() for text in texts} - {ANY}
    if wanted in _FLAGS:
        return f"takes {' or '.join(sorted(texts - {ANY}, reverse=True))}, not {value!r}"
    if wanted and all(text.isdecimal() for text in wanted):
        return f"takes a number from {min(map(int, wanted))} to {max(map(int, wanted))}, not {value!r}"
    listed = [str(choice) for choice in choices]
    more = f" … ({len(listed)} in all)" if len(listed) > _SHOWN else ""
    return f"takes one of {', '.join(listed[:_SHOWN])}{more}, not {value!r}"


def _fault_of_text(name: str, value: Any, schema: Mapping[str, Any]) -> str | None:
    kind = schema.get("format") or _kind_by_name(name)
    if value == ANY and schema.get("default") == ANY:
        return None
    if kind == "date":
        return None if read_date(value) else f"takes a date like 2019-03-01, not {value!r}"
    if kind == "time":
        return None if is_time(value) else f"takes a time like 17:30, not {value!r}"
    if kind == "integer":
        return None if re.fullmatch(r"\d+", _text(value)) else f"takes a whole number, not {value!r}"
    if kind == "number":
        return None if re.fullmatch(r"\d+(\.\d+)?", _text(value)) else f"takes a number, not {value!r}"
    if not isinstance(value, str):
        return f"takes text, not {_kind(value)}"
    return None if value.strip() else "takes text, not an empty one"


def _kind_by_name(name: str) -> str:
    """`check_in_date`, `departure_time`, `number_of_days`, `amount`."""
    if found := re.search(r"(?:^|_)(date|time)$", name):
        return found[1]
    if name == "amount":
        return "number"
    return "integer" if name.startswith("number_of_") else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the truth value {value}"
    if isinstance(value, int | float):
        return f"the number {value}"
    return "text" if isinstance(value, str) else "an object" if isinstance(value, Mapping) else "a list"
