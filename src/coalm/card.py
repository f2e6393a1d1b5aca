"""The dataset card: what a mixture holds, beside the paper's Table 1, as JSON and as a Hub dataset card."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from coalm.dialogue import Sample


class Corpus(NamedTuple):
    """A corpus as the card names it; `paper_samples` and `paper_tokens` are Table 1's, put right.

    A `note` may hold `{dialogues}`, for their number.
    """

    title: str
    domain: str
    format: str
    license: str
    origin: str
    paper_samples: int | None = None
    paper_tokens: int | None = None
    note: str = ""


CORPORA = {
    "snips": Corpus(
        "SNIPS",
        "TOD",
        "state tracking, single turn",
        "cc0-1.0",
        "https://github.com/sonos/nlu-benchmark",
        13_028,
        12_278_780,
        "All utterances of the full training files. The table says 13,028, the paper's text 24,542; the "
        "released 311,639 rows leave 13,084 for SNIPS, which is the full files less 700.",
    ),
    "xlam": Corpus(
        "Hammer (xLAM)",
        "LA",
        "function calling with masked names, single turn",
        "cc-by-4.0",
        "https://huggingface.co/datasets/Salesforce/xlam-function-calling-60k",
        202_500,
        129_001_612,
        "202,500 is three times 67,500: xLAM's 60,000 rows and 7,500 irrelevance rows, in three masked copies.",
    ),
    "toolace": Corpus(
        "ToolACE",
        "LA",
        "function calling, multi-turn",
        "apache-2.0",
        "https://huggingface.co/datasets/Team-ACE/ToolACE",
        13_819,
        10_199_147,
    ),
    "sgd": Corpus(
        "SGD",
        "CRA",
        "ReAct with API calls, multi-turn",
        "cc-by-sa-4.0",
        "https://github.com/google-research-datasets/dstc8-schema-guided-dialogue",
        82_236,
        59_704_782,
        "A sample for every step of {dialogues} dialogues (the full training split has 16,142): each call, "
        "and each answer. The paper does not say which steps its 82,236 samples leave out. Thoughts are made "
        "from the corpus' annotation, not by a language model.",
    ),
    "sgd-dst": Corpus(
        "SGD",
        "TOD",
        "state tracking, multi-turn",
        "cc-by-sa-4.0",
        "https://github.com/google-research-datasets/dstc8-schema-guided-dialogue",
        note="Not in the paper's mixture.",
    ),
}
PAPER_SAMPLES = 311_583
PAPER_TOKENS = 211_184_321
NOTES = (
    "Table 1 of the paper has the rows of Hammer and ToolACE swapped; they are put right here.",
    "The paper's 760.90 tokens per sample is the mean of four means; per sample it is 677.8.",
    "Tokens depend on the tokenizer; the paper's figures are for that of Llama 3.",
)


@dataclass(slots=True)
class Tally:
    """Counts that grow while a mixture is built."""

    samples: int = 0
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # source, split, task
    tokens: Counter[tuple[str, str]] = field(default_factory=Counter)  # source, split
    longest: Counter[str] = field(default_factory=Counter)  # source -> tokens of its longest sample
    dialogues: defaultdict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    skeletons: Counter[str] = field(default_factory=Counter)

    def add(self, split: str, sample: Sample, tokens: int | None) -> None:
        self.samples += 1
        self.counts[sample.source, split, sample.task] += 1
        self.dialogues[sample.source, split].add(sample.dialogue)
        if tokens is not None:
            self.tokens[sample.source, split] += tokens
            self.longest[sample.source] = max(self.longest[sample.source], tokens)


def describe_mixture(tally: Tally, settings: Mapping[str, Any], tokenizer: str | None) -> dict[str, Any]:
    """The content of `card.json`. It holds no times and no paths: the same mixture has the same card."""
    names = [name for name in CORPORA if any(source == name for source, _, _ in tally.counts)]
    sources = {name: _describe_source(name, tally, tokenizer is not None) for name in names}
    return {
        "name": "CoALM-IT",
        **settings,
        "tokenizer": tokenizer,
        "samples": {split: _total(tally, split) for split in ("train", "validation")},
        "tokens": sum(tally.tokens.values()) if tokenizer else None,
        "thought_skeletons": len(tally.skeletons),
        "sources": sources,
        "paper": {"samples": PAPER_SAMPLES, "tokens": PAPER_TOKENS},
        "notes": list(NOTES),
    }


def _total(tally: Tally, split: str, name: str | None = None) -> int:
    found = [n for (source, part, _), n in tally.counts.items() if part == split and name in (None, source)]
    return sum(found)


def _describe_source(name: str, tally: Tally, counted: bool) -> dict[str, Any]:
    corpus = CORPORA[name]
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
        "paper": {"samples": corpus.paper_samples, "tokens": corpus.paper_tokens},
        "license": corpus.license,
        "origin": corpus.origin,
        "note": corpus.note.format(dialogues=f"{sum(dialogues.values()):,}"),
    }


# ── Markdown ──────────────────────────────────────────────────────────────────────────────────────


def write_card(card: dict[str, Any]) -> str:
    """The card as Markdown with the front matter that the Hugging Face Hub reads."""
    parts = (_front_matter(card), _summary(card), _table(card), _remarks(card), _fields(), _licenses(card))
    return "\n\n".join(parts) + "\n"


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
    lines += [f"- {name}: {share:.0%} of its dialogues were taken." for name, share in card["shares"].items()]
    lines += [f"- {note}" for note in card["notes"]]
    return "Where the figures differ, and why:\n\n" + "\n".join(lines)


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
