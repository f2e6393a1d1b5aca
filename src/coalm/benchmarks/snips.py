"""SNIPS, the 700 held-out utterances: intent and slots of one utterance, as a dialogue state.

Corpus: snips/nlu-benchmark 2017-06-custom-intent-engines, `validate_*.json`; the model is asked exactly as it
was trained (paper Figure 4). Not one of the paper's benchmarks: it shows whether state tracking was learned.

    Play some jazz by Nina Simone  ->  {"PlayMusic": {"genre": "jazz", "artist": "Nina Simone"}}

Intent accuracy: the state has the gold intent and no other. Slot F1: micro over (slot, value) pairs, values
compared after case folding and collapsing of spaces. Exact frame: intent and all slots right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coalm.benchmarks.episode import Benchmark, Episode, Item, Metric, Sums, Verdict, divide, ratio
from coalm.dialogue import Request, State
from coalm.sources import snips

VERSION = 1


def load(root: Path) -> list[Item]:
    """The held-out utterances; the group is the intent.

    Raises:
        DataError: the corpus is not under `root`, or broken.
    """
    items = []
    for dialogue in snips.load(root, "validation"):
        state = dialogue.turns[0].state or {}
        items.append(Item(dialogue.id, next(iter(state)), dialogue))
    return items


def episode(item: Item) -> Episode:
    reply = yield Request("state", item.data.turns, domains=item.data.domains)
    return {"state": reply.state, "error": reply.error}


def score(item: Item, result: Any) -> list[Verdict]:
    gold = item.data.turns[0].state
    got: State = result["state"] or {}
    want, have = _pairs(gold), _pairs(got)
    intent = set(got) == set(gold)
    right = intent and want == have
    counts = {
        "n": 1,
        "intent": intent,
        "exact": right,
        "tp": len(want & have),
        "fp": len(have - want),
        "fn": len(want - have),
    }
    why = None if right else _why(result, intent, want, have)
    return [Verdict(item.id, "", item.group, right, counts, why, got=result["state"], want=gold)]


def metrics(groups: Sequence[str]) -> list[Metric]:
    return [
        Metric("exact_frame", "Exact frame", ratio("exact", "n"), primary=True),
        Metric("intent_accuracy", "Intent accuracy", ratio("intent", "n")),
        Metric("slot_f1", "Slot F1", _slot_f1),
    ]


def _slot_f1(sums: Sums) -> Any:
    return 100 * divide(2 * sums["tp"], 2 * sums["tp"] + sums["fp"] + sums["fn"])


def _pairs(state: Mapping[str, Mapping[str, str]]) -> set[tuple[str, str]]:
    return {(slot, " ".join(v.casefold().split())) for slots in state.values() for slot, v in slots.items()}


def _why(
    result: Mapping[str, Any], intent: bool, want: set[tuple[str, str]], have: set[tuple[str, str]]
) -> str:
    if result["error"]:
        return f"unreadable:{result['error']}"
    if not intent:
        return "wrong_intent"
    wanted, found = {slot for slot, _ in want}, {slot for slot, _ in have}
    for kind, slots in (("missed_slot", wanted - found), ("extra_slot", found - wanted)):
        if slots:
            return f"{kind}:{min(slots)}"
    return f"wrong_value:{min(slot for slot, _ in want ^ have)}"


BENCHMARK = Benchmark("snips", VERSION, load, episode, score, metrics, max_tokens=128)
