"""The grounded engine: thoughts and observations from a dialogue's own annotation.

    user        Somewhere in Arlen for tea, please.               INFORM(city), INFORM(kind), INFORM_INTENT
    thought 1   The user wants to find a café and gives Arlen as the city and tearoom as the kind. …
    action      FindCafe(city='Arlen', kind='tearoom')                            service_call
    observation [{"cafe_name": "Blue Spoon", …}, …] and 2 more results            service_results
    thought 2   5 results came back. The first is Blue Spoon (city: Arlen), so …  OFFER, INFORM_COUNT
    system      There are five. Blue Spoon in Arlen is …                          true utterance

Calls and answers are the corpus' own, byte for byte. A thought says what the annotated acts say: of the user
before it, and of the step that it leads to. Nothing is drawn but the wording, by seed, dialogue and turn.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from coalm.cra import wording
from coalm.cra.annotation import (
    describe,
    first_act,
    main_of,
    names_offered,
    pairs_of,
    row_of,
    slots_of,
    spoken_and_meant,
)
from coalm.cra.wording import Pair, Thought
from coalm.dialogue import Act, Dialogue, Tool, ToolCall, Turn

SHOWN = 3
"""Rows of results that an observation holds. In 98 % of SGD's turns that offer or tell something, all of it is
among them; two more rows would add 0.2 % and cost 4 % more tokens."""

Rows = Sequence[Mapping[str, Any]]


def ground(dialogue: Dialogue, seed: int = 0, skeletons: Counter[str] | None = None) -> Dialogue:
    """The dialogue with a thought in each assistant turn and an observation in each tool turn.

    `skeletons`, where given, counts the thoughts by their wording, with placeholders for what was filled in.
    """
    scene = _Scene({tool.name: tool for tool in dialogue.tools})
    turns = []
    for index, turn in enumerate(dialogue.turns):
        if turn.role == "tool":
            turn = replace(turn, text=write_observation(turn.results))
        elif turn.role == "assistant":
            thought = Thought(f"{seed}/{dialogue.id}/{index}")
            _think(thought, turn, scene, dialogue.turns[index + 1 :])
            turn = replace(turn, thought=thought.text)
            if skeletons is not None:
                skeletons[thought.skeleton] += 1
        scene.follow(turn)
        turns.append(turn)
    return replace(dialogue, turns=tuple(turns))


def write_observation(results: Rows, shown: int = SHOWN) -> str:
    """The first rows as a JSON list, then how many were left out: `[{…}, {…}] and 8 more results`."""
    if not results:
        return "[] (no results)"
    text = json.dumps([dict(row) for row in results[:shown]], ensure_ascii=False)
    left = len(results) - shown
    return f"{text} and {left} more result{'s' if left > 1 else ''}" if left > 0 else text


@dataclass(slots=True)
class _Scene:
    """What has happened so far, as far as thoughts refer to it."""

    tools: Mapping[str, Tool]
    user: Turn = field(default_factory=lambda: Turn("user"))
    said: tuple[Act, ...] = ()  # the assistant's acts before the user's last turn
    call: ToolCall | None = None  # made since the user's last turn
    results: Rows = ()  # of the last call, whenever that was
    offered: tuple[str, ...] = ()  # names of what was offered last
    offered_by: str = ""  # the service that offered it

    def follow(self, turn: Turn) -> None:
        if turn.role == "user":
            self.user, self.call = turn, None
        elif turn.role == "tool":
            self.results = turn.results
        elif turn.calls:
            self.call = turn.calls[0]
        else:
            self.said = turn.acts
            if offer := first_act(turn.acts, "OFFER"):
                self.offered, self.offered_by = names_offered(turn.acts), offer.service


def _think(thought: Thought, turn: Turn, scene: _Scene, following: Sequence[Turn]) -> None:
    if turn.calls:
        answer = next((later for later in following if later.role == "assistant" and not later.calls), turn)
        thought.say_user(_deeds(scene))
        _think_of_call(thought, turn.calls[0], scene, answer.acts[0].service if answer.acts else "")
    elif scene.call:
        _think_of_results(thought, scene.call, scene, turn.acts)
    else:
        thought.say_user(_deeds(scene))
        _think_of_words(thought, scene, turn.acts)


# ── what the user did ─────────────────────────────────────────────────────────────────────────────


def _deeds(scene: _Scene) -> list[tuple[str, dict[str, str]]]:
    """The user's acts as verb phrases, in the order in which they read well."""
    acts = {act.name: act for act in scene.user.acts}
    before = {act.name for act in scene.said}
    deeds: list[tuple[str, dict[str, str]]] = []
    if "THANK_YOU" in acts:
        deeds.append(("thanks", {}))
    if "SELECT" in acts:
        deeds.append(_selection(scene))
    if "NEGATE_INTENT" in acts:
        offered = _goal_of_act(first_act(scene.said, "OFFER_INTENT"), scene)
        deeds.append(("negate_intent", {"goal": offered}) if offered else ("negate", {}))
    if "AFFIRM" in acts:
        alternative = "OFFER" in before and "NOTIFY_FAILURE" in before
        kind = "affirm_details" if "CONFIRM" in before else "affirm_alternative" if alternative else "affirm"
        deeds.append((kind, {}))
    if "NEGATE" in acts:
        kind = "negate_details" if "CONFIRM" in before else "negate_more" if "REQ_MORE" in before else "negate"
        deeds.append((kind, {}))
    if "AFFIRM_INTENT" in acts:
        offered = _goal_of_act(first_act(scene.said, "OFFER_INTENT"), scene)
        deeds.append(("affirm_intent", {"goal": offered}) if offered else ("affirm", {}))
    if "INFORM_INTENT" in acts:
        deeds.append(("inform_intent", {"goal": _goal_of_act(acts["INFORM_INTENT"], scene)}))
    if "REQUEST_ALTS" in acts:
        deeds.append(("alternatives", {}))
    if given := pairs_of(scene.user.acts, "INFORM", spoken=True):
        words = {"as": wording.pairs_values_first(given), "pairs": wording.pairs(given)}
        deeds.append(("inform", {**words, "wishes": wording.wishes(given)}))
    if asked := slots_of(scene.user.acts, "REQUEST"):
        deeds.append(("request", {"questions": wording.questions(asked)}))
    if "GOODBYE" in acts:
        deeds.append(("goodbye", {}))
    return deeds


def _selection(scene: _Scene) -> tuple[str, dict[str, str]]:
    """By name, where the act or the annotated state says which of the things offered last it is."""
    act = first_act(scene.user.acts, "SELECT")
    if act and act.values:
        return "select", {"offer": act.values[0]}
    state = (scene.user.state or {}).get(scene.offered_by, {})
    settled = {value.casefold() for value in state.values()}
    chosen = [name for name in scene.offered if name.casefold() in settled]
    if act and act.service == scene.offered_by and len(chosen) == 1:
        return "select", {"offer": chosen[0]}
    return "select_offer", {}


# ── before a call ─────────────────────────────────────────────────────────────────────────────────


def _think_of_call(thought: Thought, call: ToolCall, scene: _Scene, service: str) -> None:
    acts = {act.name for act in scene.user.acts}
    given = set(slots_of(scene.user.acts, "INFORM"))
    carried = [Pair(slot, str(value)) for slot, value in call.arguments.items() if slot not in given]
    tool = scene.tools.get(call.name)
    values = {"function": call.name, "goal": _goal_of_tool(call.name, service, scene)}
    if readings := _readings(scene.user.acts, call):
        thought.say("resolve", readings=readings)
    if "AFFIRM" in acts and not given:
        thought.say("call_agreed", **values)
    elif carried and len(carried) <= 4:
        thought.say("call_carried", **values, pairs=wording.pairs(carried))
    elif call.arguments and not carried and tool and set(tool.required) <= set(call.arguments):
        thought.say("call_complete", **values)
    else:
        thought.say("call", **values)


def _readings(acts: Iterable[Act], call: ToolCall) -> str:
    """`"tomorrow" as 2019-03-02`: the user's words whose meaning, and not wording, stands in the call."""
    found = []
    for act in acts:
        meant = call.arguments.get(act.slot)
        if act.name == "INFORM" and act.values and meant in act.canonical_values:
            said = act.values[act.canonical_values.index(str(meant))]
            if said.casefold() != str(meant).casefold() and meant != wording.DONT_CARE:
                found.append(f'"{said}" as {meant}')
    return wording.enumerate_words(found) if found else ""


# ── before words ──────────────────────────────────────────────────────────────────────────────────


def _think_of_words(thought: Thought, scene: _Scene, acts: Sequence[Act]) -> None:
    names = {act.name for act in acts}
    if "INFORM" in names:
        found = pairs_of(acts, "INFORM")
        kind = "inform" if row_of(found, scene.results[:SHOWN]) is None else "inform_found"
        thought.say(kind, facts=wording.facts(found))
    if "OFFER" in names:
        _think_of_other(thought, scene, pairs_of(acts, "OFFER"))
    if "CONFIRM" in names:
        _think_of_confirmation(thought, scene, acts)
    if "REQUEST" in names:
        _think_of_request(thought, scene, acts)
    if "OFFER_INTENT" in names:
        thought.say("offer_intent", goal=_goal_of_act(first_act(acts, "OFFER_INTENT"), scene))
    if "REQ_MORE" in names:
        thought.say("more")
    if "GOODBYE" in names:
        thought.say("goodbye")
    if not thought.text:
        thought.say("answer")


def _think_of_other(thought: Thought, scene: _Scene, found: Sequence[Pair]) -> None:
    """An offer without a call: something else from the results that are there already."""
    main = main_of(found)
    if main is None:
        thought.say("other_facts", facts=wording.facts(found))
        return
    new = (
        bool(scene.offered)
        and main.value not in scene.offered
        and row_of(found, scene.results[:SHOWN]) is not None
    )
    thought.say("other" if new else "other_plain", main=describe(main, found))


def _think_of_confirmation(thought: Thought, scene: _Scene, acts: Sequence[Act]) -> None:
    found = [Pair(act.slot, spoken_and_meant(act)) for act in acts if act.name == "CONFIRM" and act.values]
    slots = [pair.slot for pair in found]
    name, goal = _function_for(slots, scene, acts[0].service)
    changed = "CONFIRM" in {act.name for act in scene.said} and "INFORM" in {
        act.name for act in scene.user.acts
    }
    words = {"pairs": wording.pairs(found), "slots": wording.nouns(slots)}
    thought.say("confirm_change" if changed else "confirm", function=name, goal=goal, **words)


def _think_of_request(thought: Thought, scene: _Scene, acts: Sequence[Act]) -> None:
    slots = slots_of(acts, "REQUEST")
    service = acts[0].service
    name, goal = _function_for(slots, scene, service)
    known = (scene.user.state or {}).get(service, {})
    missing = name is not None and set(slots) <= set(scene.tools[name].required) and not set(slots) & set(known)
    plain = None if any(map(wording.is_flag, slots)) else wording.nouns(slots)
    words = {"questions": wording.questions(slots), "slots": plain}
    if missing:
        thought.say("request", function=name, goal=goal, **words)
    else:
        thought.say("request_plain", **words)
    examples = [pair for pair in pairs_of(acts, "REQUEST", spoken=True) if not wording.is_flag(pair.slot)]
    if examples:
        one = len(examples) == 1
        thought.say("suggest", values=examples[0].value if one else wording.pairs_values_first(examples))


# ── after an observation ──────────────────────────────────────────────────────────────────────────


def _think_of_results(thought: Thought, call: ToolCall, scene: _Scene, acts: Sequence[Act]) -> None:
    names = {act.name for act in acts}
    if "NOTIFY_FAILURE" in names:
        _think_of_failure(thought, call, scene, acts)
    elif "NOTIFY_SUCCESS" in names:
        thought.say("success", function=call.name)
        thought.say("tell_success")
    else:
        count = len(scene.results)
        thought.say("one_result" if count == 1 else "many_results", count=str(count))
        if "OFFER" in names:
            _think_of_offer(thought, scene, acts)
    if informed := pairs_of(acts, "INFORM"):
        asked = {pair.slot for pair in informed} <= set(slots_of(scene.user.acts, "REQUEST"))
        thought.say("also_inform" if asked else "inform", facts=wording.facts(informed))
    if "REQ_MORE" in names and "NOTIFY_FAILURE" not in names:
        thought.say("more")


def _think_of_offer(thought: Thought, scene: _Scene, acts: Sequence[Act]) -> None:
    found = pairs_of(acts, "OFFER")
    main = main_of(found)
    if main is None:
        thought.say("offer_facts", facts=wording.facts(found))
    else:
        first = len(scene.results) > 1 and row_of(found, scene.results[:SHOWN]) == 0
        thought.say("offer_first" if first else "offer", main=describe(main, found))
    if first_act(acts, "INFORM_COUNT") and len(scene.results) > 1:
        thought.say("say_count")


def _think_of_failure(thought: Thought, call: ToolCall, scene: _Scene, acts: Sequence[Act]) -> None:
    goal = _goal_of_tool(call.name, acts[0].service, scene)
    changes = _changes(call, scene.results)
    if not scene.results:
        thought.say("failure_empty", goal=goal)
    elif changes:
        thought.say("failure_differs", goal=goal, changes=changes)
    else:
        thought.say("failure", goal=goal, function=call.name)
    if found := pairs_of(acts, "OFFER"):
        new = [pair for pair in found if call.arguments.get(pair.slot) != pair.value]
        thought.say("propose", pairs=wording.pairs(new or found))
    else:
        thought.say("ask_more")


def _changes(call: ToolCall, results: Rows) -> str:
    """`17:30 instead of 17:15 for the time`: where a single result differs from what was asked."""
    if len(results) != 1:
        return ""
    found = [
        f"{results[0][slot]} instead of {value} for {wording.noun(slot)}"
        for slot, value in call.arguments.items()
        if slot in results[0] and results[0][slot] != value
    ]
    return wording.enumerate_words(found) if found else ""


# ── functions and what they are for ───────────────────────────────────────────────────────────────


def _function_for(slots: Sequence[str], scene: _Scene, service: str) -> tuple[str | None, str | None]:
    """Name and goal of the user's active function that takes these slots."""
    for name in scene.user.intents:
        if name in scene.tools and set(slots) <= set(scene.tools[name].properties):
            return name, _goal_of_tool(name, service, scene)
    return None, None


def _goal_of_tool(name: str, service: str, scene: _Scene) -> str:
    intent = _intent_of(name)
    description = scene.tools[name].description if name in scene.tools else ""
    return wording.known_goal(service, intent) or wording.goal(intent, description)


def _goal_of_act(act: Act | None, scene: _Scene) -> str:
    """The goal of the intent that an act names; empty where there is none."""
    if act is None or not act.values:
        return ""
    intent = act.values[0]
    known = wording.known_goal(act.service, intent)
    if known:
        return known
    active = [name for name in scene.user.intents if _intent_of(name) == intent]
    same = active or [name for name in scene.tools if _intent_of(name) == intent]
    only = scene.tools.get(same[0]) if len(same) == 1 else None  # several: no telling whose description it is
    return wording.goal(intent, only.description if only else "")


@cache
def _intent_of(name: str) -> str:
    """The intent behind a function's name: `FindBus` of `FindBus_2`."""
    return re.sub(r"_\d+$", "", name)
