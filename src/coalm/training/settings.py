"""Frozen dataclasses as YAML and back: checked by their type hints, explained by the text under each field."""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from coalm.errors import did_you_mean


def change(values: dict[str, Any], setting: str, faults: list[str]) -> None:
    """Put `a.b=value` into nested `values`; the value is YAML."""
    key, equals, text = setting.partition("=")
    if not equals:
        faults.append(f"`--set {setting}`: write key=value")
        return
    *parents, last = key.strip().split(".")
    for parent in parents:
        if not isinstance(values.get(parent), dict):
            values[parent] = {}
        values = values[parent]
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        faults.append(f"`--set {setting}`: the value is not valid YAML")


def build(kind: Any, values: Mapping[str, Any], faults: list[str], prefix: str = "") -> Any:
    """An instance of the dataclass `kind`; faults are added to the list, defaults stand in for wrong values."""
    hints = get_type_hints(kind)
    arguments = {}
    for key, value in values.items():
        if key not in hints:
            faults.append(f"`{prefix}{key}` is no key: {did_you_mean(str(key), hints)}")
            continue
        try:
            arguments[key] = _convert(hints[key], value, f"{prefix}{key}.", faults)
        except ValueError as error:
            faults.append(f"`{prefix}{key}`: expected {error}, found {value!r}")
    return kind(**arguments)


def _convert(hint: Any, value: Any, prefix: str, faults: list[str]) -> Any:
    """`value` as `hint` says. Raises ValueError with what was expected."""
    if get_origin(hint) in (Union, types.UnionType):
        return _convert_union(get_args(hint), value, prefix, faults)
    if get_origin(hint) is Literal:
        if value in get_args(hint):
            return value
        raise ValueError(f"one of {', '.join(get_args(hint))}")
    if is_dataclass(hint):
        if isinstance(value, Mapping):
            return build(hint, value, faults, prefix)
        raise ValueError("keys and values")
    return _convert_plain(hint, value)


def _convert_union(options: Sequence[Any], value: Any, prefix: str, faults: list[str]) -> Any:
    if value is None and type(None) in options:
        return None
    expected = []
    for option in options:
        if option is type(None):
            continue
        try:
            return _convert(option, value, prefix, faults)
        except ValueError as error:
            expected.append(str(error))
    raise ValueError(" or ".join(expected))


def _convert_plain(hint: Any, value: Any) -> Any:
    if hint is bool and isinstance(value, bool):
        return value
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint is float and not isinstance(value, bool):
        try:
            return float(value)  # YAML reads 1e-4 as text
        except (TypeError, ValueError):
            pass
    if hint is str and isinstance(value, str):
        return value
    if get_origin(hint) is tuple and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    names = {bool: "on or off", int: "a whole number", float: "a number", str: "text"}
    raise ValueError(names.get(hint, "a list of texts"))


def write(value: Any) -> str:
    """A dataclass as YAML that `build` reads as the same; above each key its help, as a comment."""
    return "\n".join(_lines(value, "")) + "\n"


def _lines(value: Any, indent: str) -> Iterator[str]:
    help = field_help(type(value))
    for item in fields(value):
        yield from textwrap.wrap(
            help[item.name], 100, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
        )
        content = getattr(value, item.name)
        if is_dataclass(content):
            yield f"{indent}{item.name}:"
            yield from _lines(content, indent + "  ")
        else:
            yield f"{indent}{item.name}: {_scalar(content)}"


def _scalar(value: Any) -> str:
    plain = list(value) if isinstance(value, tuple) else value
    return str(yaml.safe_dump(plain, default_flow_style=True)).removesuffix("...\n").strip()


def field_help(kind: type) -> dict[str, str]:
    """Field name -> the text under it in the class's source."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    help = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                help[name] = " ".join(text.split())
    return help
