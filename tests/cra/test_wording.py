"""Names and lists in English."""

from __future__ import annotations

import pytest

from coalm.cra import wording
from coalm.cra.wording import Pair, Thought

FOUND = [
    Pair("city", "Arlen"),
    Pair("has_wifi", "True"),
    Pair("price_range", "dontcare"),
    Pair("subtitles", "False"),
]


@pytest.mark.parametrize(
    ("write", "text"),
    [
        (
            wording.pairs,
            "the city (Arlen), wifi (yes), the price range (any) and a version with subtitles (no)",
        ),
        (
            wording.pairs_values_first,
            "Arlen as the city, a wish for wifi, no preference for the price range and no wish for a version "
            "with subtitles",
        ),
        (
            wording.wishes,
            "the city is Arlen, wifi is wanted, the price range does not matter and a version with subtitles "
            "is not wanted",
        ),
        (wording.facts, "the city is Arlen, it has wifi, the price range is any and there are no subtitles"),
        (wording.details, "city: Arlen, wifi: yes, price range: any, a version with subtitles: no"),
    ],
)
def test_lists_of_slots_and_values(write: object, text: str) -> None:
    assert callable(write)
    assert write(FOUND) == text


def test_lists_of_slots() -> None:
    assert wording.nouns(["to_location", "has_wifi"]) == "the destination and wifi"
    assert wording.questions(["hotel_name", "has_wifi"]) == "the hotel and whether it has wifi"


def test_goals_of_ours() -> None:
    assert wording.known_goal("Services_2", "FindProvider") == "find a dentist"
    assert wording.known_goal("Services_9", "FindProvider") == "find a provider"
    assert wording.known_goal("Zoo_1", "FeedTheLions") == ""


@pytest.mark.parametrize(
    ("description", "goal"),
    [
        ("Give the lions their food.", "give the lions their food"),
        ("TV shows on demand", "TV shows on demand"),
        ("", "feed the lions"),
    ],
)
def test_goals_of_others(description: str, goal: str) -> None:
    assert wording.goal("FeedTheLions", description) == goal


def test_enumerations() -> None:
    assert wording.enumerate_words(["a"]) == "a"
    assert wording.enumerate_words(["a", "b"], "or") == "a or b"
    assert wording.enumerate_words(["a", "b", "c"]) == "a, b and c"


def test_a_sentence_never_needs_what_is_not_given() -> None:
    for key in range(50):
        thought = Thought(str(key))
        thought.say("confirm", pairs="the city (Arlen)", slots="the city", function=None, goal=None)
        assert thought.text == "I will read the details back first: the city (Arlen)."
        assert thought.skeleton == "I will read the details back first: {pairs}."


def test_values_are_not_read_as_templates() -> None:
    thought = Thought("x")
    thought.say("other_facts", facts="the name is {goal}")
    assert "{goal}" in thought.text
    assert "{goal}" not in thought.skeleton
