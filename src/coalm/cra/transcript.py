"""What a large model writes when it is asked for a conversation with thoughts and calls (paper, Table 6).

    User: Any buses to Fresno on Friday?              User: Thanks!
    Thought1: …                                       Thought: …
    API Name: FindBus                                 System: You're welcome.
    API Input: {"to_location": "Fresno", …}
    API Result: [{"leaving_time": "09:30", …}]
    Thought2: …
    System: There is one at half past nine.

Reading is strict: a text is taken whole or refused, with what is wrong and where. Values are JSON, or the same
as Python literals, which models like to write.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from coalm.calls import CallSyntaxError, read_json_value, read_literal
from coalm.dialogue import Dialogue, Tool, ToolCall, Turn

WITH_CALL = ("User", "Thought1", "API Name", "API Input", "API Result", "Thought2", "System")
WITHOUT_CALL = ("User", "Thought", "System")

_LABEL = re.compile(
    rf"^({'|'.join(sorted({*WITH_CALL, *WITHOUT_CALL}, key=len, reverse=True))}):", re.MULTILINE
)
_FENCED = re.compile(r"```\w*\n(.*?)\n?```", re.DOTALL)


class Rejected(Exception):
    """A text that is not taken. `kind` is one of

    empty              no text
    preamble           something stands before the first user turn
    layout             a user turn without exactly the fields of one of the two forms, in order
    empty_field        a field with nothing in it
    turns              more or fewer user turns than there are
    user_changed       a user turn in other words
    undefined_function, undefined_parameter, missing_parameter     a call that does not fit the functions
    bad_input          arguments that are no JSON object, or hold a null or an empty text
    bad_result         a result that is not JSON
    cut_off            the model was stopped by its limit of tokens
    no_answer          the model gave no text; `what` is the error of its completion

    and `where` names the user turn, from 1, and the field.
    """

    def __init__(self, kind: str, what: str, where: str = "") -> None:
        super().__init__(f"{where}: {what}" if where else what)
        self.kind, self.what, self.where = kind, what, where


class _Block(NamedTuple):
    """One user turn with all that follows it: (label, text) pairs."""

    number: int
    fields: list[tuple[str, str]]

    def text(self, label: str) -> str:
        return dict(self.fields)[label]

    def where(self, label: str = "") -> str:
        return f"turn {self.number}, {label}" if label else f"turn {self.number}"


def read_transcript(text: str, dialogue: Dialogue) -> Dialogue:
    """The conversation of `dialogue`'s user as `text` tells it. User turns keep what was annotated, but for the
    state, which belongs to the old answers; all others are the model's.

    Raises:
        Rejected: the text breaks the format, or does not fit the user turns or the functions.
    """
    blocks = list(_split(text))
    users = [turn for turn in dialogue.turns if turn.role == "user"]
    for block, user in zip(blocks, users, strict=False):
        _check_layout(block)
        if _plain(block.text("User")) != _plain(user.text):
            raise Rejected("user_changed", f"expected {user.text!r}", block.where("User"))
    if len(blocks) != len(users):
        raise Rejected("turns", f"{len(blocks)} user turns instead of {len(users)}")
    tools = functions(dialogue.tools)
    turns: list[Turn] = []
    for block, user in zip(blocks, users, strict=True):
        turns += [replace(user, state=None), *_answer(block, tools)]
    return replace(dialogue, turns=tuple(turns))


class Function(NamedTuple):
    """What a call of this name may and must pass. Services share names; then each service's call is good."""

    parameters: tuple[str, ...]
    required: frozenset[str]


def functions(tools: Sequence[Tool]) -> dict[str, Function]:
    """The functions that tools are, by name, in their order."""
    found: dict[str, Function] = {}
    for tool in tools:
        known = found.get(tool.name, Function((), frozenset(tool.required)))
        parameters = dict.fromkeys((*known.parameters, *tool.properties))
        found[tool.name] = Function(tuple(parameters), known.required & frozenset(tool.required))
    return found


def _split(text: str) -> Iterator[_Block]:
    """User turns with their fields. A fence around all of it is no fault."""
    text = text.strip()
    if fenced := _FENCED.fullmatch(text):
        text = fenced.group(1).strip()
    if not text:
        raise Rejected("empty", "no text")
    labels = list(_LABEL.finditer(text))
    if not labels or labels[0].start() > 0 or labels[0].group(1) != "User":
        raise Rejected("preamble", f"expected `User:`, found {text[:60]!r}")
    ends = [label.start() for label in labels[1:]] + [len(text)]
    block = _Block(0, [])
    for label, end in zip(labels, ends, strict=True):
        if label.group(1) == "User":
            if block.fields:
                yield block
            block = _Block(block.number + 1, [])
        block.fields.append((label.group(1), text[label.end() : end].strip()))
    yield block


def _check_layout(block: _Block) -> None:
    labels = tuple(label for label, _ in block.fields)
    if labels not in (WITH_CALL, WITHOUT_CALL):
        raise Rejected("layout", f"found the fields {', '.join(labels)}", block.where())
    for label, text in block.fields:
        if not text:
            raise Rejected("empty_field", "nothing stands here", block.where(label))


def _answer(block: _Block, tools: Mapping[str, Function]) -> list[Turn]:
    system = block.text("System")
    if len(block.fields) == len(WITHOUT_CALL):
        return [Turn("assistant", system, thought=block.text("Thought"))]
    call = _read_call(block, tools)
    result = _read_value(block, "API Result", "bad_result")
    rows = result if isinstance(result, list) else [result]
    results = tuple(rows) if all(isinstance(row, dict) for row in rows) else ()
    return [
        Turn("assistant", thought=block.text("Thought1"), calls=(call,)),
        Turn("tool", json.dumps(result, ensure_ascii=False), results=results),
        Turn("assistant", system, thought=block.text("Thought2")),
    ]


def _read_call(block: _Block, tools: Mapping[str, Function]) -> ToolCall:
    name = block.text("API Name").removesuffix("()")
    tool = tools.get(name)
    if tool is None:
        raise Rejected("undefined_function", f"no function is called {name[:60]!r}", block.where("API Name"))
    arguments = _read_value(block, "API Input", "bad_input")
    where = block.where("API Input")
    if not isinstance(arguments, dict):
        raise Rejected("bad_input", "expected a JSON object", where)
    if unknown := [key for key in arguments if key not in tool.parameters]:
        raise Rejected("undefined_parameter", f"{name} takes no {', '.join(unknown)}", where)
    if missing := sorted(tool.required - set(arguments)):
        raise Rejected("missing_parameter", f"{name} needs {', '.join(missing)}", where)
    if void := [key for key, value in arguments.items() if value is None or value == ""]:
        raise Rejected("bad_input", f"no value for {', '.join(void)}", where)
    return ToolCall(name, arguments)


def _read_value(block: _Block, label: str, kind: str) -> Any:
    """A JSON value, or a Python literal of the same kinds."""
    text = block.text(label)
    with suppress(CallSyntaxError):
        return read_json_value(text)
    try:
        return json.loads(json.dumps(read_literal(text)))  # tuples become lists
    except CallSyntaxError:
        raise Rejected(kind, f"not JSON: {text[:60]!r}", block.where(label)) from None


def _plain(text: str) -> str:
    """Letters and digits alone: white space, case and typographic marks are no change of words."""
    return re.sub(r"[\W_]+", "", text.casefold())
