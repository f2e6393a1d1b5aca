"""BFCL's conversations: a model calls functions turn by turn, and what this leaves behind is compared.

In each turn it is asked until it makes no more calls, and is told what its calls give. For the verdict its
calls and those of the key are carried out again, each from the same beginning. After every turn whose key has
calls,

- the model must have made one, too (`empty_turn_model_response`),
- the environments' public state must be the same (`instance_state_mismatch`),
- whatever the key's calls gave must be among all that the model's calls have given so far
  (`execution_response_mismatch`).

Turns whose key has no calls are not checked, but their calls count for those that follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from coalm.benchmarks.bfcl.execution import write_reply
from coalm.benchmarks.bfcl.multi_turn_data import Conversation
from coalm.benchmarks.bfcl.stage import Milestone, Stage, borrow_sandbox, episodes_sandbox, require_environments
from coalm.benchmarks.episode import Episode
from coalm.dialogue import Request, Turn
from coalm.sandbox import Sandbox, SandboxError

MAX_STEPS = 20
"""Steps with calls in one turn; with one more, the conversation is broken off, as the board does."""

NEW_FUNCTIONS = "These functions are available to you from now on: {names}. Please see whether you can go on."

Steps = Sequence[Sequence[str]]
"""The steps of one turn: the calls of each, as text."""

EMPTY_TURN = "multi_turn:empty_turn_model_response"


# ── predicting ────────────────────────────────────────────────────────────────────────────────────


def play(conversation: Conversation) -> Episode:
    """Ask turn by turn; the result is `{"turns": turn -> step -> call as text, "errors": turn -> kind | None}`.

    `errors` are those of replies that could not be read, which end their turn. A conversation that was broken
    off has fewer turns than there should be (or all of them, where it was in the last).

    Raises:
        DataError: the conversation's data is not what it should be.
        MissingExtra, SandboxError: there are no environments, or nowhere to run them.
    """
    require_environments()
    script = conversation.script
    history: list[Turn] = []
    turns: list[list[list[str]]] = []
    errors: list[str | None] = []
    with Stage(episodes_sandbox, script.world) as stage:
        for number, said in enumerate(script.turns):
            new = script.held_back.get(number, ())
            history += said or _announce(new)
            tools = conversation.tools(number)
            steps: list[list[str]] = []
            while len(steps) <= MAX_STEPS:
                reply = yield Request("call", tuple(history), tools, words=True)
                calls, error = write_reply(reply)
                if not calls:
                    history.append(Turn("assistant", text=reply.response or (reply.text if error else "")))
                    break
                history.append(Turn("assistant", thought=reply.thought, calls=reply.calls))
                history += [Turn("tool", text=text) for text in stage.carry_out(calls)]
                steps.append(calls)
            turns.append(steps)
            errors.append(error)
            if len(steps) > MAX_STEPS:
                break
    return {"turns": turns, "errors": errors}


def _announce(names: Sequence[str]) -> list[Turn]:
    return [Turn("user", text=NEW_FUNCTIONS.format(names=", ".join(names)))] if names else []


# ── judging ───────────────────────────────────────────────────────────────────────────────────────


_keys: WeakKeyDictionary[Conversation, list[Milestone]] = WeakKeyDictionary()


class Fault(NamedTuple):
    """The board's name for what is wrong, and the turn in which it shows; -1 where it is all of them."""

    kind: str
    turn: int


def find_conversation_fault(conversation: Conversation, turns: Any) -> Fault | None:
    """What is wrong with `turns` (turn -> step -> call as text), or None.

    Anything else than turns of steps of calls is an `inference_error`.

    Raises:
        DataError: a line of the conversation is not what it should be.
        MissingExtra: the environments are not installed.
    """
    if not _are_turns(turns):
        return Fault("multi_turn:inference_error", -1)
    truth = conversation.script.truth
    if len(turns) != len(truth):
        return Fault("multi_turn:force_terminated", -1)
    with borrow_sandbox() as sandbox:
        key = _keys.get(conversation)
        if key is None:
            key = _keys[conversation] = _follow_key(conversation, sandbox)
        with Stage(lambda: sandbox, conversation.script.world) as stage:
            found = stage.follow([[call for step in steps for call in step] for steps in turns])
    given: Counter[str] = Counter()
    for number, calls in enumerate(truth):
        given.update(found[number].texts)
        if not calls:
            continue
        if _is_empty(turns[number]):
            return Fault(EMPTY_TURN, number)
        if found[number].state != key[number].state:
            return Fault("multi_turn:instance_state_mismatch", number)
        if Counter(key[number].texts) - given:
            return Fault("multi_turn:execution_response_mismatch", number)
    return None


def _are_turns(turns: Any) -> bool:
    return isinstance(turns, list) and all(
        isinstance(steps, list)
        and all(isinstance(step, list) and all(isinstance(call, str) for call in step) for step in steps)
        for steps in turns
    )


def _follow_key(conversation: Conversation, sandbox: Sandbox) -> list[Milestone]:
    """Carry out the key, in a world that no model's calls have been in."""
    with Stage(lambda: sandbox, conversation.script.world) as stage:
        milestones = stage.follow(conversation.script.truth)
    for number, milestone in enumerate(milestones):
        if milestone.state is None:
            raise SandboxError(f"turn {number} of the key could not be carried out", where=conversation.id)
    return milestones


def _is_empty(steps: Steps) -> bool:
    """Whether there is no step, or only one without calls; two of them pass, as on the board."""
    return not steps or (len(steps) == 1 and not steps[0])
