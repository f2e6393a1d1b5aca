"""Java and JavaScript text against rules and every result of the official decoder."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalm.benchmarks.bfcl.decode import DecodeError
from coalm.benchmarks.bfcl.decode_source import _parser, decode_source
from coalm.errors import MissingExtra


@pytest.fixture
def grammars() -> None:
    for name in ("tree_sitter", "tree_sitter_java", "tree_sitter_javascript"):
        pytest.importorskip(name, reason=f"{name} is not installed: Java and JavaScript text is not decoded")


@pytest.mark.usefixtures("grammars")
@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ('[Shed.open(door=front, note="a b")]', [{"Shed.open": {"door": "front", "note": "a b"}}]),
        ("Shed.open(count=3L, rate = 2.5f)", [{"Shed.open": {"count": "3L", "rate": "2.5f"}}]),
        ("```\nShed.open(key='a')\n```", [{"Shed.open": {"key": "a"}}]),
        ("Shed.open(keys=new int[]{1, 2})", [{"Shed.open": {"keys": "new int[]{1,2}"}}]),
        ("Shed.open(a=new ArrayList<>() {{ add(1); }})", [{"Shed.open": {"a": "new ArrayList<>()"}}]),
        ('Shed.open(a=new Key(1, "x"))', [{"Shed.open": {"a": 'new Key(1, "x")'}}]),
        ("Shed.open(front)", [{"Shed.open": {None: "front"}}]),
        ("", {}),
        ("Shed.open(a=1, a=2)", "bad_value"),
        ("Shed.open(a=new int[2])", "bad_value"),
        ("Open it: Shed.open(a=1)", "syntax"),
        ("Shed.open(a='\ud800')", "syntax"),
    ],
)
def test_java(text: str, calls: Any) -> None:
    assert outcome(text, "Java") == calls


@pytest.mark.usefixtures("grammars")
@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("[open(wide=true, note='a b')]", [{"open": {"wide": "true", "note": "a b"}}]),
        (
            "shed.open(sizes=[1, 2], colour={red: 7})",
            [{"shed.open": {"sizes": "[1, 2]", "colour": "{red: 7}"}}],
        ),
        ("open(note=`a`, é='é')", [{"open": {"note": "`a`", "é": "é"}}]),
        ("open(door)", [{"open": {None: "door"}}]),
        ("", None),
        ("hello", None),
        ("open(a=1, a=2)", "bad_value"),
        ("open(a=1", "syntax"),
        ("open(a: 1)", "syntax"),
    ],
)
def test_javascript(text: str, calls: Any) -> None:
    assert outcome(text, "JavaScript") == calls


def outcome(text: str, language: str) -> Any:
    """The calls, or the kind of error."""
    try:
        return decode_source(text, language)
    except DecodeError as error:
        return error.kind


@pytest.mark.usefixtures("grammars")
def test_nesting_without_end() -> None:
    value = f"{'(' * 50_000}1{')' * 50_000}"
    assert outcome(f"Shed.open(a={value})", "Java") == "too_deep"
    assert outcome(f"Shed.open(a={value})", "JavaScript") == [{"Shed.open": {"a": value}}]
    assert outcome(f"Shed.open(a={value[:-1]}", "JavaScript") == "syntax"


@pytest.mark.usefixtures("grammars")
@given(st.text() | st.lists(st.sampled_from([*"f(x=1,'a')[]{};\n\"\ud800é", "new A"])).map("".join))
def test_no_text_raises_anything_else(text: str) -> None:
    for language in ("Java", "JavaScript"):
        outcome(text, language)


def test_what_is_said_without_tree_sitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tree_sitter", None)
    _parser.cache_clear()
    with pytest.raises(MissingExtra, match=r"coalm\[bfcl\]"):
        decode_source("f(x=1)", "Java")


@pytest.mark.corpora
@pytest.mark.usefixtures("grammars")
def test_every_official_result(shared: Path) -> None:
    """All Java and JavaScript rows of the oracle: the same calls, or no calls."""
    wrong, checked = [], 0
    with gzip.open(shared / "oracles" / "bfcl_v3_decode.jsonl.gz", "rt", encoding="utf-8") as rows:
        for row in map(json.loads, rows):
            if row["language"] == "Python":
                continue
            checked += 1
            try:
                found, failed = decode_source(row["raw"], row["language"]), False
            except DecodeError:
                found, failed = None, True
            if (found, failed) != (row["decoded"], row["error"] is not None):
                wrong.append((row["raw"], found))
    assert checked == 488
    assert wrong == []
