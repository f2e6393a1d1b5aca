"""The checker against rules written out one by one, every verdict of the official one, and noise."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalm.benchmarks.bfcl import check_row, load
from coalm.benchmarks.bfcl.ast_check import expect, find_fault, standardize
from tests.benchmarks.bfcl import board

DICT = {"type": "dict"}
ANY = {"type": "any"}
FLAG = {"type": "boolean"}
NUMBERS = {"type": "array", "items": {"type": "float"}}
DICTS = {"type": "array", "items": DICT}
PAIR = {"type": "tuple", "items": {"type": "integer"}}
MATRIX = {"type": "array", "items": {"type": "array"}}

SIMPLE, NESTED = "type_error:simple", "type_error:nested"
STRING, LIST, OTHERS = "value_error:string", "value_error:list/tuple", "value_error:others"
KEY, VALUE, COUNT = "value_error:dict_key", "value_error:dict_value", "value_error:list_dict_count"


def fault_of_value(
    schema: dict[str, Any], alternatives: list[Any], value: Any, language: str = "Python"
) -> Any:
    function = board.describe("f", {"x": schema})
    expected = expect(function, {"x": alternatives}, language)
    return find_fault("simple", [expected], [{"f": {"x": value}}])


@pytest.mark.parametrize(
    ("schema", "alternatives", "value", "fault"),
    [
        # strings: some characters and the case do not count, others do
        (board.TEXT, ["sea green"], "sea green", None),
        (board.TEXT, ["sea green"], "Sea-Green", None),
        (board.TEXT, ["April 1, 2024"], "april 1 2024.", None),
        (board.TEXT, ["3*x^2/y_1"], "3x2y1", None),
        (board.TEXT, ["it's"], 'It"s', None),
        (board.TEXT, ["sea green"], "sea\tgreen", STRING),
        (board.TEXT, ["sea green"], "sea green\n", STRING),
        (board.TEXT, ["sea green"], "sea green!", STRING),
        (board.TEXT, ["café"], "cafe", STRING),
        (board.TEXT, ["red", "blue"], "blue", None),
        (board.TEXT, ["red", ""], "", None),
        (board.TEXT, ["red", ""], " . ", None),
        (board.TEXT, ["red"], "", STRING),
        (board.TEXT, ["red"], None, SIMPLE),
        (board.TEXT, ["red"], ["red"], SIMPLE),
        (board.TEXT, [None, "red"], "red", None),
        (board.TEXT, [None, "red"], "Red", OTHERS),
        # numbers: an int passes for a float, nothing else converts
        (board.WHOLE, [2], 2, None),
        (board.WHOLE, [2], 2.0, SIMPLE),
        (board.WHOLE, [2], "2", SIMPLE),
        (board.WHOLE, [1], True, SIMPLE),
        (board.WHOLE, [2], 3, OTHERS),
        (board.REAL, [2.0], 2, None),
        (board.REAL, [2], 2, None),
        (board.REAL, [2.5], 2.5000001, OTHERS),
        (board.REAL, [1.0], True, SIMPLE),
        (board.REAL, [2.0], 10**400, OTHERS),
        (board.REAL, [2.0], float("nan"), OTHERS),
        (FLAG, [True], True, None),
        (FLAG, [True], 1, SIMPLE),
        (FLAG, [True], False, OTHERS),
        # a key of another type than the schema's names a variable: it has to be equal
        (board.WHOLE, ["total"], "total", None),
        (board.WHOLE, ["total"], "Total", OTHERS),
        (board.WHOLE, ["total"], 3, OTHERS),
        (board.NAMES, ["names"], "names", None),
        (board.NAMES, ["names"], ["names"], OTHERS),
        (ANY, [5], 5, None),
        (ANY, [5], "5", OTHERS),
        (ANY, ["five"], "FIVE", None),
        (board.WHOLE, [""], 3, OTHERS),
        (board.WHOLE, [""], "3", SIMPLE),
        (board.WHOLE, [], 3, OTHERS),
        # lists: items are standardized, their types are checked unless an alternative is ""
        (board.NAMES, [["hall", "attic"]], ["Hall", "attic."], None),
        (board.NAMES, [["hall", "attic"]], ["attic", "hall"], LIST),
        (board.NAMES, [["hall", "attic"]], ["hall", 5], NESTED),
        (board.NAMES, [["hall", 5]], [5, "hall"], NESTED),
        (board.NAMES, [["hall"], ""], [5], LIST),
        (board.NAMES, [["hall"]], [], LIST),
        (board.NAMES, [["hall"], ""], [], None),
        (board.NAMES, [["hall"]], ("hall",), SIMPLE),
        (board.NAMES, [["hall"]], "hall", SIMPLE),
        (board.NAMES, [[], ["hall"]], ["hall"], None),
        (board.NAMES, [], ["hall"], SIMPLE),
        (NUMBERS, [[1.0, 2.0]], [1, 2], NESTED),
        (NUMBERS, [[1, 2.0]], [1, 2], None),
        (NUMBERS, [[1.0, 2.0], ""], [1, 2], None),
        (NUMBERS, ["data"], [1.0], OTHERS),
        (PAIR, [[1, 2]], (1, 2), None),
        (PAIR, [[1, 2]], [1, 2], None),
        (PAIR, [[1, 2]], (1, "2"), NESTED),
        (MATRIX, [[[1, 2], [3]]], [[1, 2], [3]], None),
        (MATRIX, [[["A"]]], [["a"]], LIST),
        (board.NAMES, [["ab"], "hi"], ["h", "i"], None),
        # dicts: one level, keys exactly, values among their own alternatives
        (DICT, [{"name": ["Ann"], "age": [40, ""]}], {"name": "ann."}, None),
        (DICT, [{"name": ["Ann"], "age": [40, ""]}], {"age": 40, "name": "Ann"}, None),
        (DICT, [{"name": ["Ann"]}], {"name": "Bob"}, VALUE),
        (DICT, [{"name": ["Ann"]}], {"Name": "Ann"}, KEY),
        (DICT, [{"name": ["Ann"]}], {"name": "Ann", "x": 1}, KEY),
        (DICT, [{"name": ["Ann"], "age": [40]}], {"name": "Bob"}, KEY),
        (DICT, [{"on": [True]}], {"on": 1}, None),
        (DICT, [{"n": [1]}], {"n": True}, None),
        (DICT, [{"names": [["Ann"]]}], {"names": ["ann"]}, VALUE),
        (DICT, [{"name": ["Ann"]}, {"age": [40]}], {"name": "Bob"}, KEY),
        (DICT, [{"age": [40]}, {"name": ["Ann"]}], {"name": "Bob"}, VALUE),
        (DICT, [{"age": [40]}, {"name": ["Ann"]}, ""], {"name": "Ann"}, None),
        (DICT, [{"unit": "ms"}], {"unit": "M"}, None),
        (DICT, [{"unit": "ms"}], {}, None),
        (DICT, [""], {}, "dict_checker:unclear"),
        (DICT, ["person"], {"name": "Ann"}, OTHERS),
        (DICT, [{"name": ["Ann"]}], [], SIMPLE),
        # lists of dicts: the fault is that of the last alternative
        (DICTS, [[{"n": [1]}, {"n": [2]}]], [{"n": 1}, {"n": 2}], None),
        (DICTS, [[{"n": [1]}, {"n": [2]}]], [{"n": 2}, {"n": 1}], VALUE),
        (DICTS, [[{"n": [1]}, {"n": [2]}]], [{"n": 1}], COUNT),
        (DICTS, [[{"n": [1]}], [{"n": [1]}, {"n": [2]}]], [{"n": 3}], COUNT),
        (DICTS, [[{"n": [1]}, {"n": [2]}], [{"m": [1]}]], [{"n": 3}], KEY),
        (DICTS, [[{"n": [1]}], ""], [], None),
        (DICTS, [[{"n": [1]}], ""], ["n"], COUNT),
        (DICTS, [["n"], ""], [{"n": 1}], COUNT),
        (DICTS, [[{"n": [1]}]], ["n"], NESTED),
        (DICTS, ["", [{"n": [1]}]], ["n"], "dict_checker:unclear"),
    ],
)
def test_values(schema: dict[str, Any], alternatives: list[Any], value: Any, fault: str | None) -> None:
    assert fault_of_value(schema, alternatives, value) == fault


def expected_of(category: str, number: int = 0) -> list[Any]:
    functions, key = board.BOARD[category][number]
    language = {"java": "Java", "javascript": "JavaScript"}.get(category, "Python")
    described = {function["name"]: function for function in functions}
    return [expect(described[name], given, language) for call in key or [] for name, given in call.items()]


@pytest.mark.parametrize(
    ("calls", "fault"),
    [
        ([{"walls.paint": {"colour": "sea green"}}], None),
        ([{"walls.paint": {"rooms": ["hall", "attic"], "coats": 2, "colour": "sea green"}}], None),
        ([{"walls.paint": {"coats": 2}}], "missing_required"),
        ([{"walls.paint": {"colour": "sea green", "brush": 1}}], "unexpected_param"),
        ([{"walls.paint": {"brush": 1, "colour": "red"}}], "unexpected_param"),
        ([{"walls_paint": {"colour": "sea green"}}], "wrong_func_name"),
        ([{"paint": {"colour": "sea green"}}], "wrong_func_name"),
        ([], "wrong_count"),
        ([{"walls.paint": {"colour": "sea green"}}] * 2, "wrong_count"),
    ],
)
def test_single_calls(calls: list[Any], fault: str | None) -> None:
    wanted = None if fault is None else f"simple_function_checker:{fault}"
    assert find_fault("live_simple", expected_of("simple"), calls) == wanted


def test_the_first_fault_counts() -> None:
    calls = [{"walls.paint": {"colour": "red", "coats": "2"}}]
    assert find_fault("simple", expected_of("simple"), calls) == STRING
    calls = [{"walls.paint": {"coats": "2", "colour": "red"}}]
    assert find_fault("simple", expected_of("simple"), calls) == SIMPLE


def test_what_the_key_insists_on() -> None:
    (expected,) = [expect(board.MEASURE, {"side": [1.0], "unit": ["m"]}, "Python")]
    fault = find_fault("multiple", [expected], [{"measure": {"side": 1.0}}])
    assert fault == "simple_function_checker:missing_optional"
    assert find_fault("live_multiple", [expected], []) == "multiple_function_checker:wrong_count"


def test_a_key_that_wants_what_the_schema_does_not_know_cannot_be_met() -> None:
    expected = expect(board.MEASURE, {"side": [1.0], "depth": [1]}, "Python")
    calls = [{"measure": {"side": 1.0, "depth": 1}}]
    assert find_fault("simple", [expected], calls) == "simple_function_checker:unexpected_param"
    assert find_fault("simple", [expected], [{"measure": {"side": 1.0}}]) is not None


def test_parallel_calls_in_any_order() -> None:
    first, second = {"measure": {"side": 2.5}}, {"measure": {"side": 4.0, "unit": "cm"}}
    expected = expected_of("parallel")
    assert find_fault("parallel", expected, [first, second]) is None
    assert find_fault("live_parallel", expected, [second, first]) is None
    no_match = "parallel_function_checker_no_order:cannot_find_match"
    assert find_fault("parallel", expected, [first, first]) == no_match
    assert find_fault("parallel_multiple", expected, [first, {"measure": {"side": 4.0}}]) == no_match
    assert find_fault("parallel", expected, [first]) == "parallel_function_checker_no_order:wrong_count"


def test_parallel_matching_is_greedy() -> None:
    """The first of the key takes the first call that fits, even where another order would fit all."""
    either = expect(board.MEASURE, {"side": [1.0, 2.0]}, "Python")
    one = expect(board.MEASURE, {"side": [1.0]}, "Python")
    calls = [{"measure": {"side": 1.0}}, {"measure": {"side": 2.0}}]
    assert find_fault("parallel", [either, one], calls) is not None
    assert find_fault("parallel", [one, either], calls) is None


@pytest.mark.parametrize(
    "decoded",
    [
        None,
        {},
        "f()",
        5,
        ({"f": {}},),
        [{}],
        [{"f": {}, "g": {}}],
        [{"f": None}],
        [{"f": [1]}],
        ["f"],
        [[{"f": {}}]],
    ],
)
def test_what_is_no_list_of_calls(decoded: Any) -> None:
    assert find_fault("simple", expected_of("simple"), decoded) == "ast_decoder:decoder_wrong_output_format"
    assert find_fault("live_irrelevance", [], decoded) is None
    assert find_fault("live_relevance", [], decoded) == "relevance_error:decoder_failed"


def test_relevance_is_whether_anything_is_called() -> None:
    for calls in ([{"f": {}}], [{"": {}}], [{"f": {}}, {"f": {}}]):
        assert find_fault("irrelevance", [], calls) == "irrelevance_error:decoder_success"
        assert find_fault("live_relevance", [], calls) is None
    assert find_fault("irrelevance", [], []) is None
    assert find_fault("live_relevance", [], []) == "relevance_error:decoder_failed"


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"door": "frontDoor", "count": "3L", "keys": 'new ArrayList<String>(Arrays.asList("a", "b"))'}, None),
        ({"door": "frontDoor", "count": "3"}, SIMPLE),
        ({"door": "frontDoor", "count": 3}, "type_error:java"),
        ({"door": "frontDoor", "keys": ["a", "b"]}, "type_error:java"),
        ({"door": "FRONT_DOOR"}, None),
        ({"door": "backDoor"}, STRING),
    ],
)
def test_java(arguments: dict[str, Any], fault: str | None) -> None:
    assert find_fault("java", expected_of("java"), [{"Shed.open": arguments}]) == fault


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"wide": "true", "sizes": "[1, 2]", "colour": "{red: 7}"}, None),
        ({"wide": True}, "type_error:js"),
        ({"wide": "yes"}, SIMPLE),
        ({"wide": "true", "sizes": "[2, 1]"}, LIST),
        ({"wide": "true", "colour": "{'green': 7}"}, KEY),
    ],
)
def test_javascript(arguments: dict[str, Any], fault: str | None) -> None:
    assert find_fault("javascript", expected_of("javascript"), [{"openShed": arguments}]) == fault


@given(st.text(alphabet=" ,./-_*^'\"aZ\t\n!é"))
def test_standardizing_twice_changes_nothing(text: str) -> None:
    assert standardize(standardize(text)) == standardize(text)


# ── noise ─────────────────────────────────────────────────────────────────────────────────────────

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=3)
    | st.complex_numbers()
    | st.sampled_from(
        ["sea green", "m", "frontDoor", "3L", "true", "[1, 2]", "{red: 7}", "new ArrayList<>()", ""]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(
            st.sampled_from(["name", "age", "red"]) | st.none() | st.integers(), inner, max_size=3
        )
    ),
    max_leaves=8,
)
PARAMETERS = [
    "colour",
    "coats",
    "rooms",
    "side",
    "unit",
    "person",
    "days",
    "door",
    "count",
    "keys",
    "wide",
    "sizes",
]
FUNCTIONS = ["walls.paint", "measure", "hire", "Shed.open", "openShed", ""]
CALL = st.dictionaries(
    st.sampled_from(FUNCTIONS),
    st.dictionaries(st.sampled_from(PARAMETERS) | st.none(), VALUES, max_size=4) | VALUES,
    min_size=1,
    max_size=1,
)
FAULTS = (
    "ast_decoder:",
    "irrelevance_error:",
    "relevance_error:",
    "type_error:",
    "value_error:",
    "dict_checker:",
)
KEYS = [(category, number) for category in board.BOARD for number in range(len(board.BOARD[category]))]


@given(st.sampled_from(KEYS), VALUES | st.lists(CALL, max_size=3))
def test_nothing_that_was_decoded_makes_it_raise(key: tuple[str, int], decoded: Any) -> None:
    fault = find_fault(key[0], expected_of(*key), decoded)
    assert fault is None or fault.startswith(FAULTS) or "_function_checker" in fault


@given(
    st.sampled_from([board.TEXT, board.WHOLE, board.REAL, FLAG, ANY, DICT, board.NAMES, DICTS, PAIR, MATRIX]),
    st.lists(VALUES, max_size=3),
    VALUES,
)
def test_no_key_that_is_accepted_makes_it_raise(
    schema: dict[str, Any], alternatives: list[Any], value: Any
) -> None:
    try:
        expect(board.describe("f", {"x": schema}), {"x": alternatives}, "Python")
    except ValueError:
        return
    fault_of_value(schema, alternatives, value)


def test_nesting_without_end() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    for calls in (
        deep,
        [{"walls.paint": {"colour": "sea green", "rooms": deep}}],
        [{"hire": {"person": {"name": deep}}}],
    ):
        assert find_fault("simple", expected_of("simple"), calls) is not None


# ── the official checker's verdicts ───────────────────────────────────────────────────────────────


@pytest.mark.corpora
def test_every_official_verdict(shared: Path) -> None:
    """All rows of the oracle: valid or not, and the name of the fault."""
    items = {item.id: item for item in load(shared / "data")}
    wrong, checked = [], 0
    with gzip.open(shared / "oracles" / "bfcl_v3_ast.jsonl.gz", "rt", encoding="utf-8") as rows:
        for row in map(json.loads, rows):
            verdict = check_row(row, items)
            checked += 1
            if (verdict.correct, verdict.why) != (row["valid"], row["error_type"]):
                wrong.append((row["id"], row["perturbation"], verdict.why, row["error_type"]))
    assert checked == 10_640
    assert wrong == []
