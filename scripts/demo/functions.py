"""The functions of the xLAM-, ToolACE-, API-Bank- and BFCL-like sets, and requests that need them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import yaml

from demo.grammar import Side, Text, write, write_for
from demo.world import HERE

_JSON_TYPES = {"str": "string", "int": "integer", "float": "float"}
_LIST = "list[int]"
_DOLLARS = {
    "euros": 1.1,
    "dollars": 1.0,
    "pounds": 1.3,
    "yen": 0.007,
    "francs": 1.15,
    "kronor": 0.1,
    "pesos": 0.05,
    "rupees": 0.012,
    "zloty": 0.25,
    "rand": 0.055,
}
_COMPUTED: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "convert_currency": lambda got: round(got["amount"] * _DOLLARS[got["source"]] / _DOLLARS[got["target"]], 1),
    "calculate_tip": lambda got: round(got["bill"] * got["percent"] / 100, 2),
    "rectangle_area": lambda got: got["width"] * got["height"],
    "average": lambda got: round(sum(got["numbers"]) / len(got["numbers"]), 1),
}
"""Results that are not drawn; exchange rates are about right."""


@dataclass(frozen=True)
class Parameter:
    """`type` is str, int, float or list[int]; one with a `default` need not be given."""

    type: str
    description: str
    default: Any = None


@dataclass(frozen=True)
class Function:
    name: str
    description: str
    keywords: str
    parameters: Mapping[str, Parameter]
    values: Mapping[str, Sequence[Any]]
    queries: Sequence[str]
    two: Sequence[str]
    result: tuple[str, Any]
    answer: str

    @property
    def required(self) -> list[str]:
        return [name for name, parameter in self.parameters.items() if parameter.default is None]

    def flat(self) -> dict[str, Any]:
        """As in xLAM: each parameter's description, type (`int, optional`) and default."""
        return {
            "name": self.name,
            "description": self.description,
            "parameters": {name: _flat(parameter) for name, parameter in self.parameters.items()},
        }

    def schema(self) -> dict[str, Any]:
        """As in BFCL and ToolACE: JSON Schema but for its type names, `dict` and `float`."""
        properties = {name: _schema(parameter) for name, parameter in self.parameters.items()}
        parameters = {"type": "dict", "properties": properties, "required": self.required}
        return {"name": self.name, "description": self.description, "parameters": parameters}


@dataclass(frozen=True)
class Call:
    function: Function
    arguments: Mapping[str, Any]

    def json(self) -> dict[str, Any]:
        return {"name": self.function.name, "arguments": dict(self.arguments)}


@dataclass(frozen=True)
class Request:
    """What a user asks for, and the calls that do it."""

    text: str
    calls: tuple[Call, ...]


@cache
def functions() -> tuple[Function, ...]:
    content = yaml.safe_load((HERE / "functions.yaml").read_text(encoding="ascii"))
    return tuple(_function(name, facts) for name, facts in content.items())


def ask(function: Function, side: Side, rng: Random) -> Request:
    """A request that one call of `function` fulfils."""
    values: dict[str, Any] = {}

    def make() -> Text:
        values.update(_draw(function, rng))
        return write([rng.choice(function.queries)], _spoken(values), rng)

    text = write_for(side, make)
    return Request(text.text, (Call(function, _told(function, values, text.slots)),))


def ask_twice(function: Function, side: Side, rng: Random) -> Request:
    """A request that takes two calls of `function`, which differ in every argument."""
    values: dict[str, Any] = {}

    def make() -> Text:
        for name, pool in function.values.items():
            values[f"{name}_1"], values[f"{name}_2"] = rng.sample(pool, 2)
        return write([rng.choice(function.two)], _spoken(values), rng)

    text = write_for(side, make)
    calls = [
        Call(function, {name: values[f"{name}_{number}"] for name in function.parameters}) for number in (1, 2)
    ]
    return Request(text.text, tuple(calls))


def ask_both(pair: Sequence[Function], side: Side, rng: Random) -> Request:
    """A request for one call of each of two functions."""
    asked: list[Request] = []

    def make() -> Text:
        asked[:] = [ask(function, rng.choice(("train", "test")), rng) for function in pair]
        return Text(" ".join(request.text for request in asked))

    text = write_for(side, make)
    return Request(text.text, tuple(call for request in asked for call in request.calls))


def others(taken: Sequence[Function], count: int, rng: Random) -> list[Function]:
    """`count` functions besides those `taken`."""
    return rng.sample([function for function in functions() if function not in taken], count)


def outcome(call: Call, rng: Random) -> tuple[dict[str, Any], str]:
    """What a call returns, as JSON, and what the assistant tells the user."""
    name, pool = call.function.result
    result = _COMPUTED[call.function.name](call.arguments) if pool == "computed" else rng.choice(pool)
    spoken = _spoken({**call.arguments, "result": result})
    return {name: result}, write([call.function.answer], spoken, rng).text


def _function(name: str, facts: Mapping[str, Any]) -> Function:
    ((key, pool),) = facts["result"].items()
    return Function(
        name=name,
        description=facts["description"],
        keywords=facts["keywords"],
        parameters={key: Parameter(*about) for key, about in facts["parameters"].items()},
        values=facts["values"],
        queries=facts["queries"],
        two=facts["two"],
        result=(key, pool),
        answer=facts["answer"],
    )


def _draw(function: Function, rng: Random) -> dict[str, Any]:
    return {name: rng.choice(pool) for name, pool in function.values.items()}


def _told(function: Function, values: Mapping[str, Any], slots: Sequence[str]) -> dict[str, Any]:
    """The arguments that the sentence names.

    Raises:
        ValueError: a required one is not among them.
    """
    missing = set(function.required) - set(slots)
    if missing:
        raise ValueError(f"a query of {function.name} lacks {sorted(missing)}")
    return {name: values[name] for name in function.parameters if name in slots}


def _spoken(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: _say(value) for name, value in values.items()}


def _say(value: Any) -> str:
    if isinstance(value, list):
        return f"{', '.join(map(str, value[:-1]))} and {value[-1]}"
    return str(value)


def _flat(parameter: Parameter) -> dict[str, Any]:
    kind = "List[int]" if parameter.type == _LIST else parameter.type
    if parameter.default is None:
        return {"description": parameter.description, "type": kind}
    return {"description": parameter.description, "type": f"{kind}, optional", "default": parameter.default}


def _schema(parameter: Parameter) -> dict[str, Any]:
    if parameter.type == _LIST:
        return {"type": "array", "items": {"type": "integer"}, "description": parameter.description}
    schema = {"type": _JSON_TYPES[parameter.type], "description": parameter.description}
    return schema if parameter.default is None else {**schema, "default": parameter.default}
