"""An entry's functions as the tools that a model is offered.

Python's are offered as they are described. Arguments of Java and JavaScript functions are compared as source
text, which a model has to be told: each parameter becomes a string, and its description says what of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coalm.dialogue import Tool


def make_tools(functions: Sequence[Mapping[str, Any]], language: str) -> tuple[Tool, ...]:
    """The tools for `functions`, with the parameters' types by the board's names."""
    return tuple(
        Tool(function["name"], function.get("description", ""), _parameters(function["parameters"], language))
        for function in functions
    )


def _parameters(schema: Mapping[str, Any], language: str) -> Mapping[str, Any]:
    if language == "Python":
        return schema
    properties = {name: _as_source(one, language) for name, one in schema["properties"].items()}
    return {**schema, "properties": properties}


def _as_source(schema: Mapping[str, Any], language: str) -> dict[str, Any]:
    kind = schema["type"]
    notes = [
        f"Give the {language} source text of " + ("any value." if kind == "any" else f"a value of type {kind}.")
    ]
    if "items" in schema:
        notes.append(f"Its items are of type {schema['items']['type']}.")
    if "properties" in schema:
        fields = ", ".join(f"{name} ({field['type']})" for name, field in schema["properties"].items())
        notes.append(f"Its fields are {fields}.")
    kept = {key: value for key, value in schema.items() if key not in ("items", "properties")}
    return {**kept, "type": "string", "description": " ".join([schema.get("description", ""), *notes]).strip()}
