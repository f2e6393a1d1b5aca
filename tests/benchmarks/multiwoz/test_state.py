from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalm.benchmarks.multiwoz.state import compare, flatten, match_value, normalise, partial_ratio, tidy

texts = st.text("abcdef '-&|0123456789:", min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("slot", "value", "normal"),
    [
        ("hotel-name", "  Acorn  GuestHouse ", "acorn guest house"),
        ("hotel-name", "A & B guest-house", "a and b guest house"),
        ("hotel-name", "city centre north b and b", "city centre north bed and breakfast"),
        ("hotel-area", "center", "centre"),
        ("attraction-name", "christ 's college", "christs college"),
        ("attraction-name", "Christ's College", "christs college"),
        ("attraction-name", "christ college", "christs college"),
        ("attraction-type", "night club", "nightclub"),
        ("attraction-type", "swimmingpool", "swimming pool"),
        ("restaurant-name", "restaurant 2 two", "restaurant two two"),
        ("restaurant-time", "17 : 30", "17:30"),
        ("restaurant-time", "1730", "17:30"),
        ("restaurant-time", "930", "09:30"),
        ("train-leave", "9:05", "09:05"),
        ("train-leave", "5", "05:00"),
        ("train-leave", "5pm", "17:00"),
        ("train-leave", "after 5:15 p.m.", "17:15"),
        ("train-leave", "12 am", "00:00"),
        ("train-leave", "12:30 pm", "12:30"),
        ("train-arrive", "by 19:00", "19:00"),
        ("taxi-leave", "24:30", "00:30"),
        ("taxi-leave", "noon", "12:00"),
        ("taxi-leave", "dontcare", "dontcare"),
        ("taxi-leave", "18:5", "18:5"),
        ("train-people", "Two", "2"),
        ("hotel-stars", "four", "4"),
        ("restaurant-name", "two two", "two two"),
        ("hotel-parking", "free", "yes"),
        ("restaurant-name", "free", "free"),
    ],
)
def test_normal_forms(slot: str, value: str, normal: str) -> None:
    assert normalise(slot, value) == normal


@given(st.sampled_from(["hotel-name", "train-leave", "hotel-stars", "hotel-parking"]), texts)
def test_normal_form_is_its_own_normal_form(slot: str, value: str) -> None:
    assert normalise(slot, normalise(slot, value)) == normalise(slot, value)


@pytest.mark.parametrize(
    ("predicted", "gold", "kind"),
    [
        ("north", "north", "same"),
        ("The Cambridge Belfry", "cambridge belfry", "same"),
        ("cheap", "cheap|moderate", "same"),
        ("moderate", "cheap|moderate", "same"),
        ("cheap|moderate", "cheap|moderate", "same"),
        ("north", "south>north", "same"),
        ("meze bar", "meze bar restaurant", "close"),
        ("meze bar restaurant", "meze bar", "close"),
        ("warkworth house", "wankworth house", "close"),
        ("east", "west", "other"),
        ("none", "north", "other"),
        ("el shaddai", "el shaddia guest house", "other"),  # 90 is not above 90
    ],
)
def test_values(predicted: str, gold: str, kind: str) -> None:
    assert match_value("hotel-name", predicted, gold) == kind


def test_partial_ratio_is_the_best_stretch() -> None:
    assert partial_ratio("abc", "xxabcxx") == 100
    assert partial_ratio("abcd", "xxabxdxx") == 75
    assert partial_ratio("abc", "xyz") == partial_ratio("", "xyz") == 0
    assert partial_ratio("a" * 9 + "b", "a" * 9 + "c") == 90


@given(texts, texts)
def test_partial_ratio_is_symmetric_and_full_for_a_part(first: str, second: str) -> None:
    assert partial_ratio(first, second) == partial_ratio(second, first)
    assert partial_ratio(first, second + first) == 100


def test_compare_puts_each_slot_in_one_place() -> None:
    predicted = {"hotel-area": "North", "hotel-name": "meze bar", "hotel-stars": "4", "taxi-leave": "09:00"}
    gold = {"hotel-area": "north", "hotel-name": "meze bar 2", "hotel-stars": "3", "train-day": "monday"}
    found = compare(predicted, gold)
    assert found.same == ("hotel-area",)
    assert found.close == ("hotel-name",)
    assert found.wrong == ("hotel-stars",)
    assert found.missed == ("train-day",)
    assert found.extra == ("taxi-leave",)
    assert not found.fuzzy
    assert not found.strict


states = st.dictionaries(st.sampled_from(["hotel-area", "hotel-name", "train-leave"]), texts)


@given(states)
def test_a_state_is_strictly_itself(state: dict[str, str]) -> None:
    assert compare(state, state).strict


@given(states, states)
def test_strict_implies_fuzzy(predicted: dict[str, str], gold: dict[str, str]) -> None:
    found = compare(predicted, gold)
    assert found.fuzzy or not found.strict


def test_flatten_names_slots_as_we_do() -> None:
    state = {"Hotel": {"book people": "2", "bookDay": "monday", "area": ""}, "train": {"arriveBy": "09:00"}}
    assert flatten(state) == {"hotel-people": "2", "hotel-day": "monday", "train-arrive": "09:00"}
    assert flatten({"train": {"arrive by": "09:00", "stars": None}}) == {"train-arrive by": "09:00"}


def test_tidy_reads_a_models_own_words() -> None:
    said = {
        "Hotel": {"Price Range": "Cheap", "hotel-area": "none", "parking": "Don't care", "book people": "2"},
        "train": {"arrive by": "not mentioned", "leave_at": "any"},
        "taxi": {"leave": ""},
    }
    assert flatten(tidy(said)) == {
        "hotel-pricerange": "Cheap",
        "hotel-parking": "dontcare",
        "hotel-people": "2",
        "train-leave": "dontcare",
    }
