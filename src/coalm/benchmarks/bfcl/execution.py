"""BFCL's executable entries: calls are run, and what they give is compared with what the right calls give.

Both run one after the other in a session of the sandbox, the right ones first. A call is taken as the board's
executor takes it: `result = <call>` must be Python, which an expression around the call is, too, and a call
that more statements follow. Results are compared exactly, floats too; a tuple counts as a list.

Where one call is wanted (exec_simple), it must run and give the result. Elsewhere there must be as many calls
as wanted, and each right result must be that of another call, in any order.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from coalm.benchmarks.bfcl.functions import FUNCTIONS
from coalm.calls import write_call
from coalm.dialogue import Reply
from coalm.errors import DataError
from coalm.sandbox import Outcome
from coalm.sandbox.pool import borrow

CATEGORIES = ("exec_simple", "exec_multiple", "exec_parallel", "exec_parallel_multiple")
SETUP = "coalm.benchmarks.bfcl.functions:set_up"

_numbers = itertools.count()


def can_run(calls: Sequence[str], kinds: Sequence[str]) -> bool:
    """Whether the right calls of an entry can be run: the others' functions ask web services.

    What these answer changes, and is compared in other ways than exactly (`kinds`). It is nothing that could be
    had offline; nor is all of the category `rest`.
    """
    return all(call.partition("(")[0] in FUNCTIONS for call in calls) and set(kinds) <= {"exact_match"}


def make_result(reply: Reply) -> dict[str, Any]:
    """The calls of a reply as text: `{"decoded": [call] | None, "error": kind | None}`."""
    calls, error = write_reply(reply)
    return {"decoded": None if error else calls, "error": error}


def write_reply(reply: Reply) -> tuple[list[str], str | None]:
    """The calls of a reply as text, or none and the kind of fault."""
    if reply.error is not None:
        return [], reply.error
    try:
        calls = [write_call(call) for call in reply.calls]
        "".join(calls).encode("utf-8")  # half a character cannot be written to a file
    except ValueError:
        return [], "not_writable"
    except RecursionError:
        return [], "too_deep"
    return calls, None


def write_decoded(decoded: Sequence[Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """Calls as the board's decoder gives them, in the text that its executor is given."""
    return [
        f"{name}({','.join(f'{parameter}={value!r}' for parameter, value in arguments.items())})"
        for call in decoded
        for name, arguments in call.items()
    ]


def find_fault(category: str, right: Sequence[str], calls: Any, where: str = "") -> str | None:
    """The board's name for what is wrong with `calls`, by whose results `right` is met; None where nothing is.

    Raises:
        DataError: a right call does not run.
        SandboxError: there is nowhere to run them.
    """
    if not (isinstance(calls, list) and calls and all(isinstance(call, str) for call in calls)):
        return "executable_decoder:wrong_output_format"
    if len(calls) != len(right):
        simple = category == "exec_simple"
        return "simple_exec_checker:wrong_count" if simple else "value_error:exec_result_count"
    wanted, given = _run(right, calls)
    for call, outcome in zip(right, wanted, strict=True):
        if outcome.error is not None:
            raise DataError(f"`{call}` does not run: {outcome.error}: {outcome.message}", where=where)
    if category == "exec_simple":
        if given[0].error is not None:
            return "executable_checker:execution_error"
        return None if _gives(given[0], wanted[0].value) else "executable_checker:wrong_result"
    left = list(given)
    for outcome in wanted:
        place = next((n for n, one in enumerate(left) if _gives(one, outcome.value)), None)
        if place is None:
            return "executable_checker:cannot_find_match"
        del left[place]
    return None


def _run(right: Sequence[str], calls: Sequence[str]) -> tuple[list[Outcome], list[Outcome]]:
    """What comes of each call; none sees what others have left behind, least of all the right results."""
    steps = [(f"result={call}", "result", "start_over(globals())") for call in (*right, *calls)]
    session = f"executable {next(_numbers)}"
    with borrow(SETUP) as sandbox:
        sandbox.open(session, {})
        try:
            outcomes = sandbox.run(session, list(itertools.chain(*steps)))
        finally:
            sandbox.close(session)
    pairs = zip(outcomes[::3], outcomes[1::3], strict=True)
    found = [carried_out if carried_out.error is not None else result for carried_out, result in pairs]
    return found[: len(right)], found[len(right) :]


def _gives(outcome: Outcome, wanted: Any) -> bool:
    """Whether a call ran and gave `wanted`."""
    return outcome.error is None and bool(_as_list(outcome.value) == _as_list(wanted))


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
