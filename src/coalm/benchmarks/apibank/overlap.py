"""ROUGE and BLEU of a predicted call against the gold one, as texts, in two profiles; all in percent.

    paper      words by jieba; rouge-1, rouge-2 over sets of n-grams, rouge-l over words; bleu-4 over characters
    standard   words of a-z and 0-9 in lower case; rouge1, rouge2 over n-grams, rougeL; bleu over 13a tokens

`paper` are the metrics of the trainer that Hammer's evaluation uses (rouge-chinese; nltk's sentence BLEU with
smoothing method 3), `standard` those of rouge-score without stemming and of sacrebleu's sentence BLEU. Names
and figures are those libraries'; the formulas are written out here so that none of them is needed.
"""

from __future__ import annotations

import logging
import math
import re
import warnings
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from functools import cache
from typing import Any

MAX_ORDER = 4

# Where rouge-chinese starts a new sentence: after an end mark, unless a closing quote follows.
_SENTENCE_ENDS = (
    re.compile(r"([。！？?])([^”’])"),
    re.compile(r"(\.{6})([^”’])"),
    re.compile(r"(…{2})([^”’])"),
    re.compile(r"([。！？?][”’])([^，。！？?])"),
)
# What mteval-v13a sets apart: ASCII punctuation, but . and , only with no digit on one side, - only after one.
_13A_BREAKS = (
    (re.compile(r"([ -&(-+/:-@\[-`{-~])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
_13A_REPLACED = (
    ("<skipped>", ""),
    ("-\n", ""),
    ("\n", " "),
    ("&quot;", '"'),
    ("&amp;", "&"),
    ("&lt;", "<"),
    ("&gt;", ">"),
)


def paper_scores(reference: str, prediction: str) -> dict[str, float]:
    """rouge-1, rouge-2, rouge-l and bleu-4; all ROUGE are 0 where either side is blank."""
    gold, said = jieba_words(reference), jieba_words(prediction)
    return {
        "rouge-1": _f_measure(len(set(gold) & set(said)), len(set(gold)), len(set(said))),
        "rouge-2": _set_rouge_2(gold, said),
        "rouge-l": _f_measure(longest_common(gold, said), len(gold), len(said)),
        "bleu-4": bleu(reference, prediction, all_orders=True),
    }


def standard_scores(reference: str, prediction: str) -> dict[str, float]:
    """rouge1, rouge2, rougeL and bleu."""
    gold, said = plain_words(reference), plain_words(prediction)
    return {
        "rouge1": _counted_rouge(gold, said, 1),
        "rouge2": _counted_rouge(gold, said, 2),
        "rougeL": _f_measure(longest_common(gold, said), len(gold), len(said)),
        "bleu": bleu(tokens_13a(reference), tokens_13a(prediction), all_orders=False),
    }


def _set_rouge_2(gold: Sequence[str], said: Sequence[str]) -> float:
    gold_pairs, said_pairs = set(ngrams(gold, 2)), set(ngrams(said, 2))
    return _f_measure(len(gold_pairs & said_pairs), len(gold_pairs), len(said_pairs))


def _counted_rouge(gold: Sequence[str], said: Sequence[str], order: int) -> float:
    gold_grams, said_grams = Counter(ngrams(gold, order)), Counter(ngrams(said, order))
    return _f_measure((gold_grams & said_grams).total(), gold_grams.total(), said_grams.total())


def _f_measure(hits: int, in_gold: int, in_prediction: int) -> float:
    """2PR / (P + R) with P = hits / in_prediction and R = hits / in_gold."""
    return 200 * hits / (in_gold + in_prediction) if hits else 0.0


def bleu(gold: Sequence[Hashable], said: Sequence[Hashable], *, all_orders: bool) -> float:
    """Sentence BLEU up to 4-grams; the k-th order without a match counts 1 / 2^k matches (NIST smoothing).

    An order for which `said` is too short counts as one without a match (nltk) if `all_orders`, else it is left
    out (sacrebleu's effective order).
    """
    logarithms: list[float] = []
    unmatched = 0
    for order in range(1, MAX_ORDER + 1):
        said_grams = Counter(ngrams(said, order))
        total = said_grams.total()
        if not total and not all_orders:
            break
        matched: float = (said_grams & Counter(ngrams(gold, order))).total()
        if not matched:
            if order == 1:
                return 0.0
            unmatched += 1
            matched = 1 / 2**unmatched
        logarithms.append(math.log(matched / max(1, total)))
    if not logarithms:
        return 0.0
    brevity = min(0.0, 1 - len(gold) / len(said))
    return 100 * math.exp(brevity + sum(logarithms) / len(logarithms))


def ngrams(sequence: Sequence[Any], order: int) -> Iterable[tuple[Any, ...]]:
    """All runs of `order` elements."""
    return zip(*(sequence[start:] for start in range(order)), strict=False)


def longest_common(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Length of the longest common subsequence.

    Bit-parallel (Hyyrö 2004): bit i of `row` is 0 where a longest match ends at first[i].
    """
    positions: dict[Hashable, int] = {}
    for index, element in enumerate(first):
        positions[element] = positions.get(element, 0) | 1 << index
    full = (1 << len(first)) - 1
    row = full
    for element in second:
        met = row & positions.get(element, 0)
        row = (row + met | row - met) & full
    return len(first) - row.bit_count()


# ── tokens ────────────────────────────────────────────────────────────────────────────────────────


def plain_words(text: str) -> list[str]:
    """rouge-score's tokens."""
    return re.findall(r"[a-z0-9]+", text.lower())


def tokens_13a(text: str) -> list[str]:
    """sacrebleu's default tokens (mteval-v13a)."""
    text = text.rstrip()
    for found, replacement in _13A_REPLACED:
        text = text.replace(found, replacement)
    text = f" {text} "
    for pattern, spaced in _13A_BREAKS:
        text = pattern.sub(spaced, text)
    return text.split()


def jieba_words(text: str) -> list[str]:
    """Words as rouge-chinese sees them in jieba's segmentation; a blank line is one empty word."""
    segmented = " ".join(_jieba().cut(text))
    for pattern in _SENTENCE_ENDS:
        segmented = pattern.sub(r"\1\n\2", segmented)
    sentences = [sentence for sentence in segmented.rstrip().split("\n") if sentence]
    return [word for sentence in sentences for word in (sentence.split() or [""])]


@cache
def _jieba() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its sources have invalid escapes, which Python warns of
        import jieba
    jieba.setLogLevel(logging.WARNING)
    return jieba
