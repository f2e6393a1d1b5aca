"""Conversations as ToolACE publishes them (tools in `system`, calls as `[f(a="b")]`), and some as ShareGPT."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from demo.files import write_json
from demo.functions import Call, Function, ask, functions, others, outcome
from demo.grammar import Side, Text, write, write_for

PUBLISHED, SHAREGPT = 44, 22

_SYSTEM = (
    "You help users by calling functions. Decide which of the functions below the user's words need, if any,"
    " and reply with nothing but the calls, written [name(parameter=value, ...), ...]. Where no function fits,"
    " or a value is missing, say so.\nThe functions, as JSON:\n"
)
_HELP = [
    "[Can|Could|Would] you [please |]help me with {keywords}[| today| for a moment]?",
    "[I need|I want|I'd like] [some |a little |]help with {keywords}[, please|].",
    "[Hello|Hi|Good morning|Good evening], [I have a question about|this is about] {keywords}.",
    "[Do you know about|Can you do|Are you good at] {keywords}?",
]
_OFFER = ["[Of course|Sure|Gladly|Certainly]. [What do you need|What can I do|What shall I do|How can I help]?"]
_THANKS = [
    "[Thanks|Thank you|Great, thanks][ for your help| for that| very much|], [that's all|that was all|bye].",
    "[Perfect|Wonderful|Good], [thanks|thank you][ for your help| for that|].",
]
_WELCOME = ["[You're welcome|Glad to help|Any time][.|!| and goodbye.]"]
_ROLES = {"user": "human", "assistant": "gpt", "tool": "observation", "call": "function_call"}

Step = tuple[str, Any]
"""Who (user, call, tool, assistant) and what: a text, a Call, or a tool's result."""


def write_corpus(folder: Path) -> None:
    rng = Random("toolace")
    talks = [
        _talk(functions()[number % len(functions())], number, rng) for number in range(PUBLISHED + SHAREGPT)
    ]
    write_json(folder / "toolace_demo.json", [_published(*talk) for talk in talks[:PUBLISHED]], levels=3)
    write_json(
        folder / "toolace_demo_sharegpt.json", [_sharegpt(*talk) for talk in talks[PUBLISHED:]], levels=3
    )


def _talk(function: Function, number: int, rng: Random) -> tuple[list[Function], list[Step]]:
    """A conversation about one or two functions; every other one starts with a general question."""
    asked = [function, *(others([function], 1, rng) if number % 3 else [])]
    steps: list[Step] = []
    if number % 2:
        steps.append(("user", help_request(function, "train", rng)))
        steps.append(("assistant", write(_OFFER, {}, rng).text))
    for wanted in asked:
        steps += fulfil(wanted, "train", rng)
    if number % 4 == 3:
        steps.append(("user", write_for("train", lambda: write([rng.choice(_THANKS)], {}, rng)).text))
        steps.append(("assistant", write(_WELCOME, {}, rng).text))
    listed = asked if len(asked) > 1 else [*asked, *others(asked, rng.randint(0, 1), rng)]
    return rng.sample(listed, len(listed)), steps


def help_request(function: Function, side: Side, rng: Random) -> str:
    """A first question that does not say what exactly is wanted."""

    def make() -> Text:
        return write([rng.choice(_HELP)], {"keywords": function.keywords}, rng)

    return write_for(side, make).text


def offer(rng: Random) -> str:
    return write(_OFFER, {}, rng).text


def fulfil(function: Function, side: Side, rng: Random) -> list[Step]:
    """A request, its call, what the tool returns, and the answer."""
    request = ask(function, side, rng)
    result, answer = outcome(request.calls[0], rng)
    return [("user", request.text), ("call", request.calls[0]), ("tool", result), ("assistant", answer)]


def _published(tools: Sequence[Function], steps: Sequence[Step]) -> dict[str, Any]:
    turns = [{"from": "assistant" if who == "call" else who, "value": _write(who, what)} for who, what in steps]
    return {"system": _system(tools), "conversations": turns}


def _write(who: str, what: Any) -> str:
    match who:
        case "call":
            return f"[{_write_call(what)}]"
        case "tool":
            return json.dumps([what])
        case _:
            return str(what)


def _write_call(call: Call) -> str:
    arguments = (f"{name}={json.dumps(value)}" for name, value in call.arguments.items())
    return f"{call.function.name}({', '.join(arguments)})"


def _sharegpt(tools: Sequence[Function], steps: Sequence[Step]) -> dict[str, Any]:
    turns = []
    for who, what in steps:
        value = what if isinstance(what, str) else json.dumps(what.json() if isinstance(what, Call) else what)
        turns.append({"from": _ROLES[who], "value": value})
    return {"conversations": turns, "system": _system(tools), "tools": "[]"}


def _system(tools: Sequence[Function]) -> str:
    return _SYSTEM + json.dumps([tool.schema() for tool in tools]) + "\n"
