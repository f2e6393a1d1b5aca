"""A tool that an agent can run: its description, the function behind it, and what it may do.

    Toolbox(tools)                all tools of an agent by name, with their compiled schemas
    .prepare(call) -> arguments   checked against the JSON Schema before anything runs

What a tool may do is said where it is made, never by a text that a model or a tool has written: `confirm`
asks a person before each call, `read_only` calls of one step run side by side.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from coalm.calls import is_writable_name
from coalm.dialogue import Tool, ToolCall
from coalm.errors import AgentError, did_you_mean, need

TIMEOUT = 30.0
LIMIT = 4000
_MOST_NAMES = 20
_MOST_FAULTS = 3


@dataclass(frozen=True, slots=True)
class AgentTool:
    """`run` is given the arguments as one mapping, and returns anything that JSON can hold, or an awaitable.

    - `read_only`: changes nothing, so that several of one step may run at the same time.
    - `confirm`: a person is asked before each call.
    - `timeout`: seconds after which the model is told that there was no answer. A thread cannot be stopped:
      the function goes on by itself in the background, unless it is a coroutine, which is cancelled, or
      `process` is set.
    - `process`: each call runs in a child process that is killed when its time is over, and ends when we are
      killed. `run` must be a function that can be pickled; starting the child costs about a tenth of a second.
    - `limit`: the characters of a result that the model sees.

    Raises:
        AgentError: a name that calls cannot be written with, or a limit of nothing.
    """

    tool: Tool
    run: Callable[[Mapping[str, Any]], Any]
    read_only: bool = False
    confirm: bool = False
    timeout: float = TIMEOUT
    limit: int = LIMIT
    process: bool = False

    def __post_init__(self) -> None:
        for name in (self.tool.name, *self.tool.properties):
            if not is_writable_name(name):
                hint = "no brackets, quotes, commas, = or ; in the names of functions and parameters"
                raise AgentError(f"cannot be written in a call: {name!r}", where=self.tool.name, hint=hint)
        if self.timeout <= 0 or self.limit <= 0:
            raise AgentError("timeout and limit must be above zero", where=self.tool.name)

    @property
    def name(self) -> str:
        return self.tool.name


def mark(
    tools: Iterable[AgentTool],
    *,
    read_only: Collection[str] = (),
    confirm: Collection[str] = (),
    timeout: float | None = None,
    limit: int | None = None,
) -> tuple[AgentTool, ...]:
    """The tools, those named being `read_only` or in need of `confirm`; time-out and limit for all of them.

    Raises:
        AgentError: no tool has such a name.
    """
    tools = tuple(tools)
    known = {tool.name for tool in tools}
    for name in (*read_only, *confirm):
        if name not in known:
            raise AgentError(f"no tool is called `{name}`", hint=did_you_mean(name, known))
    return tuple(
        replace(
            tool,
            read_only=tool.read_only or tool.name in read_only,
            confirm=tool.confirm or tool.name in confirm,
            timeout=tool.timeout if timeout is None else timeout,
            limit=tool.limit if limit is None else limit,
        )
        for tool in tools
    )


class BadCall(ValueError):
    """A call that does not fit its tool; the text is for the model."""


class Toolbox:
    """Tools by name. Schemas are compiled when a tool is first called, so thousands of tools cost nothing.

    Raises:
        AgentError: two tools of one name.
        MissingExtra: `jsonschema` is not installed.
    """

    def __init__(self, tools: Iterable[AgentTool]) -> None:
        need("jsonschema", extra="agent")
        self.by_name: dict[str, AgentTool] = {}
        for tool in tools:
            if tool.name in self.by_name:
                hint = "give one of them another name: `prefix` of tools_from_openapi and tools_from_mcp does"
                raise AgentError(f"two tools are called `{tool.name}`", hint=hint)
            self.by_name[tool.name] = tool
        self.tools: tuple[Tool, ...] = tuple(tool.tool for tool in self.by_name.values())
        self._validators: dict[str, Any] = {}

    def prepare(self, call: ToolCall, offered: Collection[str]) -> tuple[AgentTool, dict[str, Any]]:
        """The tool of a call, and its arguments as its JSON Schema wants them.

        A text where a number or a boolean is wanted, and that is one letter for letter (`'2'`), is read as one,
        and a number where text is wanted is written as text: models that learned from corpora write all values
        as strings. `offered` are the names that the model was shown; others it cannot call.

        Raises:
            BadCall: no such function, or arguments that do not fit.
        """
        if call.name not in offered or call.name not in self.by_name:
            raise BadCall(f"there is no function `{call.name}`; {_nearest(call.name, offered)}")
        tool = self.by_name[call.name]
        arguments = {key: _plain(value) for key, value in call.arguments.items()}
        validator = self._validator(tool.tool)
        for key, value in arguments.items():
            schema = tool.tool.properties.get(key)
            if isinstance(schema, Mapping):
                arguments[key] = _as_wanted(value, schema)
        try:
            faults = [_fault(error) for error in _errors(validator, arguments)[:_MOST_FAULTS]]
        except Exception as error:  # a reference that leads nowhere, a pattern that is none
            raise BadCall(f"the arguments cannot be checked: {str(error)[:200]}") from None
        if faults:
            raise BadCall(f"the arguments of {tool.tool.signature} do not fit: {'; '.join(faults)}")
        return tool, arguments

    def _validator(self, tool: Tool) -> Any:
        if tool.name not in self._validators:
            from jsonschema import Draft202012Validator
            from referencing import Registry

            schema = {"type": "object", **tool.parameters}
            # An empty registry: a reference never makes us fetch anything.
            self._validators[tool.name] = Draft202012Validator(schema, registry=Registry())
        return self._validators[tool.name]


def check_schema(tool: Tool) -> None:
    """Whether a tool's parameters are a JSON Schema.

    Raises:
        AgentError: they are not.
        MissingExtra: `jsonschema` is not installed.
    """
    need("jsonschema", extra="agent")
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema({"type": "object", **tool.parameters})
    except SchemaError as error:
        raise AgentError(f"the parameters are no JSON Schema: {error.message[:200]}", where=tool.name) from None


def _errors(validator: Any, arguments: Mapping[str, Any]) -> list[Any]:
    return sorted(validator.iter_errors(arguments), key=lambda error: list(map(str, error.absolute_path)))


def _fault(error: Any) -> str:
    where = ".".join(map(str, error.absolute_path))
    what = str(error.message)[:200]
    return f"{where}: {what}" if where else what


def _nearest(name: str, offered: Collection[str]) -> str:
    if not offered:
        return "there are none"
    hint = did_you_mean(name, offered)
    return hint if len(offered) <= _MOST_NAMES else hint.partition("Known: ")[0].removeprefix("known: ")[:200]


def _plain(value: Any) -> Any:
    """A call's value as JSON has it: calls in Python's form may hold tuples."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def _as_wanted(value: Any, schema: Mapping[str, Any]) -> Any:
    kinds = _kinds(schema)
    if isinstance(value, str) and "string" not in kinds:
        for kind, type in (("integer", int), ("number", (int, float)), ("boolean", bool)):
            read = _read(value)
            if kind in kinds and isinstance(read, type) and isinstance(read, bool) == (kind == "boolean"):
                return read
    elif (
        isinstance(value, int | float) and not isinstance(value, bool) and kinds <= {"string", "null"} and kinds
    ):
        return str(value)
    return value


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    """JSON types that a schema allows, as far as it says so on its face."""
    kind = schema.get("type")
    kinds = set(kind) if isinstance(kind, Sequence) and not isinstance(kind, str) else {kind} if kind else set()
    for option in schema.get("anyOf") or ():
        if isinstance(option, Mapping):
            kinds |= _kinds(option)
    for allowed in schema.get("enum") or ():
        kinds |= {"string"} if isinstance(allowed, str) else set()
    return kinds


def _read(text: str) -> Any:
    try:
        return json.loads({"True": "true", "False": "false"}.get(text, text))
    except ValueError:
        return None
