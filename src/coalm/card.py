"""The dataset card: what a mixture holds, beside the paper's Table 1, as JSON and as a Hub dataset card."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from coalm.dialogue import Sample
from coalm.known_corpora import CORPORA, OWN

if TYPE_CHECKING:
    from coalm.tokens import Size


PAPER_SAMPLES = 311_583
PAPER_TOKENS = 211_184_321
NOTES = (
    "The release has 311,639 rows, 56 more than Table 1 adds up to: SNIPS has 13,084 there.",
    "Table 1 of the paper has the rows of Hammer and ToolACE swapped; they are put right here.",
    "The paper's 760.90 tokens per sample is the mean of four means; per sample it is 677.8.",
    "Tokens depend on the tokenizer; the paper's figures are for that of Llama 3.",
    "Licences are those under which the owners publish the corpora. Files of the same form from elsewhere, "
    "which are read just as well, have their own.",
)


PICTURE = "lengths.svg"

BIN = 128
"""Tokens that a bar of the length histogram stands for."""
BINS = 33
"""Bars of it; the last stands for all that is longer."""


@dataclass(slots=True)
class Tally:
    """Counts that grow while a mixture is built."""

    samples: int = 0
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # source, split, task
    tokens: Counter[tuple[str, str]] = field(default_factory=Counter)  # source, split
    shared: Counter[str] = field(default_factory=Counter)  # source -> tokens shared with the sample before
    lengths: Counter[tuple[str, int]] = field(default_factory=Counter)  # source, bin
    longest: dict[str, int] = field(default_factory=dict)  # source -> tokens of its longest sample
    dialogues: defaultdict[tuple[str, str], set[str]] = field(default_factory=partial(defaultdict, set))
    services: set[str] = field(default_factory=set)  # of all dialogues of SGD that were read
    skeletons: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)  # ToolACE's calls that stay text, by kind of fault

    def add(self, split: str, sample: Sample, size: Size | None) -> None:
        self.samples += 1
        self.counts[sample.source, split, sample.task] += 1
        self.dialogues[sample.source, split].add(sample.dialogue)
        if size is not None:
            self.tokens[sample.source, split] += size.all
            self.shared[sample.source] += size.shared
            self.lengths[sample.source, min(size.all // BIN, BINS - 1)] += 1
            self.longest[sample.source] = max(self.longest.get(sample.source, 0), size.all)

    def add_up(self, other: Tally) -> None:
        """Add the counts of another part of the same mixture."""
        self.samples += other.samples
        for name in ("counts", "tokens", "shared", "lengths", "skeletons", "unread"):
            getattr(self, name).update(getattr(other, name))
        for source, length in other.longest.items():
            self.longest[source] = max(self.longest.get(source, 0), length)
        for key, ids in other.dialogues.items():
            self.dialogues[key] |= ids
        self.services |= other.services


def describe_mixture(tally: Tally, settings: Mapping[str, Any], tokenizer: str | None) -> dict[str, Any]:
    """The content of `card.json`. It holds no times and no paths: the same mixture has the same card."""
    found = {source for source, _, _ in tally.counts}
    names = [*(name for name in CORPORA if name in found), *sorted(found - CORPORA.keys())]
    sources = {name: _describe_source(name, tally, tokenizer is not None) for name in names}
    return {
        "name": "CoALM-IT",
        **settings,
        "tokenizer": tokenizer,
        "samples": {split: _total(tally, split) for split in ("train", "validation")},
        "tokens": sum(tally.tokens.values()) if tokenizer else None,
        "shared_prefix": _share(sum(tally.shared.values()), sum(tally.tokens.values())),
        "length_bin": BIN,
        "thought_skeletons": len(tally.skeletons),
        "unread_calls": dict(sorted(tally.unread.items())),
        "sources": sources,
        "paper": {"samples": PAPER_SAMPLES, "tokens": PAPER_TOKENS},
        "notes": list(NOTES),
    }


def _total(tally: Tally, split: str, name: str | None = None) -> int:
    found = [n for (source, part, _), n in tally.counts.items() if part == split and name in (None, source)]
    return sum(found)


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _describe_source(name: str, tally: Tally, counted: bool) -> dict[str, Any]:
    corpus = CORPORA.get(name) or OWN._replace(title=name)
    samples = {split: _total(tally, split, name) for split in ("train", "validation")}
    dialogues = {split: len(tally.dialogues[name, split]) for split in ("train", "validation")}
    tokens = sum(n for (source, _), n in tally.tokens.items() if source == name)
    tasks: Counter[str] = Counter()
    for (source, _, task), n in tally.counts.items():
        tasks[task] += n if source == name else 0
    return {
        "corpus": corpus.title,
        "domain": corpus.domain,
        "format": corpus.format,
        "dialogues": dialogues,
        "samples": samples,
        "tasks": {task: n for task, n in sorted(tasks.items()) if n},
        "tokens": tokens if counted else None,
        "tokens_per_sample": round(tokens / sum(samples.values()), 2) if counted else None,
        "longest_sample": tally.longest[name] if counted else None,
        "lengths": [tally.lengths[name, bin] for bin in range(BINS)] if counted else None,
        "shared_prefix": _share(tally.shared[name], tokens),
        "paper": {"samples": corpus.paper_samples, "tokens": corpus.paper_tokens},
        "license": corpus.license,
        "origin": corpus.origin,
        "note": corpus.note.format(dialogues=f"{sum(dialogues.values()):,}"),
    }


# ── Markdown ──────────────────────────────────────────────────────────────────────────────────────


def write_card(card: dict[str, Any], overlap: Mapping[str, Any] | None = None) -> str:
    """The card as Markdown with the front matter that the Hugging Face Hub reads.

    `overlap` is what `coalm data check --against` has measured, where it has.
    """
    parts = [_front_matter(card), _summary(card), _table(card), _remarks(card)]
    parts += [_lengths(card)] if card["tokenizer"] else []
    parts += [f"## Overlap with test sets\n\n{write_overlap(overlap)}"] if overlap else []
    return "\n\n".join([*parts, _fields(), _licenses(card)]) + "\n"


def _front_matter(card: dict[str, Any]) -> str:
    licenses = sorted({source["license"] for source in card["sources"].values()})
    lines = [
        "---",
        f"pretty_name: {card['name']}",
        "language: [en]",
        "task_categories: [text-generation]",
        "tags: [function-calling, dialogue, react, instruction-tuning]",
        f"license: [{', '.join(licenses)}]",
        "configs:",
        "- config_name: default",
        "  data_files:",
        "  - {split: train, path: train.parquet}",
        "  - {split: validation, path: validation.parquet}",
        "---",
    ]
    return "\n".join(lines)


def _summary(card: dict[str, Any]) -> str:
    train, validation = card["samples"]["train"], card["samples"]["validation"]
    text = (
        f"# {card['name']}\n\n"
        "Instruction data for one model that holds multi-turn conversations and calls functions, built by "
        "`coalm data build` after *CoALM: A Unified Conversational Agentic Language Model* "
        "(arXiv 2502.08820).\n\n"
        f"- {train:,} training samples and {validation:,} for validation "
        f"({card['validation']:.1%} of the dialogues, held out whole), in one seeded order "
        f"(seed {card['seed']})\n"
    )
    if card["thought_skeletons"]:
        text += (
            f"- CRA layout `{card['layout']}`, from SGD's {', '.join(card['sgd_splits'])}; "
            f"{card['thought_skeletons']:,} distinct wordings of thoughts, values aside\n"
        )
    if card["tokenizer"]:
        text += (
            f"- {card['tokens']:,} tokens by the tokenizer `{card['tokenizer']}`, prompt and output together\n"
        )
    return text.rstrip("\n")


def _table(card: dict[str, Any]) -> str:
    lines = [
        "## Counts, beside the paper's Table 1\n",
        "| domain | corpus | format | samples | paper | tokens | paper | per sample | paper |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for source in card["sources"].values():
        paper = source["paper"]
        per_sample = paper["tokens"] / paper["samples"] if paper["samples"] else None
        cells = [source["domain"], source["corpus"], source["format"]]
        cells += [_int(sum(source["samples"].values())), _int(paper["samples"])]
        cells += [_int(source["tokens"]), _int(paper["tokens"])]
        cells += [_mean(source["tokens_per_sample"]), _mean(per_sample)]
        lines.append(f"| {' | '.join(cells)} |")
    total = sum(card["samples"].values())
    mean = card["tokens"] / total if card["tokens"] else None
    paper = card["paper"]
    cells = ["", "**total**", "", _int(total), _int(paper["samples"]), _int(card["tokens"])]
    cells += [_int(paper["tokens"]), _mean(mean), _mean(paper["tokens"] / paper["samples"])]
    return "\n".join([*lines, f"| {' | '.join(cells)} |"])


def _int(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def _mean(number: float | None) -> str:
    return "–" if number is None else f"{number:,.1f}"


def _remarks(card: dict[str, Any]) -> str:
    lines = [f"- {name}: {source['note']}" for name, source in card["sources"].items() if source["note"]]
    lines += [f"- {name}: {_taken(share)}." for name, share in card["shares"].items()]
    if unread := sum(card["unread_calls"].values()):
        kinds = ", ".join(f"{count} {kind}" for kind, count in card["unread_calls"].items())
        lines.append(f"- toolace: {unread} calls cannot be read and stay text ({kinds}).")
    lines += [f"- {note}" for note in card["notes"]]
    return "Where the figures differ, and why:\n\n" + "\n".join(lines)


def _taken(share: float) -> str:
    if share <= 1:
        return f"{share:.0%} of its dialogues were taken"
    return f"its dialogues stand there {share:g} times in the mean, in thoughts in other words each time"


def _lengths(card: dict[str, Any]) -> str:
    lines = [
        "## Lengths and shared prefixes\n",
        f"![Samples by their length in tokens]({PICTURE})\n",
        "| source | longest sample | shared prefix |",
        "|---|--:|--:|",
    ]
    for name, source in card["sources"].items():
        lines.append(f"| {name} | {_int(source['longest_sample'])} | {source['shared_prefix']:.1%} |")
    lines.append(f"| **all** | | {card['shared_prefix']:.1%} |\n")
    return "\n".join(lines) + (
        "\nThe shared prefix is the share of tokens that a sample has in common with the one before it, in the "
        "order of its corpus: what training with shared prefixes computes once at the least."
    )


def write_overlap(overlap: Mapping[str, Any]) -> str:
    """The content of an `overlap.json` as a table, with a word on what its columns are."""
    size = overlap["gram"]
    lines = [
        f"| test set | whole items | turns in full | items with {size} words | covered "
        "| functions | and parameters |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, found in overlap["benchmarks"].items():
        covered = found["grams"]["covered_percent"]
        cells = [
            _part(found["whole_items"]),
            _part(found["long_utterances"]),
            _part(found["grams"]),
            "–" if covered is None else f"{covered:.2f} %",
            _part(found["functions"]["names"]),
            _part(found["functions"]["signatures"]),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    remark = (
        f"What the training samples ({overlap['samples']:,}) have in common with the test sets: items all of "
        "whose user's turns, short ones too, are in one sample word for word; the user's turns of "
        f"{size} words and more that are; items of which {size} words in a row are, and the share of all such "
        "runs that is, an item on average; the test set's functions that are among the tools, by name, and by "
        "name and parameters. Measured by `coalm data check --against`."
    )
    return "\n".join([*lines, "", remark])


def _part(found: Mapping[str, Any]) -> str:
    """`54 of 5,637 (0.96 %)`, a dash of none."""
    if not found["count"]:
        return "–"
    return f"{found['found']:,} of {found['count']:,} ({found['percent']:.2f} %)"


def _fields() -> str:
    return (
        "## Fields\n\n"
        "`instruction`, `input` and `output` are the sample: the user's message is the instruction, then a "
        "blank line and the input where there is one; the output is what is learned. The rest is provenance: "
        "`source`, `domain` (TOD, LA, CRA), `task` (state, call, action, response), `dialogue` and `turn` (the "
        "place in the corpus), `services`, and `tokens` where they were counted."
    )


def _licenses(card: dict[str, Any]) -> str:
    lines = ["## Licences and attribution\n", "| source | corpus | licence | from |", "|---|---|---|---|"]
    for name, source in card["sources"].items():
        lines.append(f"| {name} | {source['corpus']} | {source['license']} | {source['origin']} |")
    return "\n".join(lines)
