"""BFCL's rules for calls: what counts as right, and the kind of fault where something is not.

What was decoded is a list of `{function: {parameter: value}}`. The key gives each parameter a list of
alternatives, with "" among them where it may be left out:

    [{"area": {"base": 10, "unit": "cm"}}]     against     {"area": {"base": [10], "unit": ["cm", ""]}}

Rules and names of faults are those of the official checker (ShishirPatil/gorilla, state of 2025-02-20), because
the board's figures come from it. Not all of them are what one would expect:
- Where the first alternative has another type than the schema (the key names a variable), only equality counts.
- Strings lose ` ,./-_*^`, case and the kind of their quotes before they are compared, in lists and dicts too.
- An alternative that is no list ("" for an optional one) switches off the check of an array's item types.
- Python's equality holds: True == 1 == 1.0. An int passes for a float as an argument, not within a list.
- Parallel calls are matched greedily, in the key's order.
- A key may be impossible to satisfy: it wants what the schema does not know, or has no alternatives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from coalm.benchmarks.bfcl.literals import JAVA_TYPES, JAVASCRIPT_TYPES, read_java, read_javascript

Fault = str | None
"""The official name of what is wrong, None where nothing is."""

TYPES: Mapping[str, Mapping[str, type]] = {
    "Python": {
        "string": str,
        "integer": int,
        "float": float,
        "boolean": bool,
        "array": list,
        "tuple": list,
        "dict": dict,
        "any": str,
    },
    "Java": JAVA_TYPES,
    "JavaScript": JAVASCRIPT_TYPES,
}
NESTED = {"Python": ("array", "tuple"), "Java": ("Array", "ArrayList"), "JavaScript": ("array",)}


class Parameter(NamedTuple):
    """A parameter that the function's description and the key both know.

    `kind` and `item_kind` are types by the description's names, `python_type` and `item_type` Python's;
    `key_type` is that of the first alternative other than "", None where there is none.
    """

    language: str
    kind: str
    python_type: type
    item_kind: str | None
    item_type: type | None
    key_type: type | None
    alternatives: Sequence[Any]


class Expected(NamedTuple):
    """A call as the key wants it: `required` by the description, `mandatory` because the key has no ""."""

    name: str
    parameters: Mapping[str, Parameter]
    required: Sequence[str]
    mandatory: Sequence[str]


def expect(function: Mapping[str, Any], alternatives: Mapping[str, list[Any]], language: str) -> Expected:
    """What a call of `function` has to be.

    Raises:
        KeyError: the description lacks something, or has a type that its language does not.
        ValueError: alternatives that no value of their type can be compared with.
    """
    schema = function["parameters"]
    properties = schema["properties"]
    parameters = {
        name: _parameter(properties[name], allowed, language)
        for name, allowed in alternatives.items()
        if name in properties
    }
    for name, parameter in parameters.items():
        if not _is_sound(parameter):
            raise ValueError(f"alternatives of `{name}`: {parameter.alternatives}")
    mandatory = [name for name, allowed in alternatives.items() if "" not in allowed]
    return Expected(function["name"], parameters, schema.get("required", ()), mandatory)


def _parameter(schema: Mapping[str, Any], alternatives: list[Any], language: str) -> Parameter:
    types = TYPES[language]
    kind = schema["type"]
    item_kind = schema["items"]["type"] if kind in NESTED[language] else None
    item_type = types[item_kind] if item_kind is not None else None
    return Parameter(language, kind, types[kind], item_kind, item_type, _key_type(alternatives), alternatives)


def _is_sound(parameter: Parameter) -> bool:
    """Whether alternatives are lists where lists are compared, and dicts of lists where dicts are.

    A text may stand for the list of its characters: the board's key has one such slip.
    """
    compared = parameter.alternatives
    if not isinstance(compared, list):
        return False
    if parameter.key_type is not parameter.python_type:
        return True
    if parameter.python_type is list:
        if not all(isinstance(allowed, list | str) for allowed in compared):
            return False
        compared = [item for allowed in compared for item in allowed]
    if dict not in (parameter.python_type, parameter.item_type):
        return True
    dicts = [item for item in compared if isinstance(item, dict)]
    return all(isinstance(choices, list | str) for item in dicts for choices in item.values())


def _key_type(alternatives: Sequence[Any]) -> type | None:
    return next((type(alternative) for alternative in alternatives if alternative != ""), None)


# ── calls ─────────────────────────────────────────────────────────────────────────────────────────


def is_call_list(decoded: Any) -> bool:
    """Whether this is a list of `{function: {parameter: value}}`; the empty list is one."""
    return type(decoded) is list and all(
        type(call) is dict and len(call) == 1 and type(next(iter(call.values()))) is dict for call in decoded
    )


def find_fault(category: str, expected: Sequence[Expected], decoded: Any) -> Fault:
    """What is wrong with the decoded calls of an entry of `category`; whatever they are, nothing is raised."""
    calls = is_call_list(decoded)
    if "irrelevance" in category:
        return "irrelevance_error:decoder_success" if calls and decoded else None
    if "relevance" in category:
        return None if calls and decoded else "relevance_error:decoder_failed"
    if not calls:
        return "ast_decoder:decoder_wrong_output_format"
    if "parallel" in category:
        return _match_in_any_order(expected, decoded)
    if len(decoded) != 1:
        kind = "multiple" if "multiple" in category else "simple"
        return f"{kind}_function_checker:wrong_count"
    return _check_call(expected[0], decoded[0])


def _match_in_any_order(expected: Sequence[Expected], calls: Sequence[Mapping[str, Any]]) -> Fault:
    if len(calls) != len(expected):
        return "parallel_function_checker_no_order:wrong_count"
    left = list(calls)
    for wanted in expected:
        for index, call in enumerate(left):
            if _check_call(wanted, call) is None:
                del left[index]
                break
        else:
            return "parallel_function_checker_no_order:cannot_find_match"
    return None


def _check_call(wanted: Expected, call: Mapping[str, Any]) -> Fault:
    if wanted.name not in call:
        return "simple_function_checker:wrong_func_name"
    arguments = call[wanted.name]
    if any(name not in arguments for name in wanted.required):
        return "simple_function_checker:missing_required"
    for name, value in arguments.items():
        parameter = wanted.parameters.get(name)
        if parameter is None:
            return "simple_function_checker:unexpected_param"
        fault = _check_value(parameter, value)
        if fault is not None:
            return fault
    if any(name not in arguments for name in wanted.mandatory):
        return "simple_function_checker:missing_optional"
    return None


# ── values ────────────────────────────────────────────────────────────────────────────────────────


def _check_value(wanted: Parameter, value: Any) -> Fault:
    if wanted.language != "Python" and type(value) is not str:
        return "type_error:java" if wanted.language == "Java" else "type_error:js"
    try:
        value = _convert(wanted, value)
    except OverflowError:  # an int too large for a float equals none
        return "value_error:others"
    return _check_type(wanted, value) or _compare(wanted, value)


def _convert(wanted: Parameter, value: Any) -> Any:
    if wanted.language == "Java":
        return read_java(value, wanted.kind, wanted.item_kind)
    if wanted.language == "JavaScript":
        return read_javascript(value, wanted.kind, wanted.item_kind)
    if wanted.kind == "float" and type(value) is int:
        return float(value)
    if wanted.kind == "tuple" and type(value) is tuple:
        return list(value)
    return value


def _check_type(wanted: Parameter, value: Any) -> Fault:
    found = type(value)
    if found is not wanted.python_type:
        return None if found is wanted.key_type else "type_error:simple"
    if wanted.item_type is None or any(_items_fit(wanted, value, allowed) for allowed in wanted.alternatives):
        return None
    return "type_error:nested" if wanted.key_type is wanted.python_type else "type_error:simple"


def _items_fit(wanted: Parameter, value: Sequence[Any], allowed: Any) -> bool:
    if type(allowed) is not list:
        return True
    types = (wanted.item_type, _key_type(allowed))
    return all(type(item) in types for item in value)


def _compare(wanted: Parameter, value: Any) -> Fault:
    alternatives = wanted.alternatives
    if wanted.key_type is wanted.python_type or wanted.key_type is None:
        if wanted.python_type is str:
            keys = [standardize(allowed) for allowed in alternatives if type(allowed) is str]
            return None if standardize(value) in keys else "value_error:string"
        if wanted.python_type is dict:
            return _compare_dict(value, alternatives)
        if wanted.python_type is list and wanted.item_type is dict:
            return _compare_dicts(value, alternatives)
        if wanted.python_type is list:
            lists = [_standardize_all(allowed) for allowed in alternatives]
            return None if _standardize_all(value) in lists else "value_error:list/tuple"
    return None if value in alternatives else "value_error:others"


def _compare_dicts(values: Sequence[Any], alternatives: Sequence[Any]) -> Fault:
    """Lists of dicts, item by item; the fault is that of the last alternative."""
    fault: Fault = "list_dict_checker:unclear"
    for allowed in alternatives:
        if len(values) != len(allowed):
            fault = "value_error:list_dict_count"
            continue
        faults = (_compare_dict(value, [item]) for value, item in zip(values, allowed, strict=True))
        fault = next(filter(None, faults), None)
        if fault is None:
            return None
    return fault


def _compare_dict(value: Any, alternatives: Sequence[Any]) -> Fault:
    """One level deep; the fault is that of the last alternative other than ""."""
    fault: Fault = "dict_checker:unclear"
    for allowed in alternatives:
        if type(allowed) is dict and type(value) is dict:
            fault = _dict_fault(value, allowed)
            if fault is None:
                return None
    return fault


def _dict_fault(value: Mapping[Any, Any], allowed: Mapping[str, Any]) -> Fault:
    if any(key not in value and "" not in choices for key, choices in allowed.items()):
        return "value_error:dict_key"
    for key, item in value.items():
        if key not in allowed:
            return "value_error:dict_key"
        if _standardize(item) not in _standardize_all(allowed[key]):
            return "value_error:dict_value"
    return None


def standardize(text: str) -> str:
    """Text as it is compared: without ` ,./-_*^`, in lower case, with double quotes."""
    return text.translate(_IGNORED).lower()


_IGNORED = {ord(char): None for char in " ,./-_*^"} | {ord("'"): '"'}


def _standardize(value: Any) -> Any:
    return standardize(value) if type(value) is str else value


def _standardize_all(values: Any) -> list[Any]:
    """Items of a list, or characters of a text, as they are compared."""
    return [_standardize(value) for value in values]
