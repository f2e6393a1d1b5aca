"""How much of the test sets a training mixture holds: whether "zero-shot" is true.

    coalm data check MIXTURE --against multiwoz,sgd --benchmarks DIR      writes MIXTURE/overlap.json

Four measures, for each benchmark:

    items        whole ones: all that the user says, each turn word for word and however short, stands in one
                 training sample. The last sample of a training dialogue has all its turns, so where no item is
                 found, none was trained on: a question for `snips` and `sgd`, whose training splits are.
    utterances   what the user says, word for word, as a whole turn of a training sample. Words are runs of
                 letters and digits in lower case. Short ones ("yes please") are alike everywhere, so those of
                 eight words and more are counted apart.
    grams        runs of eight words in what the user says: of how many items is any in the training text, and
                 which share of an item's on average. Items of fewer words have none and are left out.
    functions    the benchmark's own functions that are in a training sample's list of tools: by name, and by
                 name and parameters together. Letter case and punctuation in names are no difference.

What counts is content. Of a test item: the user's words and the functions that it brings. Of a training sample:
the conversation (everybody's words, thoughts, calls, results) and its answer for the first three measures, its
list of tools for the last. Task and format instructions, descriptions of tools, domains and slots are ours or
a schema's, and are left out. MultiWOZ brings no functions; those that we write for it are not counted.

Memory is that of the test sets and of short keys of what was seen, whatever the mixture's size: its samples are
read once, in a stream, and what many of them repeat (a history, a list of tools) is looked at once.

    contents.py    what counts: of a test item, of a sample
    grams.py       words and runs of them, as numbers
    sets.py        a test set: what is looked for in training, and what was found
    scan.py        the training samples, once through
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from coalm.card import write_card
from coalm.dialogue import Sample
from coalm.mixture import read
from coalm.overlap.contents import BENCHMARKS, Content, read_contents
from coalm.overlap.grams import GRAM, Vocabulary
from coalm.overlap.scan import Scan
from coalm.overlap.sets import TestSet
from coalm.runs import read_json, sha256, write_json, write_text

__all__ = ["BENCHMARKS", "NAME", "Content", "check_overlap", "measure", "read_contents"]

NAME = "overlap.json"

Progress = Callable[[int, int | None], None]


def check_overlap(
    mixture: Path,
    names: Sequence[str],
    root: Path,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Measure a mixture against benchmarks whose data is in `root`; the content of its `overlap.json`, which is
    written, and taken up in its card.

    Raises:
        DataError: no mixture, no such benchmark, or its data is missing.
    """
    tests = {name: read_contents(name, root) for name in names}
    found = measure(read(mixture), tests, progress)
    found["train_sha256"] = sha256(mixture / "train.parquet")
    write_json(mixture / NAME, found)
    if (mixture / "card.json").exists():
        write_text(mixture / "card.md", write_card(read_json(mixture / "card.json"), found))
    return found


def measure(
    samples: Iterable[Sample],
    tests: Mapping[str, Sequence[Content]],
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """The overlap of training samples with test sets, as `overlap.json` has it but for the file's hash.

    `progress` is told (samples so far, None).
    """
    words = Vocabulary()
    sets = {name: TestSet(contents, words) for name, contents in tests.items()}
    scan = Scan(words, sets)
    count = 0
    for count, sample in enumerate(samples, 1):
        scan.add(sample)
        if count % 1000 == 0:
            progress(count, None)
    scan.finish()
    return {
        "samples": count,
        "gram": GRAM,
        "benchmarks": {name: one.describe(scan.sources) for name, one in sets.items()},
    }
