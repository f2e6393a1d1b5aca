"""The corpora that a mixture can be made of: where each lies, how it is read, what samples it gives.

A corpus is read as a stream of units: dialogues, or finished samples where a mixture has been published as
such. A unit goes to training or to validation as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path

from coalm.card import Tally
from coalm.cra import stored, variation
from coalm.cra.grounded import ground
from coalm.dialogue import Dialogue, Sample, Tool
from coalm.errors import DataError, NotFound, did_you_mean, named
from coalm.families.coalm import Layout, act_samples, call_samples, state_samples, write_history
from coalm.known_corpora import TEXT
from coalm.sources import masking, messages, released, sgd, snips, tool_lists, toolace, xlam

Unit = Dialogue | Sample
MOST_COPIES = 100
"""How often a dialogue may come, at most."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is decided for all corpora: `validation` is the share of units that is held out.

    `services` leaves only those dialogues of SGD that are about these services alone. `mask_copies` and
    `mask_share` are of Hammer's masking; `tracked` is the number of services that a prompt of `sgd-dst` lists,
    those that the dialogue does not speak of included. `shares` is the share of its dialogues that is used of a
    source, for those that are not used whole, or once; 2.5 is twice, and half of them a third time.

    `vary_tools` is the share of CRA dialogues and masked copies that list few tools (`most_tools`, unless they
    need more), in CRA mostly under other names too, and of tracked dialogues whose domains and slots have other
    names; `irrelevant` is the share of masked copies that list
    none of the tools that their row calls. `repeat` is the share of plain texts that stand there twice: the
    second time can be foretold by looking back, which is what calls are made of.
    """

    layout: Layout = "react"
    seed: int = 0
    validation: float = 0.01
    sgd_splits: tuple[str, ...] = ("train",)
    services: tuple[str, ...] = ()
    mask_copies: int = masking.COPIES
    mask_share: float = masking.SHARE
    tracked: int = 5
    shares: Mapping[str, float] = field(default_factory=dict)
    vary_tools: float = 0.0
    most_tools: int = tool_lists.MOST
    irrelevant: float = 0.0
    repeat: float = 0.0


@dataclass(frozen=True, slots=True)
class Part:
    """A source in use. `root` is the corpora folder, or the file (or Hub id) itself; `tools` is a file too."""

    name: str
    root: str
    tools: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A corpus in one use.

    `find` says where it lies; `load` yields its units; `shape` makes of each what samples are taken from, which
    is `archived` where it has thoughts that can be checked; `samples` takes them. All but `find` are pure but
    for what they count.
    """

    find: Callable[[Path], Path]
    load: Callable[[Part, Plan, Tally], Iterator[Unit]]
    samples: Callable[[Dialogue, Plan], Iterable[Sample]]
    shape: Callable[[Dialogue, Plan, Tally], Iterable[Dialogue]] = lambda dialogue, plan, tally: (dialogue,)
    archived: bool = False


def _sgd(
    load: Callable[[Path, str], Iterator[Dialogue]], part: Part, plan: Plan, tally: Tally
) -> Iterator[Dialogue]:
    for split in plan.sgd_splits:
        for dialogue in load(Path(part.root), split):
            tally.services.update(dialogue.services)
            if not plan.services or all(_is_named(service, plan.services) for service in dialogue.services):
                yield dialogue


def _is_named(service: str, names: Sequence[str]) -> bool:
    """`Restaurants` names `Restaurants_1` and `Restaurants_2`."""
    return service in names or service.rpartition("_")[0] in names


def _released(part: Part) -> Iterator[Sample]:
    for sample in released.load(part.root):
        yield replace(sample, source=f"released-{sample.source}")


def _acts(dialogue: Dialogue, plan: Plan) -> Iterable[Sample]:
    return act_samples(dialogue, plan.layout)


def _states(dialogue: Dialogue, plan: Plan) -> Iterable[Sample]:
    return state_samples(dialogue)


def _calls(dialogue: Dialogue, plan: Plan) -> Iterable[Sample]:
    return call_samples(dialogue)


def _texts(dialogue: Dialogue, plan: Plan) -> Iterator[Sample]:
    """One sample of what is said in a dialogue."""
    for text in _spoken(dialogue):
        yield _text(dialogue, plan, text)


def _spoken(dialogue: Dialogue) -> Iterator[str]:
    """Labelled lines, without calls and what they returned; nothing where nothing is said."""
    spoken = [turn for turn in dialogue.turns if turn.role != "tool" and turn.text and not turn.calls]
    text = write_history([replace(turn, thought="") for turn in spoken])
    if text:
        yield text


def _text(dialogue: Dialogue, plan: Plan, text: str) -> Sample:
    name = f"{dialogue.source}-text"
    if number(f"{plan.seed}/repeat/{name}/{dialogue.id}") < plan.repeat * 2**64:
        text = f"{text}\n\n{text}"
    return Sample("", "", text, name, "TEXT", "text", dialogue.id, 0, dialogue.services)


def _texts_of_tools(dialogue: Dialogue, plan: Plan) -> Iterator[Sample]:
    """The same behind what the tools are said to do, and their parameters to be."""
    lines = [text for tool in dialogue.tools for text in _descriptions(tool)]
    for text in _spoken(dialogue):
        yield _text(dialogue, plan, "\n".join([*dict.fromkeys(lines), text]))


def _descriptions(tool: Tool) -> Iterator[str]:
    about = [tool.description, *(schema.get("description") for schema in tool.properties.values())]
    return (" ".join(text.split()) for text in about if isinstance(text, str) and text.strip())


def _with_list(dialogue: Dialogue, plan: Plan) -> Iterable[Dialogue]:
    return (variation.vary_some(dialogue, plan.seed, plan.vary_tools, plan.most_tools),)


def _masked(dialogue: Dialogue, plan: Plan) -> Iterable[Dialogue]:
    lists = masking.Lists(plan.vary_tools, plan.most_tools, plan.irrelevant)
    return masking.copies(dialogue, plan.seed, plan.mask_copies, plan.mask_share, lists)


SOURCES = {
    "snips": Source(
        lambda root: snips.find(root)[0].path,
        lambda part, plan, tally: snips.load(Path(part.root), "train"),
        _states,
    ),
    "xlam": Source(
        lambda root: xlam.find(root)[0].path,
        lambda part, plan, tally: xlam.load(Path(part.root)),
        _calls,
        lambda dialogue, plan, tally: _masked(dialogue, plan),
    ),
    "toolace": Source(
        lambda root: toolace.find(root)[0].path,
        lambda part, plan, tally: toolace.load(Path(part.root), unread=tally.unread),
        _calls,
    ),
    "sgd": Source(
        lambda root: sgd.find(root)[0].path,
        lambda part, plan, tally: _sgd(sgd.load, part, plan, tally),
        _acts,
        lambda dialogue, plan, tally: _with_list(ground(dialogue, plan.seed, tally.skeletons), plan),
        archived=True,
    ),
    "sgd-dst": Source(
        lambda root: sgd.find(root)[0].path,
        lambda part, plan, tally: _sgd(sgd.load, part, plan, tally),
        _states,
        lambda dialogue, plan, tally: (
            variation.vary_states(sgd.track(dialogue, plan.seed, plan.tracked), plan.seed, plan.vary_tools),
        ),
    ),
    "sgd-llm": Source(
        lambda root: stored.find(root)[0].path,
        lambda part, plan, tally: _sgd(stored.load, part, plan, tally),
        _acts,
        lambda dialogue, plan, tally: _with_list(dialogue, plan),
        archived=True,
    ),
    "messages": Source(
        lambda root: root,
        lambda part, plan, tally: messages.load(Path(part.root), Path(part.tools) if part.tools else None),
        _acts,
        archived=True,
    ),
    "released": Source(
        lambda root: root,
        lambda part, plan, tally: _released(part),
        lambda dialogue, plan: (),
    ),
}
_TEXTS = {"snips": _texts, "xlam": _texts_of_tools, "toolace": _texts_of_tools, "sgd": _texts}
SOURCES |= {
    f"{name}-text": Source(SOURCES[name].find, SOURCES[name].load, samples) for name, samples in _TEXTS.items()
}
PAPER = ("snips", "xlam", "toolace", "sgd")
"""The sources of the paper's mixture."""
MIXTURES: Mapping[str, Sequence[str]] = {
    "paper": PAPER,
    "extended": (*PAPER, "sgd-dst"),
    "scratch": (*PAPER, "sgd-dst", *TEXT),
}
"""Named choices of sources; `scratch` is for a model that has no language yet."""
IN_CORPORA = tuple(name for name in SOURCES if name not in ("messages", "released"))
"""Sources that are looked for in a corpora folder; the others are named by file."""


def source(name: str) -> Source:
    """The source called `name`, or the one that `module:ATTRIBUTE` points to.

    Raises:
        DataError: there is none.
    """
    if ":" in name:
        return named(name, Source, "source")
    if name not in SOURCES:
        raise DataError(f"unknown source `{name}`", hint=did_you_mean(name, SOURCES))
    return SOURCES[name]


def find_parts(root: Path, names: Sequence[str] | None, mixture: str = "paper") -> list[Part]:
    """The sources of those names, or those of a mixture that are there: ours in the order of `SOURCES`, then
    those of one's own (`module:ATTRIBUTE`).

    Raises:
        DataError: a name is unknown, a named corpus is not there, or none is.
    """
    for name in names or ():
        if ":" not in name and name not in IN_CORPORA:
            raise DataError(f"unknown source `{name}`", hint=did_you_mean(name, IN_CORPORA))
    own = [name for name in dict.fromkeys(names or ()) if ":" in name]
    parts = []
    for name in (*IN_CORPORA, *own):
        if name in (names or MIXTURES[mixture]):
            try:
                source(name).find(root)
            except NotFound:
                if names:
                    raise
            else:
                parts.append(Part(name, str(root)))
    if not parts:
        known = ", ".join(MIXTURES[mixture])
        raise NotFound(f"none of the corpora is here: {known}", where=root, hint=f"{snips.HINT}\n{sgd.HINT}")
    return parts


def check_plan(plan: Plan) -> None:
    """Refuse a plan that cannot be.

    Raises:
        DataError: a share is no share, or of an unknown source.
    """
    if not 0 <= plan.validation < 1:
        raise DataError(f"validation is a share of the dialogues, from 0 to below 1, not {plan.validation}")
    for name, share in plan.shares.items():
        source(name)
        if not 0 < share <= MOST_COPIES:
            raise DataError(f"the share of {name} is above 0 and at most {MOST_COPIES}, not {share}")
    for name in ("vary_tools", "irrelevant", "repeat"):
        if not 0 <= getattr(plan, name) <= 1:
            raise DataError(f"{name} is a share, from 0 to 1, not {getattr(plan, name)}")
    if plan.most_tools < 1:
        raise DataError(f"most_tools is 1 or more, not {plan.most_tools}")


def units(part: Part, plan: Plan, tally: Tally) -> Iterator[Unit]:
    """The units of a source, or the share of them that is used; each as often as a share above 1 says.

    What comes again is called `id+1` …, so that masks, lists and thoughts are drawn anew; for training only.
    """
    whole, rest = divmod(plan.shares.get(part.name, 1.0), 1)
    for unit in source(part.name).load(part, plan, tally):
        drawn = rest and number(f"{plan.seed}/share/{part.name}/{_name(unit)}") < rest * 2**64
        count = int(whole) + bool(drawn)
        if count:
            yield unit
        if count > 1 and not is_held_out(unit, plan):
            yield from (_called(unit, f"{_name(unit)}+{copy}") for copy in range(1, count))


def is_held_out(unit: Unit, plan: Plan) -> bool:
    """Whether a unit goes to validation.

    What the user says decides, by seed: copies of a dialogue, its uses in several sources, and equal utterances
    stay together.
    """
    if isinstance(unit, Sample):
        said = f"{unit.instruction}\n{unit.input}"
    else:
        said = "\n".join(" ".join(turn.text.casefold().split()) for turn in unit.turns if turn.role == "user")
    return number(f"{plan.seed}/{said}") < plan.validation * 2**64


def number(text: str) -> int:
    """64 bits of a text."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def _called(unit: Unit, name: str) -> Unit:
    return replace(unit, dialogue=name) if isinstance(unit, Sample) else replace(unit, id=name)


def _name(unit: Unit) -> str:
    return unit.dialogue if isinstance(unit, Sample) else unit.id
