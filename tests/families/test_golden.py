"""One whole prompt and output of each task and layout of the coalm family, byte for byte.

A changed prompt shows up as a diff of these files: `python -m tests.families.test_golden` writes them anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from coalm.calls import write_json_calls
from coalm.cra.grounded import ground
from coalm.dialogue import Dialogue, Sample, ToolCall, Turn
from coalm.families.coalm import act_samples, call_samples, state_samples
from coalm.sources import sgd, snips

ROOT = Path(__file__).parents[1]
FIXTURES, GOLDEN = ROOT / "fixtures", ROOT / "golden"
OUTPUT = "\n~~~~~~~~~~ output ~~~~~~~~~~\n"


def samples() -> dict[str, Sample]:
    """Name of the golden file -> the sample in it."""
    two_services = list(sgd.load(FIXTURES))[1]
    react = list(act_samples(ground(two_services), "react"))
    paper = list(act_samples(ground(two_services), "paper"))
    call = ToolCall("GetForecast", {"city": "Dunmore"})
    tools = two_services.tools[1:]
    asked = Dialogue(
        "c", "x", (Turn("user", "Will it rain in Dunmore?"), Turn("assistant", calls=(call,))), tools
    )
    talk = (
        *asked.turns,
        Turn("tool", "[]"),
        Turn("assistant", "I do not know."),
        Turn("user", "Thanks anyway."),
    )
    thanked = Dialogue("c", "x", (*talk, Turn("assistant", "You are welcome.")), tools)
    nothing = Dialogue("c", "x", (Turn("user", "How are you?"), Turn("assistant")), tools)
    return {
        "coalm-state-snips": next(state_samples(next(snips.load(FIXTURES)))),
        "coalm-state-sgd": list(state_samples(sgd.track(two_services)))[2],
        "coalm-act-react-action": first(react, "action", after=3),
        "coalm-act-react-response": first(react, "response", after=3),
        "coalm-act-paper-action": first(paper, "action", after=3),
        "coalm-act-paper-response": first(paper, "response", after=3),
        "coalm-call": next(call_samples(asked)),
        "coalm-call-none": next(call_samples(nothing)),
        "coalm-talk": list(call_samples(thanked))[-1],
    }


def first(found: Iterable[Sample], task: str, after: int) -> Sample:
    return next(sample for sample in found if sample.task == task and sample.turn > after)


def write(sample: Sample) -> str:
    return f"{sample.prompt}{OUTPUT}{sample.output}\n"


@pytest.mark.parametrize("name", samples())
def test_prompt_and_output_are_the_golden_ones(name: str) -> None:
    assert write(samples()[name]) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_there_is_no_other_golden_file_of_this_family() -> None:
    assert {path.stem for path in GOLDEN.glob("coalm-*.txt")} == set(samples())


def test_no_call_is_an_empty_list() -> None:
    assert samples()["coalm-call-none"].output == f"```\n{write_json_calls(())}\n```"


if __name__ == "__main__":
    for name, sample in samples().items():
        (GOLDEN / f"{name}.txt").write_text(write(sample), encoding="utf-8")
