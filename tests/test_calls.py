"""Function calls as text: exact round trips, strict reading, and no text that makes the reader misbehave."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalm.calls import (
    CallSyntaxError,
    is_writable_name,
    read_calls,
    read_json_calls,
    write_call,
    write_calls,
    write_json_calls,
)
from coalm.dialogue import ToolCall

names = st.text(min_size=1, max_size=12).filter(is_writable_name)
finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers() | finite | st.text(max_size=20)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def call_lists(value: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[ToolCall, ...]]:
    one = st.builds(ToolCall, names, st.dictionaries(names, value, max_size=4))
    return st.lists(one, max_size=3).map(tuple)


@given(call_lists(values))
def test_what_was_written_reads_back(calls: tuple[ToolCall, ...]) -> None:
    assert read_calls(write_calls(calls)) == calls


@given(call_lists(values).filter(bool))
def test_calls_without_a_list_read_back(calls: tuple[ToolCall, ...]) -> None:
    text = ", ".join(map(write_call, calls))
    assert read_calls(text) == calls


@given(call_lists(json_values))
def test_json_reads_back(calls: tuple[ToolCall, ...]) -> None:
    assert read_json_calls(write_json_calls(calls)) == calls


@given(st.text())
def test_no_text_raises_anything_but_its_own_error(text: str) -> None:
    with contextlib.suppress(CallSyntaxError):
        read_calls(text)


@given(st.text(alphabet="f(a='b', n=2)[]{}\"\\`\n:", max_size=40))
def test_no_scrap_of_calls_raises_anything_but_its_own_error(text: str) -> None:
    try:
        calls = read_calls(text)
    except CallSyntaxError:
        return
    assert read_calls(write_calls(calls)) == calls


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("FindBus(to='Davis', n=2)", [ToolCall("FindBus", {"to": "Davis", "n": 2})]),
        ("[f(), g(x=-1.5)]", [ToolCall("f"), ToolCall("g", {"x": -1.5})]),
        ("f(a='x')\ng(b='y')", [ToolCall("f", {"a": "x"}), ToolCall("g", {"b": "y"})]),
        ('f(a="it\'s", b="say \\"hi\\"")', [ToolCall("f", {"a": "it's", "b": 'say "hi"'})]),
        ("f(a='x, y=(1)', b=[1, {'k': (2,)}],)", [ToolCall("f", {"a": "x, y=(1)", "b": [1, {"k": (2,)}]})]),
        (
            '[Market Trends API(from="US", class=1)]',
            [ToolCall("Market Trends API", {"from": "US", "class": 1})],
        ),
        ("math.factorial(number=5)", [ToolCall("math.factorial", {"number": 5})]),
        ('[{"name": "a.b-c", "arguments": {"x y": null}}]', [ToolCall("a.b-c", {"x y": None})]),
        ('{"name": "f", "arguments": {}}', [ToolCall("f")]),
        ('```json\n[{"name": "f", "arguments": {}}]\n```', [ToolCall("f")]),
        ("```\nf(a=True)\n```", [ToolCall("f", {"a": True})]),
        ("Here you are:\n```f(a='```')```", [ToolCall("f", {"a": "```"})]),
        ('```\n[{"name": "f", "arguments": {}}]', [ToolCall("f")]),
        ("```\n[]\n```", []),
        ("[]", []),
    ],
)
def test_reads(text: str, calls: list[ToolCall]) -> None:
    assert read_calls(text) == tuple(calls)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "empty"),
        ("I cannot help with that.", "not_a_call"),
        ("f(a=b)", "bad_literal"),
        ("f(a=__import__('os').system('ls'))", "bad_literal"),
        ("f(a=1e999)", "bad_literal"),
        ("f(a={1, 2})", "bad_literal"),
        ("f(a={1: 2})", "bad_literal"),
        ("f('positional')", "bad_argument"),
        ("f(a=1, a=2)", "bad_argument"),
        ("f(a='open", "unbalanced"),
        ("f(a=[1)", "unbalanced"),
        ("[f()] trailing", "unbalanced"),
        ("f() and then g()", "not_a_call"),
        ('[{"name": "f"}]', "not_a_call"),
        ('[{"name": "f", "arguments": []}]', "not_a_call"),
        ('[{"name": "f", "arguments": {}, "id": 3}]', "not_a_call"),
        ('[{"name": "f", "arguments": {}', "bad_json"),
        ("(" * 3000, "bad_name"),
        ("f(a=" + "[" * 3000 + "]" * 3000 + ")", "bad_literal"),
    ],
)
def test_refuses_with_a_kind(text: str, kind: str) -> None:
    with pytest.raises(CallSyntaxError) as raised:
        read_calls(text)
    assert raised.value.kind == kind


def test_writing_refuses_what_could_not_be_read() -> None:
    for call in (ToolCall("f(x)"), ToolCall("f", {"a=b": 1}), ToolCall("f", {"a": float("nan")}), ToolCall("")):
        with pytest.raises(ValueError, match=r"cannot be written|no literal"):
            write_call(call)


def test_json_form_is_what_xlam_publishes() -> None:
    text = write_json_calls([ToolCall("f", {"city": "Zürich"})])
    assert text == '[{"name": "f", "arguments": {"city": "Zürich"}}]'
    assert json.loads(text)[0]["arguments"]["city"] == "Zürich"
