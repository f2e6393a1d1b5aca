"""Java and JavaScript values, as the official checker reads them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalm.benchmarks.bfcl import literals
from coalm.benchmarks.bfcl.literals import MAX_LENGTH, read_java, read_javascript


@pytest.mark.parametrize(
    ("text", "kind", "item_kind", "value"),
    [
        ("7", "integer", None, 7),
        ("-7", "byte", None, -7),
        ("7.0", "integer", None, "7.0"),
        (" 7", "integer", None, " 7"),
        ("7L", "long", None, 7),
        ("7", "long", None, "7"),
        ("2.5f", "float", None, 2.5),
        ("2.5", "float", None, "2.5"),
        ("1e3", "double", None, 1000.0),
        ("2.5f", "double", None, "2.5f"),
        pytest.param("9" * 5000, "integer", None, "9" * 5000, id="digits"),
        ("true", "boolean", None, True),
        ("True", "boolean", None, "True"),
        ("'a'", "char", None, "'a'"),
        ('"a"', "String", None, '"a"'),
        ("anything()", "any", None, "anything()"),
        ("new int[]{1, 2}", "Array", "integer", [1, 2]),
        ("new int[] { }", "Array", "integer", []),
        ('new String[]{"a", "b"}', "Array", "String", ['"a"', '"b"']),
        ("{1, 2}", "Array", "integer", "{1, 2}"),
        ('new ArrayList<String>(Arrays.asList("a", "b, c"))', "ArrayList", "String", ["a", "", ""]),
        ("new ArrayList<>(Arrays.asList(1L, 2))", "ArrayList", "long", [1, "2"]),
        ('new ArrayList<>() {{ add("a"); add("b"); }}', "ArrayList", "String", ["a", "b"]),
        ("new ArrayList<>() {{ add(1);\n add(2); }}", "ArrayList", "integer", [1, 2]),
        ("new ArrayList<>() {{ }}", "ArrayList", "integer", []),
        ("new ArrayList<Integer>()", "ArrayList", "integer", []),
        ("List.of(1)", "ArrayList", "integer", "List.of(1)"),
        ("new HashMap<>()", "HashMap", None, {}),
        ("new HashMap<String, Object>() {{ }}", "HashMap", None, {}),
        (
            'new HashMap<String, Object>() {{ put("a", 1); put("b", "x"); put("c", true); put("d", 2L); }}',
            "HashMap",
            None,
            {"a": 1, "b": "x", "c": True, "d": 2},
        ),
        ('new HashMap<>() {{ put("a", 1.5f); put("b", user); }}', "HashMap", None, {"a": 1.5, "b": "user"}),
        ("options", "HashMap", None, "options"),
    ],
)
def test_java(text: str, kind: str, item_kind: str | None, value: Any) -> None:
    found = read_java(text, kind, item_kind)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "kind", "item_kind", "value"),
    [
        ("7", "integer", None, 7),
        ("7.5", "integer", None, "7.5"),
        ("7", "float", None, 7.0),
        ("7n", "Bigint", None, 7),
        ("false", "Boolean", None, False),
        ("'a'", "String", None, "a"),
        ('"a"', "String", None, "a"),
        ("`a`", "String", None, "`a`"),
        ("a", "any", None, "a"),
        ("[1, 2]", "array", "integer", [1, 2]),
        ("['a', \"b\"]", "array", "String", ["a", "b"]),
        ("[]", "array", "String", []),
        ("new Array(1.5, 2)", "array", "float", [1.5, 2.0]),
        (" [[1, 2], [3, x]] ", "array", "array", [[1, 2], [3, "x"]]),
        ("new Array([1], ['b'])", "array", "array", [[1], ["b"]]),
        ("items", "array", "String", "items"),
        ("[1,\n2]", "array", "integer", "[1,\n2]"),
        ("{}", "dict", None, {}),
        ("{a: 1, 'b': 'x', \"c\": true}", "dict", None, {"a": 1, "b": "x", "c": True}),
        ("{a: [1, 'x'], b: 2.5}", "dict", None, {"a": [1, "x"], "b": 2.5}),
        ("{a: f(1, 2), b: 3}", "dict", None, {"a": "f(1, 2)", "b": 3}),
        ("{a: {b: 1}}", "dict", None, {"a": "{b: 1"}),
        ("options", "dict", None, "options"),
    ],
)
def test_javascript(text: str, kind: str, item_kind: str | None, value: Any) -> None:
    found = read_javascript(text, kind, item_kind)
    assert (found, type(found)) == (value, type(value))


@given(st.text(alphabet="[]1, \n", max_size=24).map("[[".__add__))
def test_atomic_groups_change_no_match(text: str) -> None:
    """The matrix pattern against the same without them, which takes exponential time on long text."""
    plain = re.compile(r"\[\s*\[.*?\]\s*(,\s*\[.*?\]\s*)*\]")
    found, wanted = literals._MATRIX.match(text), plain.match(text)
    assert (found and found.group()) == (wanted and wanted.group())


@pytest.mark.parametrize(
    "text",
    [
        "[[" + "1],[" * 900,
        "new Array([" + "1],[" * 900,
        "new ArrayList<>() {{" + " " * 3900,
        "new HashMap<>() {" + " " * 3900,
        "{" + "a" * 3900 + "}",
        "[" * 1_000_000,
    ],
    ids=["rows", "call", "list", "map", "object", "brackets"],
)
def test_text_that_was_cut_off_takes_no_time(text: str) -> None:
    for kind in ("ArrayList", "HashMap", "Array"):
        read_java(text, kind, "String")
    for kind in ("array", "dict"):
        read_javascript(text, kind, "String")
    assert len(text) <= MAX_LENGTH or read_javascript(text, "array", "String") == text
