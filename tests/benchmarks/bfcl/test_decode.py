"""The text decoder against rules, every result of the official one, and hostile text."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalm.benchmarks.bfcl.decode import DecodeError, decode, pack, unpack


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("[paint(colour='red', coats=2)]", [{"paint": {"colour": "red", "coats": 2}}]),
        ("paint(colour='red')", [{"paint": {"colour": "red"}}]),
        ("```\n[paint(), walls.hall.paint(on=True)]\n```", [{"paint": {}}, {"walls.hall.paint": {"on": True}}]),
        ("[[paint()", [{"paint": {}}]),
        ("'paint()'", [{"paint": {}}]),
        ("([paint()])", [{"paint": {}}]),
        ("{paint(), wash()}", [{"paint": {}}, {"wash": {}}]),
        ("()", []),
        ("paint('red', coats=2)", [{"paint": {"coats": 2}}]),
        ("paint(coats=1, coats=2)", [{"paint": {"coats": 2}}]),
        ("wall().paint(coats=1)", [{"paint": {"coats": 1}}]),
        ("wall()(coats=1)", [{"": {"coats": 1}}]),
        ("paint(**more)", [{"paint": {None: "more"}}]),
    ],
)
def test_calls(text: str, calls: list[Any]) -> None:
    assert decode(text) == calls


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("red", "red"),
        ("true", "true"),
        ("...", "..."),
        ("-2", -2),
        ("+2", -2),
        ("~2", -2),
        ("not True", -1),
        ("(1, [2, {'a': None}])", (1, [2, {"a": None}])),
        ("{1: 2}", {1: 2}),
        ("b'a'", b"a"),
        ("2j", 2j),
        ("today()", "today()"),
        ("day(1)", "day(1)"),
        ("day(n=1)", {"day": {"n": 1}}),
        ("week['monday'][0]", "week['monday'][0]"),
        ("week[1, 2]", "week[(1, 2)]"),
        ("1 / 4 + 2 ** 3", 8.25),
        ("~2 + 1", -2),
        ("7 // 2 * 1.5", 4.5),
        ("2000000 * 1.5", 3000000.0),
        ("1.05 * 10 ** 12", 1.05e12),
        ("'a' + 'b' * 2", "abb"),
        ("[1] * 2 + [2]", [1, 1, 2]),
        ("'%d of %s' % (1, 'x')", "1 of x"),
    ],
)
def test_values(text: str, value: Any) -> None:
    found = decode(f"f(x={text})")[0]["f"]["x"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "syntax"),
        ("[]", "syntax"),
        ("I am sorry.", "syntax"),
        ("```python\n[f()]\n```", "syntax"),
        ("f(x='\ud800')", "syntax"),
        ("f(x='\0')", "syntax"),
        ("f", "not_calls"),
        ('[{"name": "f"}]', "not_calls"),
        ("f(), 5", "not_calls"),
        ("f(x=a.b)", "bad_value"),
        ("f(x={1, 2})", "bad_value"),
        ("f(x={[1]: 2})", "bad_value"),
        ("f(x={**a})", "bad_value"),
        ("f(x=-'a')", "bad_value"),
        ("f(x=--1)", "bad_value"),
        ("f(x=lambda: 1)", "bad_value"),
        ("f(x=f'{1}')", "bad_value"),
        ("f(x=1/0)", "bad_value"),
        ("f(x='a' - 1)", "bad_value"),
        ("f(x=a + 1)", "needs_eval"),
        ("f(x=len('a') + 1)", "needs_eval"),
        ("f(x=__import__('os').system('true') + 1)", "needs_eval"),
        ("f(x=9 ** 9 ** 9)", "needs_eval"),
        ("f(x=1 << 10 ** 9)", "needs_eval"),
        ("f(x='a' * 10 ** 9)", "needs_eval"),
        ("f(x=10 ** 9 * 'a')", "needs_eval"),
        ("f(x=[[0] * 999] * 999)", "needs_eval"),
        ("f(x='%999999999d' % 1)", "needs_eval"),
        ("f(x='%*d' % (999999999, 1))", "needs_eval"),
    ],
)
def test_what_is_refused(text: str, kind: str) -> None:
    with pytest.raises(DecodeError) as raised:
        decode(text)
    assert raised.value.kind == kind


@pytest.mark.parametrize(
    "text",
    [
        "f(x=" + "1+" * 100_000 + "1)",
        "f(x=a" + "[0]" * 100_000 + ")",
        "f" + ".a" * 100_000 + "()",
        "f(x=" + "[" * 1000 + "]" * 1000 + ")",
        "f(x=" + "-" * 100_000 + "1)",
    ],
    ids=["sum", "index", "dots", "brackets", "minus"],
)
def test_nesting_without_end(text: str) -> None:
    with pytest.raises(DecodeError, match=r"syntax|too_deep"):
        decode(text)


PIECES = st.sampled_from(
    [*"f(x=1,'a')[]{}:-+*/%.~ \n`\"\\\0", "not ", "lambda:", "**", "...", "\ud800", "é", "9999"]
)


@given(
    st.text()
    | st.lists(PIECES, max_size=30).map("".join)
    | st.lists(PIECES).map(lambda p: f"f(x={''.join(p)})")
)
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        calls = decode(text)
    except DecodeError:
        return
    json.dumps(pack(calls), ensure_ascii=False).encode()


def test_packed_calls_are_json_and_come_back() -> None:
    calls = [{"f": {"x": (1, [(2,), {"a": ()}]), "y": {"__tuple__": 1, "z": None}}}]
    packed = json.loads(json.dumps(pack(calls)))
    assert packed[0]["f"]["x"] == {"__tuple__": [1, [{"__tuple__": [2]}, {"a": {"__tuple__": []}}]]}
    assert unpack(packed) == calls


@pytest.mark.parametrize(
    ("value", "packed"),
    [
        (b"a", "b'a'"),
        (2j, "2j"),
        ({1: 2, None: 3}, {"1": 2, "None": 3}),
        ("a\ud800", "a\\ud800"),
        pytest.param(16**4000, "0x1" + "0" * 4000, id="large"),
        (True, True),
        ("é", "é"),
    ],
)
def test_what_json_has_no_form_for_becomes_text(value: Any, packed: Any) -> None:
    assert pack(value) == packed
    json.dumps(pack(value), ensure_ascii=False).encode()


def test_too_deep_to_be_unpacked() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert unpack(deep) is None


@pytest.mark.corpora
def test_every_official_result(shared: Path) -> None:
    """All Python rows of the oracle: the same calls, or no calls."""
    wrong, checked = [], 0
    with gzip.open(shared / "oracles" / "bfcl_v3_decode.jsonl.gz", "rt", encoding="utf-8") as rows:
        for row in map(json.loads, rows):
            if row["language"] != "Python":
                continue
            checked += 1
            try:
                found = json.dumps(pack(decode(row["raw"])))
            except DecodeError:
                found = json.dumps(None)
            if found != json.dumps(row["decoded"]):
                wrong.append((row["raw"], found))
    assert checked == 959
    assert wrong == []
