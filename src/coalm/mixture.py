"""The training mixture (CoALM-IT): raw corpora to interleaved train and validation Parquet, with a card.

    card = build(Path("corpora"), Path("runs/mixture"), encoder=Encoder.load())
    for sample in read(Path("runs/mixture"), "train"): …

A corpus is read once, a dialogue at a time; its samples are held back from training or not as a whole, and are
put in a seeded order over all corpora. The same corpora, settings and seed give the same bytes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coalm.card import Tally, describe_mixture, write_card
from coalm.cra.grounded import ground
from coalm.dialogue import Dialogue, Sample
from coalm.errors import DataError, NotFound, did_you_mean
from coalm.families.coalm import Layout, act_samples, call_samples, state_samples
from coalm.files import Tree
from coalm.runs import describe_run, sha256, write_json
from coalm.sources import masking, sgd, snips, toolace, xlam

if TYPE_CHECKING:
    from coalm.tokens import Encoder

Progress = Callable[[int, int | None], None]
SPLITS = ("train", "validation")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is decided for all dialogues: `validation` is the share of them that is held out.

    `mask_copies` and `mask_share` are of Hammer's masking; `tracked` is the number of services that a prompt of
    `sgd-dst` lists, those that the dialogue does not speak of included. `shares` is the share of its dialogues
    that is used of a source, for those that are not used whole.
    """

    layout: Layout = "react"
    seed: int = 0
    validation: float = 0.01
    sgd_splits: tuple[str, ...] = ("train",)
    mask_copies: int = masking.COPIES
    mask_share: float = masking.SHARE
    tracked: int = 5
    shares: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source:
    """A corpus in one use. `samples` is pure; it counts the wordings of thoughts where it makes any."""

    find: Callable[[Path], tuple[Tree, Any]]
    load: Callable[[Path, Plan], Iterator[Dialogue]]
    samples: Callable[[Dialogue, Plan, Counter[str]], Iterable[Sample]]
    default: bool = True


def _snips(root: Path, plan: Plan) -> Iterator[Dialogue]:
    return snips.load(root, "train")


def _sgd(root: Path, plan: Plan) -> Iterator[Dialogue]:
    for split in plan.sgd_splits:
        yield from sgd.load(root, split)


def _xlam(root: Path, plan: Plan) -> Iterator[Dialogue]:
    return xlam.load(root)


def _toolace(root: Path, plan: Plan) -> Iterator[Dialogue]:
    return toolace.load(root)


def _state(dialogue: Dialogue, plan: Plan, skeletons: Counter[str]) -> Iterable[Sample]:
    return state_samples(dialogue)


def _tracked(dialogue: Dialogue, plan: Plan, skeletons: Counter[str]) -> Iterable[Sample]:
    return state_samples(sgd.track(dialogue, plan.seed, plan.tracked))


def _grounded(dialogue: Dialogue, plan: Plan, skeletons: Counter[str]) -> Iterable[Sample]:
    return act_samples(ground(dialogue, plan.seed, skeletons), plan.layout)


def _masked(dialogue: Dialogue, plan: Plan, skeletons: Counter[str]) -> Iterable[Sample]:
    for copy in masking.copies(dialogue, plan.seed, plan.mask_copies, plan.mask_share):
        yield from call_samples(copy)


def _calls(dialogue: Dialogue, plan: Plan, skeletons: Counter[str]) -> Iterable[Sample]:
    return call_samples(dialogue)


SOURCES = {
    "snips": Source(snips.find, _snips, _state),
    "xlam": Source(xlam.find, _xlam, _masked),
    "toolace": Source(toolace.find, _toolace, _calls),
    "sgd": Source(sgd.find, _sgd, _grounded),
    "sgd-dst": Source(sgd.find, _sgd, _tracked, default=False),
}


def build(
    corpora: Path,
    out: Path,
    plan: Plan | None = None,
    *,
    sources: Sequence[str] | None = None,
    encoder: Encoder | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write `train.parquet`, `validation.parquet`, `card.md`, `card.json` and `run.json` into `out`.

    `sources` are names of `SOURCES`, by default all of the paper's that are in `corpora`; `encoder` counts
    tokens; `progress` is told (samples so far, None). Returns the content of `card.json`.

    Raises:
        DataError: a corpus is missing or broken, or a source or setting is unknown.
    """
    from coalm.shuffle import Shuffle

    started = time.monotonic()
    plan = plan or Plan()
    _check(plan)
    trees = _find(corpora, sources)
    tally = Tally()
    with Shuffle(out / "train.parquet") as train, Shuffle(out / "validation.parquet") as held_out:
        files = {"train": train, "validation": held_out}
        for source, dialogue in _dialogues(corpora, trees, plan):
            split = "validation" if is_held_out(dialogue, plan) else "train"
            for sample in source.samples(dialogue, plan, tally.skeletons):
                tokens = encoder.count(sample) if encoder else None
                files[split].add(_place(sample, plan), sample, tokens)
                tally.add(split, sample, tokens)
            if progress:
                progress(tally.samples, None)
        train.write()
        held_out.write()
    card = describe_mixture(tally, asdict(plan), encoder.name if encoder else None)
    write_json(out / "card.json", card)
    (out / "card.md").write_text(write_card(card), encoding="utf-8")
    inputs = {name: {"file": tree.path.name, "sha256": sha256(tree.path)} for name, tree in trees.items()}
    arguments = {"corpora": corpora.name, "sources": list(trees), **asdict(plan)}
    seconds = round(time.monotonic() - started, 1)
    write_json(out / "run.json", describe_run("data build", arguments, inputs=inputs, seconds=seconds))
    return card


def read(folder: Path, split: str = "train", source: str | None = None) -> Iterator[Sample]:
    """The samples of a mixture in their order, a row group at a time.

    Raises:
        DataError: no mixture in `folder`, or no such split.
    """
    from coalm.shuffle import read_samples

    return read_samples(_file(folder, split), source)


def count(folder: Path, split: str = "train") -> int:
    """Number of samples of a split.

    Raises:
        DataError: no mixture in `folder`, or no such split.
    """
    from coalm.shuffle import count_rows

    return count_rows(_file(folder, split))


def is_held_out(dialogue: Dialogue, plan: Plan) -> bool:
    """Whether a dialogue goes to validation.

    What the user says decides, by seed: copies of a dialogue, its uses in several sources, and equal utterances
    stay together.
    """
    said = "\n".join(" ".join(turn.text.casefold().split()) for turn in dialogue.turns if turn.role == "user")
    return _number(f"{plan.seed}/{said}") < plan.validation * 2**64


def _check(plan: Plan) -> None:
    if not 0 <= plan.validation < 1:
        raise DataError(f"validation is a share of the dialogues, from 0 to below 1, not {plan.validation}")
    for name, share in plan.shares.items():
        if name not in SOURCES:
            raise DataError(f"unknown source `{name}`", hint=did_you_mean(name, SOURCES))
        if not 0 < share <= 1:
            raise DataError(f"the share of {name} is above 0 and at most 1, not {share}")


def _dialogues(corpora: Path, names: Iterable[str], plan: Plan) -> Iterator[tuple[Source, Dialogue]]:
    for name in names:
        share = plan.shares.get(name, 1.0)
        for dialogue in SOURCES[name].load(corpora, plan):
            if _number(f"{plan.seed}/share/{name}/{dialogue.id}") < share * 2**64:
                yield SOURCES[name], dialogue


def _place(sample: Sample, plan: Plan) -> int:
    """The sample's place in the order of the mixture."""
    return _number(f"{plan.seed}/{sample.source}/{sample.dialogue}/{sample.turn}")


def _number(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def _find(corpora: Path, names: Sequence[str] | None) -> dict[str, Tree]:
    """The sources to use and where their corpora lie, in the order of `SOURCES`."""
    for name in names or ():
        if name not in SOURCES:
            raise DataError(f"unknown source `{name}`", hint=did_you_mean(name, SOURCES))
    trees: dict[str, Tree] = {}
    for name, source in SOURCES.items():
        try:
            if name in names if names else source.default:
                trees[name] = source.find(corpora)[0]
        except NotFound:
            if names:
                raise
    if not trees:
        known = ", ".join(name for name, source in SOURCES.items() if source.default)
        raise NotFound(f"none of the corpora is here: {known}", where=corpora, hint=f"{snips.HINT}\n{sgd.HINT}")
    return trees


def _file(folder: Path, split: str) -> Path:
    if split not in SPLITS:
        raise DataError(f"a mixture has no split `{split}`", where=folder, hint=did_you_mean(split, SPLITS))
    return folder / f"{split}.parquet"
