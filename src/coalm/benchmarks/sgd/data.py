"""SGD's dev and test dialogues as steps: what is asked at each, with the true history, and what is right.

Origin and format: `sources/sgd.py`. The prompts are those of training: dialogues are grounded by the same
engine (seed 0) and list all functions of their split's schema, as the sources `sgd` and `sgd-dst` do.

    user      ── state step       words so far ──▶ the state of every service so far
    assistant ── action step      history with thoughts, calls and observations ──▶ thought and call
              ── response step    the same, and what the call returned ──▶ thought and answer

Loading finds the ids only; a dialogue is read when its turn comes, and its file is kept until the next one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coalm.benchmarks.episode import Item
from coalm.cra.grounded import ground
from coalm.dialogue import Act, Dialogue, Request, Turn
from coalm.errors import DataError, NotFound
from coalm.files import Tree
from coalm.sources import sgd

SPLITS = ("dev", "test")
SEED = 0
"""Of the wording of thoughts and of the services that a state prompt lists, as `coalm data build` has it."""

Forms = Mapping[str, Mapping[str, tuple[str, ...]]]
"""service -> slot -> the forms that its value has in the data; any of them is right."""

_ID = re.compile(rb'"dialogue_id"\s*:\s*"([^"\\]+)"')


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a dialogue, and what is right: `want` of a state, else the assistant's `turn`.

    `forms` are other forms of the arguments of the turn's call: argument -> forms, its own value first. `seen`
    says whether the services concerned are in the training schema.
    """

    part: str
    request: Request
    seen: bool
    turn: Turn = field(default_factory=lambda: Turn("assistant"))
    want: Forms = field(default_factory=dict)
    forms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class Split:
    """The dialogues of a split, a file at a time; `trained` are the services of the training schema."""

    name: str
    tree: Tree
    schema: sgd.Schema
    trained: frozenset[str]
    _file: str = ""
    _records: dict[str, Any] = field(default_factory=dict)

    def record(self, file: str, id: str) -> Any:
        if file != self._file:
            rows = self.tree.read_json(file)
            self._records = {row["dialogue_id"]: row for row in rows if isinstance(row, dict)}
            self._file = file
        return self._records[id]


@dataclass(frozen=True, slots=True)
class Talk:
    """A dialogue that is read when it is needed."""

    split: Split
    file: str
    id: str

    def steps(self) -> list[Step]:
        """The dialogue's steps in their order.

        Raises:
            DataError: it does not fit its schema.
        """
        record = self.split.record(self.file, self.id)
        return list(_steps(self.dialogue(), record, self.split.trained))

    def dialogue(self) -> Dialogue:
        """The dialogue as its source has it.

        Raises:
            DataError: it does not fit its schema.
        """
        record = self.split.record(self.file, self.id)
        return sgd.to_dialogue(record, self.split.schema, self.split.name, self.split.tree.where(self.file))


def load(root: Path) -> list[Item]:
    """The dialogues of those of `dev` and `test` that are there; the group is the split.

    Raises:
        DataError: neither split is there, or no training schema, which tells the services that were seen.
    """
    items: list[Item] = []
    missing: NotFound | None = None
    for name in SPLITS:
        try:
            tree, files = sgd.find(root, name)
        except NotFound as error:
            missing = error
            continue
        trained = frozenset(domain.name for domain in sgd.read_schema(tree, "train").domains)
        split = Split(name, tree, sgd.read_schema(tree, name), trained)
        for file in files:
            ids = [found.decode("utf-8", "replace") for found in _ID.findall(tree.read_bytes(file))]
            if not ids:
                raise DataError("no dialogue in it", where=tree.where(file), hint=sgd.HINT)
            items += [Item(f"{name}/{id}", name, Talk(split, file, id)) for id in ids]
    if not items:
        raise missing or NotFound("no dialogues", where=root, hint=sgd.HINT)
    return items


def _steps(dialogue: Dialogue, record: Mapping[str, Any], trained: frozenset[str]) -> Iterator[Step]:
    services = _services(record)
    states = _states(record)
    tracked = sgd.track(dialogue, SEED)  # without thoughts
    dialogue = ground(dialogue, SEED)
    asked = iter([index for index, turn in enumerate(tracked.turns) if turn.role == "user"])
    acts: list[Act] = []
    want: Forms = {}
    for index, (turn, service) in enumerate(zip(dialogue.turns, services, strict=True)):
        if turn.role == "user":
            want = next(states)
            until = next(asked) + 1
            request = Request("state", tracked.turns[:until], domains=tracked.domains)
            seen = all(name in trained for name in turn.state or {})
            yield Step(f"state {index}", request, seen, want=want)
        elif turn.role == "assistant":
            request = Request("act", dialogue.turns[:index], dialogue.tools)
            forms = _call_forms(turn, acts, want.get(service, {}))
            yield Step(f"step {index}", request, service in trained, turn, forms=forms)
        acts += turn.acts


def _services(record: Mapping[str, Any]) -> list[str]:
    """The service of each turn that `sgd.to_dialogue` makes of a record."""
    found = []
    for turn in record["turns"]:
        if turn["speaker"] == "SYSTEM":
            found += [frame["service"] for frame in turn["frames"] if "service_call" in frame for _ in "12"]
        found.append(turn["frames"][0]["service"] if turn["frames"] else "")
    return found


def _states(record: Mapping[str, Any]) -> Iterator[Forms]:
    """After each user turn, the newest values of each service spoken of so far, in all their forms."""
    state: dict[str, dict[str, tuple[str, ...]]] = {}
    for turn in record["turns"]:
        if turn["speaker"] == "USER":
            for frame in turn["frames"]:
                values = {slot: tuple(forms) for slot, forms in frame["state"]["slot_values"].items()}
                if values or frame["state"]["active_intent"] != sgd.NO_INTENT:
                    state[frame["service"]] = values
            yield dict(state)


def _call_forms(
    turn: Turn, acts: list[Act], state: Mapping[str, tuple[str, ...]]
) -> Mapping[str, tuple[str, ...]]:
    """For each argument, its value, the words that acts so far annotate with that value, and where the state
    has one of these, the state's other forms.
    """
    found = {}
    for call in turn.calls:
        for name, value in call.arguments.items():
            forms = {str(value): None}
            for act in acts:
                if act.slot == name:
                    pairs = zip(act.values, act.canonical_values, strict=False)
                    forms |= dict.fromkeys(said for said, meant in pairs if meant == value)
            if forms.keys() & set(state.get(name, ())):
                forms |= dict.fromkeys(state[name])
            found[name] = tuple(forms)
    return found
