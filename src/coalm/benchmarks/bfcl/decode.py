"""Text to calls, by the rules of the board's decoder for models that are prompted in text.

    [f(a=1), g.h(b='x')]     ->     [{"f": {"a": 1}}, {"g.h": {"b": "x"}}]

It reads Python's grammar and is stricter than people expect in some places (a language after a fence, prose,
`[]` are errors), laxer in others: names are their own text, positional arguments are dropped, `+`, `~` and
`not` negate like `-`. The official decoder evaluates binary operations with `eval`; here those on literals are
carried out, and any other is an error.
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable
from typing import Any


class DecodeError(ValueError):
    """Text that holds no calls; `kind` is one of syntax, not_calls, bad_value, too_deep, and needs_eval (an
    operation that only running it could carry out, or one that is too large).
    """

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def decode(text: str) -> list[dict[str, dict[str | None, Any]]]:
    """The calls in `text`, each as `{function: {parameter: value}}`.

    Values may be anything that Python has a literal for, tuples and bytes included. A call among the values is
    `{function: {…}}` itself, or its text where it has no named arguments.

    Raises:
        DecodeError: the text is something else.
    """
    try:
        return [_call(node) for node in _call_nodes(_trim(text))]
    except RecursionError:
        raise DecodeError("too_deep") from None


def _trim(text: str) -> str:
    """Without fence marks, brackets and single quotes at either end; the brackets may be unbalanced."""
    return text.strip("`\n ").strip("[]'")


def _call_nodes(source: str) -> list[ast.Call]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in a model's string is its own business
            body = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, MemoryError):
        raise DecodeError("syntax") from None
    nodes = body.elts if isinstance(body, ast.Tuple | ast.List | ast.Set) else [body]
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    if len(calls) != len(nodes):
        raise DecodeError("not_calls")
    return calls


def _call(node: ast.Call) -> dict[str, dict[str | None, Any]]:
    # `**more` has no name: it stands under None, which no function has for a parameter
    arguments = {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    return {_dotted_name(node.func): arguments}


def _dotted_name(node: ast.expr) -> str:
    """`a.b.c`; what is called or indexed in between is left out, all of it where there is no name."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        parts.append(node.id)
    return ".".join(reversed(parts))


def _value(node: ast.expr | None) -> Any:
    match node:
        case ast.Constant(value=value):
            return "..." if value is Ellipsis else value
        case ast.UnaryOp(operand=ast.Constant(value=int() | float() | complex() as value)):
            return -value
        case ast.Name(id=name):
            return name
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_value(item) for item in items)
        case ast.Dict(keys=keys, values=values):
            return _dict([(_value(key), _value(value)) for key, value in zip(keys, values, strict=True)])
        case ast.Call(keywords=[]):
            return ast.unparse(node)
        case ast.Subscript(value=value, slice=index):
            return f"{ast.unparse(value)}[{ast.unparse(index)}]"
        case ast.Call():
            return _call(node)
        case ast.BinOp():
            return _fold(node)
        case _:
            raise DecodeError("bad_value")


def _dict(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    try:
        return dict(pairs)
    except TypeError:  # a list for a key
        raise DecodeError("bad_value") from None


# ── operations on literals ────────────────────────────────────────────────────────────────────────

MAX_SIZE = 10_000
"""Bits of an integer, items of a sequence, beyond which an operation is not carried out."""

_SEQUENCES = (str, bytes, list, tuple)

_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
}
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}


def _fold(node: ast.expr) -> Any:
    """The value of an expression of literals, as Python has it."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=items):
            return [_fold(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_fold(item) for item in items)
        case ast.UnaryOp(op=op, operand=operand):
            return _apply(_UNARY[type(op)], _fold(operand))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _apply_binary(type(op), _fold(left), _fold(right))
        case _:
            raise DecodeError("needs_eval")


def _apply_binary(op: type[ast.operator], left: Any, right: Any) -> Any:
    if _size_after(op, left, right) > MAX_SIZE or (op is ast.Mod and _pads(left)):
        raise DecodeError("needs_eval")
    return _apply(_BINARY[op], left, right)


def _apply(function: Callable[..., Any], *operands: Any) -> Any:
    try:
        return function(*operands)
    except (ArithmeticError, TypeError, ValueError):
        raise DecodeError("bad_value") from None


def _size_after(op: type[ast.operator], left: Any, right: Any) -> int:
    """An upper bound of the size of the result, before it takes any time or memory."""
    if op is ast.Pow and isinstance(left, int) and isinstance(right, int):
        return _size(left) * abs(right)
    if op is ast.LShift and isinstance(right, int):
        return _size(left) + max(right, 0)
    if op is ast.Mult and isinstance(left, int) and isinstance(right, _SEQUENCES):
        return max(left, 0) * _size(right)
    if op is ast.Mult and isinstance(left, _SEQUENCES) and isinstance(right, int):
        return _size(left) * max(right, 0)
    return _size(left) + _size(right)


def _size(value: Any) -> int:
    if isinstance(value, int):
        return value.bit_length()
    if isinstance(value, list | tuple):
        return len(value) + sum(map(_size, value))
    return len(value) if isinstance(value, str | bytes) else 1


def _pads(template: Any) -> bool:
    """Whether a %-template asks for a width, which could be any."""
    return isinstance(template, bytes) or (
        isinstance(template, str) and re.search(r"%[^a-zA-Z%]*[\d*]", template) is not None
    )


# ── calls as JSON ─────────────────────────────────────────────────────────────────────────────────

MAX_BITS = 8192
"""Of an integer that is written as a number: JSON readers refuse more than some thousand digits."""


def pack(value: Any) -> Any:
    """Decoded calls as plain JSON: a tuple becomes `{"__tuple__": […]}`, what JSON has no form for its text.

    Raises:
        RecursionError: nested too deep.
    """
    if isinstance(value, str):
        return _printable(value)
    if isinstance(value, dict):
        keys = (_printable(key if isinstance(key, str) else repr(key)) for key in value)
        return dict(zip(keys, map(pack, value.values()), strict=True))
    if isinstance(value, list):
        return [pack(item) for item in value]
    if isinstance(value, tuple):
        return {"__tuple__": [pack(item) for item in value]}
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        return hex(value)
    return value if value is None or isinstance(value, int | float) else repr(value)


def _printable(text: str) -> str:
    """Half a surrogate pair, which UTF-8 cannot hold, as its escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def unpack(value: Any) -> Any:
    """What was packed, with its tuples; None where it is nested too deep to be read."""
    try:
        return _unpack(value)
    except RecursionError:
        return None


def _unpack(value: Any) -> Any:
    if isinstance(value, dict):
        if len(value) == 1 and isinstance(value.get("__tuple__"), list):
            return tuple(_unpack(item) for item in value["__tuple__"])
        return {key: _unpack(item) for key, item in value.items()}
    return [_unpack(item) for item in value] if isinstance(value, list) else value
