"""Java and JavaScript text to calls, by the rules of the board's decoder; needs tree-sitter.

    [Shed.open(count=3L, door=front)]     ->     [{"Shed.open": {"count": "3L", "door": "front"}}]

Arguments are assignments, and their values stay source text, which the checker reads (`literals.py`). Text that
is no program of its language is refused; of several calls the first is taken. Where there is none, the board's
decoder gives an empty dict in Java and nothing in JavaScript; neither is a list of calls, so that is kept.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Protocol

from coalm.benchmarks.bfcl.decode import DecodeError
from coalm.errors import MissingExtra

Arguments = dict[str | None, str]
"""Parameter -> source text; an argument without a name stands under None."""


class Node(Protocol):
    """What is used of tree-sitter's node."""

    type: str
    text: bytes
    start_byte: int
    end_byte: int
    children: Sequence[Node]
    is_error: bool
    has_error: bool

    def child_by_field_name(self, name: str) -> Node | None: ...


def decode_source(text: str, language: str) -> Any:
    """The first call in `text`, as a list of one `{function: {parameter: source text}}`.

    Raises:
        DecodeError: not of that language, an argument given twice, or a value that is not read.
        MissingExtra: tree-sitter is not installed.
    """
    source = _within_brackets(text)
    try:
        root = _parser(language).parse(source.encode()).root_node
        if _holds_error(root):
            raise DecodeError("syntax")
        return _java_calls(root, source) if language == "Java" else _javascript_calls(root)
    except UnicodeEncodeError:
        raise DecodeError("syntax") from None
    except RecursionError:
        raise DecodeError("too_deep") from None


def _within_brackets(text: str) -> str:
    """Text without fence marks and without one bracket at either end, which need not be there."""
    return text.strip("`\n ").removeprefix("[").removesuffix("]")


@cache
def _parser(language: str) -> Any:
    grammar = {"Java": "tree_sitter_java", "JavaScript": "tree_sitter_javascript"}[language]
    try:
        tree_sitter, module = importlib.import_module("tree_sitter"), importlib.import_module(grammar)
    except ImportError as error:
        raise MissingExtra(str(error.name), extra="bfcl") from None
    return tree_sitter.Parser(tree_sitter.Language(module.language()))


def _holds_error(root: Node) -> bool:
    """Whether the parser had to skip something; what it had to add, such as a semicolon, is no error."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.is_error:
            return True
        waiting += [child for child in node.children if child.has_error]
    return False


def _collect(pairs: Iterable[tuple[str | None, str]]) -> Arguments:
    arguments: Arguments = {}
    for name, value in pairs:
        if name in arguments:
            raise DecodeError("bad_value")
        arguments[name] = value
    return arguments


# ── JavaScript ────────────────────────────────────────────────────────────────────────────────────


def _javascript_calls(root: Node) -> list[dict[str, Arguments]] | None:
    for statement in root.children:
        for node in statement.children if statement.type == "expression_statement" else ():
            if node.type == "call_expression":
                function, arguments = node.children[0], node.children[1]
                return [{function.text.decode(): _collect(_javascript_arguments(arguments))}]
    return None


def _javascript_arguments(node: Node) -> Iterable[tuple[str | None, str]]:
    for child in node.children:
        if child.type == "assignment_expression":
            value = child.children[2].text.decode()
            quoted = any(value.startswith(quote) and value.endswith(quote) for quote in "\"'")
            yield child.children[0].text.decode(), value[1:-1] if quoted else value
        elif child.type in ("identifier", "true"):
            yield None, child.text.decode()


# ── Java ──────────────────────────────────────────────────────────────────────────────────────────

WHOLE = (
    "string_literal",
    "character_literal",
    "identifier",
    "class_literal",
    "type_identifier",
    "method_invocation",
)
"""Nodes whose text is taken as it stands."""


def _java_calls(root: Node, source: str) -> list[dict[str, Arguments]] | dict[str, Arguments]:
    call = _first_invocation(root)
    if call is None:
        return {}
    name = _text(call.child_by_field_name("name"), source)
    owner = call.child_by_field_name("object")
    arguments = call.child_by_field_name("arguments")
    full_name = f"{_text(owner, source)}.{name}" if owner else name
    return [{full_name: _collect(_java_arguments(arguments, source))}]


def _first_invocation(node: Node) -> Node | None:
    if node.type == "method_invocation":
        return node
    return next(filter(None, map(_first_invocation, node.children)), None)


def _java_arguments(node: Node | None, source: str) -> Iterable[tuple[str | None, str]]:
    for child in node.children if node else ():
        if child.type == "assignment_expression":
            value = child.children[2]
            text = _java_value(value, source)
            quoted = value.type in ("string_literal", "character_literal")
            yield _text(child.children[0], source), text[1:-1] if quoted else text
        elif child.type in ("identifier", "class_literal"):
            yield None, _java_value(child, source)


def _java_value(node: Node | None, source: str) -> str:
    """A value's text without the spaces between tokens, and without the body of a new object."""
    if node is None:
        raise DecodeError("bad_value")
    if node.type == "array_creation_expression":
        items, values = node.child_by_field_name("type"), node.child_by_field_name("value")
        return f"new {_java_value(items, source)}[]{_java_value(values, source)}"
    if node.type == "object_creation_expression":
        arguments = node.child_by_field_name("arguments")
        inner = (
            [child for child in arguments.children if child.type not in (",", "(", ")")] if arguments else []
        )
        values_text = ", ".join(_java_value(child, source) for child in inner)
        return f"new {_java_value(node.child_by_field_name('type'), source)}({values_text})"
    if node.type in WHOLE or not node.children:
        return _text(node, source)
    return "".join(_java_value(child, source) for child in node.children)


def _text(node: Node | None, source: str) -> str:
    """A node's text. The board cuts characters where the parser counts bytes: behind an accent it is off."""
    return source[node.start_byte : node.end_byte] if node else ""
