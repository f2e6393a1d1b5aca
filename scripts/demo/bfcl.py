"""BFCL V3's questions and possible answers, as JSON lines: four categories of calls, and irrelevance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from demo.files import write_lines
from demo.functions import Call, Function, Request, ask, ask_both, ask_twice, functions, others

SIZE = 18
"""Items of a category."""


def write_benchmark(folder: Path) -> None:
    rng = Random("bfcl")
    for category in ("simple", "multiple", "parallel", "parallel_multiple", "irrelevance"):
        questions, answers = [], []
        for number in range(SIZE):
            function = functions()[(number * 5 + len(category)) % len(functions())]
            request, listed = _draw(category, function, rng)
            name = f"{category}_{number}"
            questions.append(_question(name, request, listed))
            answers.append({"id": name, "ground_truth": [_answer(call) for call in request.calls]})
        write_lines(folder / f"BFCL_v3_{category}.json", questions)
        if category != "irrelevance":
            write_lines(folder / "possible_answer" / f"BFCL_v3_{category}.json", answers)


def _draw(category: str, function: Function, rng: Random) -> tuple[Request, list[Function]]:
    """A request for this category, and the functions that are listed with it."""
    match category:
        case "simple":
            return ask(function, "test", rng), [function]
        case "multiple":
            return ask(function, "test", rng), _mixed([function], 2, rng)
        case "parallel":
            return ask_twice(function, "test", rng), [function]
        case "parallel_multiple":
            pair = [function, *others([function], 1, rng)]
            return ask_both(pair, "test", rng), _mixed(pair, 1, rng)
        case _:
            return ask(function, "test", rng), others([function], 1, rng)


def _mixed(needed: Sequence[Function], more: int, rng: Random) -> list[Function]:
    listed = [*needed, *others(needed, more, rng)]
    rng.shuffle(listed)
    return listed


def _question(name: str, request: Request, listed: Sequence[Function]) -> dict[str, Any]:
    question = [[{"role": "user", "content": request.text}]]
    return {"id": name, "question": question, "function": [function.schema() for function in listed]}


def _answer(call: Call) -> dict[str, Any]:
    """Each parameter's right values; one that was left out may be, or have its default."""
    parameters = call.function.parameters
    return {
        call.function.name: {
            name: [call.arguments[name]] if name in call.arguments else [parameter.default, ""]
            for name, parameter in parameters.items()
        }
    }
