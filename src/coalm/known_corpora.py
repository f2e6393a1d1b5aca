"""What is known of each corpus: its title, its terms, where it is from, and its row of the paper's Table 1."""

from __future__ import annotations

from typing import NamedTuple


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
        "A sample for each masked copy of a row: {dialogues}. 202,500 is three times 67,500, of xLAM's 60,000 "
        "rows and 7,500 irrelevance rows.",
    ),
    "toolace": Corpus(
        "ToolACE",
        "LA",
        "function calling, multi-turn",
        "apache-2.0",
        "https://huggingface.co/datasets/Team-ACE/ToolACE",
        13_819,
        10_199_147,
        "A sample for each turn of the assistant in {dialogues} conversations. The paper does not say which "
        "turns of the published ones its 13,819 samples are.",
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
    "messages": Corpus(
        "own conversations", "CRA", "ReAct with API calls, multi-turn", "other", "this folder's `run.json`"
    ),
    "guests": Corpus(
        "guests at the travel desk",
        "CRA",
        "ReAct with API calls, multi-turn",
        "apache-2.0",
        "`coalm.guests`, of the package",
        note="Not in the paper's mixture: {dialogues} conversations of scripted guests with a real desk.",
    ),
}
OWN = Corpus("", "own", "own", "other", "this folder's `run.json`")
"""A corpus that somebody has added, with its name for a title: its terms are theirs to write into the card."""
RELEASED = "https://huggingface.co/datasets/uiuc-convai/CoALM-IT"
CORPORA["sgd-llm"] = CORPORA["sgd"]._replace(
    title="SGD, rewritten",
    note="A sample for every step of {dialogues} dialogues that a language model has written anew by "
    "`coalm data cra`, less those that the checks rejected. Its terms apply too.",
)
CORPORA |= {
    f"released-{name}": CORPORA[name]._replace(
        title=f"{CORPORA[name].title}, as released",
        license="cc-by-nc-4.0",
        origin=RELEASED,
        note="The authors' own rows, told from the others by their form (sources/released.py); their "
        "licence is for non-commercial use.",
    )
    for name in ("snips", "xlam", "toolace", "sgd")
}
TEXT = tuple(f"{name}-text" for name in ("snips", "xlam", "toolace", "sgd"))
CORPORA |= {
    name: CORPORA[name.removesuffix("-text")]._replace(
        domain="TEXT",
        format="plain text, all of it learned",
        paper_samples=None,
        paper_tokens=None,
        note="What is said, without calls: for a model that has no language yet.",
    )
    for name in TEXT
}
"""The words of the corpora alone."""
