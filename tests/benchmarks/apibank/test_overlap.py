"""Small cases worked out by hand; the libraries' own figures on real rows are in test_oracle.py."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalm.benchmarks.apibank.overlap import (
    bleu,
    jieba_words,
    longest_common,
    paper_scores,
    plain_words,
    standard_scores,
    tokens_13a,
)

texts = st.text("abc 12.,-?()[]='\n&_é你好", max_size=40)


def test_paper_rouge_counts_each_ngram_once() -> None:
    found = paper_scores("a b a b", "a b c")
    assert found["rouge-1"] == pytest.approx(200 * 2 / (2 + 3))
    assert found["rouge-2"] == pytest.approx(200 * 1 / (2 + 2))
    assert found["rouge-l"] == pytest.approx(200 * 2 / (4 + 3))


def test_standard_rouge_counts_every_ngram() -> None:
    found = standard_scores("[A(b='a', c='b')]", "A b a B")
    assert found["rouge1"] == pytest.approx(200 * 4 / (5 + 4))
    assert found["rouge2"] == pytest.approx(200 * 2 / (4 + 3))
    assert found["rougeL"] == pytest.approx(200 * 4 / (5 + 4))


def test_paper_bleu_is_over_characters() -> None:
    # abcd against abed: 3/4 unigrams, 1/3 pairs, then no match: 1/2 of 2, 1/4 of 1
    expected = 100 * (3 / 4 * 1 / 3 * (1 / 2) / 2 * (1 / 4) / 1) ** 0.25
    assert paper_scores("abcd", "abed")["bleu-4"] == pytest.approx(expected)


def test_bleu_of_a_short_prediction() -> None:
    brevity = math.exp(1 - 5 / 2)
    # two words of five: both match; pairs 1 of 1; longer ones do not exist
    assert bleu("abcde", "ab", all_orders=False) == pytest.approx(100 * brevity)
    assert bleu("abcde", "ab", all_orders=True) == pytest.approx(100 * brevity * (1 / 2 * 1 / 4) ** 0.25)


def test_blank_sides() -> None:
    zero = {"rouge-1": 0, "rouge-2": 0, "rouge-l": 0, "bleu-4": 0}
    assert paper_scores("[F(x='1')]", "") == zero
    assert paper_scores("", "[F(x='1')]") == zero
    assert paper_scores("", "") == zero
    assert paper_scores("a b", " \n")["rouge-1"] == 0
    assert set(standard_scores("[F(x='1')]", "").values()) == {0}
    assert set(standard_scores("", "").values()) == {0}


def test_equal_calls_score_full_in_both_profiles() -> None:
    call = "[Book(room='12', day='2023-03-26', note='it's fine')]"
    assert set(paper_scores(call, call).values()) == {100}
    assert all(value == pytest.approx(100) for value in standard_scores(call, call).values())


def test_tokens() -> None:
    assert plain_words("[Get_Token(user='Zoë9')]") == ["get", "token", "user", "zo", "9"]
    assert tokens_13a("f(a=1,5, b='x-1'). It's 3-4\n&quot;") == (
        ["f", "(", "a", "=", "1,5", ",", "b", "=", "'x-1'", ")", ".", "It's", "3", "-", "4", '"']
    )
    assert jieba_words("[F(a='b', c=1.5)]") == [
        "[",
        "F",
        "(",
        "a",
        "=",
        "'",
        "b",
        "'",
        ",",
        "c",
        "=",
        "1.5",
        ")",
        "]",
    ]
    assert jieba_words("a?b\n \nc") == ["a", "?", "b", "", "c"]


@pytest.mark.parametrize(
    ("first", "second", "length"),
    [("", "", 0), ("abc", "", 0), ("abcbdab", "bdcaba", 4), ("aaaa", "aa", 2), ("abc", "cba", 1)],
)
def test_longest_common(first: str, second: str, length: int) -> None:
    assert longest_common(first, second) == length


@given(st.text("abc", max_size=12), st.text("abc", max_size=12))
def test_longest_common_as_by_the_table(first: str, second: str) -> None:
    row = [0] * (len(second) + 1)
    for char in first:
        above = row[:]
        for index, other in enumerate(second):
            row[index + 1] = above[index] + 1 if char == other else max(above[index + 1], row[index])
    assert longest_common(first, second) == row[-1]


@given(texts, texts)
def test_figures_are_percentages(reference: str, prediction: str) -> None:
    for scores in (paper_scores(reference, prediction), standard_scores(reference, prediction)):
        assert all(0 <= value <= 100.000001 for value in scores.values())


@given(texts, texts)
def test_rouge_is_symmetric(first: str, second: str) -> None:
    for profile, names in (
        (paper_scores, ("rouge-1", "rouge-2", "rouge-l")),
        (standard_scores, ("rouge1", "rougeL")),
    ):
        there, back = profile(first, second), profile(second, first)
        assert all(there[name] == back[name] for name in names)
