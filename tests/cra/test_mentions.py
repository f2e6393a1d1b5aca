"""Dates, times and numbers in English text."""

from __future__ import annotations

import calendar
import re
from datetime import date
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalm.cra.mentions import Mentions
from coalm.sources import sgd

TODAY = date(2019, 3, 1)  # a Friday


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("on March 9th", "2019-03-09 2024-03-09"),
        ("on the 9th", "2019-03-09 2019-04-09"),
        ("the ninth of this month", "2019-03-09"),
        ("9 March 2019", "2019-03-09"),
        ("Sept. 3", "2019-09-03"),
        ("from March 3rd to the 5th", "2019-03-03 2019-03-05"),
        ("2019-03-09", "2019-03-09"),
        ("today", "2019-03-01"),
        ("the day after tomorrow", "2019-03-03"),
        ("next Monday", "2019-03-04 2019-03-11"),
        ("Friday next week", "2019-03-08"),
    ],
)
def test_dates(text: str, days: str) -> None:
    said = Mentions.of(text)
    for day in days.split():
        assert said.has_date(date.fromisoformat(day), TODAY)
    assert not said.has_date(date(2019, 3, 21), TODAY)
    assert not said.has_date(date(2019, 10, 6), TODAY)
    assert not said.numbers


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("at 5:30 pm", "17:30"),
        ("at 5:30", "05:30 17:30"),
        ("5 o'clock", "05:00 17:00"),
        ("seven in the evening", "19:00"),
        ("evening 5:15", "17:15"),
        ("half past 12 in the afternoon", "12:30"),
        ("a quarter to one pm", "12:45"),
        ("17:05", "17:05"),
        ("12 am", "00:00"),
        ("noon", "12:00"),
        ("by midnight", "00:00 24:00"),
        ("after 8.45 p.m.", "20:45"),
        ("between 9 am and 11 am", "09:00 11:00"),
    ],
)
def test_times(text: str, times: str) -> None:
    said = Mentions.of(text)
    clock = {f"{hour:02}:{minute:02}" for hour in range(24) for minute in range(0, 60, 5)}
    assert {time for time in clock | {"24:00"} if said.has_time(time)} >= set(times.split())
    assert {time for time in clock if said.has_time(time)} <= {
        time.replace("24:", "00:") for time in times.split()
    }
    assert not said.numbers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("a table for two", {2}),
        ("$1,420", {1420}),
        ("4.50 stars", {4.5}),
        ("one thousand seven hundred and thirty dollars", {1730}),
        ("nine hundred and twenty bucks", {920}),
        ("twenty-five", {25}),
        ("a couple of 3rd floor rooms", {2}),
        ("a dozen", {12}),
        ("flight NX402 in room 12b", set()),
        ("it costs $17.35", {17.35}),
        ("nothing", set()),
    ],
)
def test_numbers(text: str, numbers: set[float]) -> None:
    assert Mentions.of(text).numbers == numbers


@given(st.dates(date(2000, 1, 1), date(2040, 1, 1)))
def test_any_date_is_found_in_any_form(day: date) -> None:
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10 if day.day not in (11, 12, 13) else 0, "th")
    month = calendar.month_name[day.month]
    for text in (
        day.isoformat(),
        f"on {month} {day.day}{suffix}",
        f"{day.day}{suffix} of {month} {day.year}",
        f"{day.month}/{day.day}",
    ):
        assert Mentions.of(text).has_date(day)


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    Mentions.of(text)


@pytest.mark.corpora
def test_sgd_means_what_its_annotation_says(shared: Path) -> None:
    """Every annotated wording of a date, time or number, against its canonical value."""
    pairs = set()
    for dialogue in islice(sgd.load(shared / "data", "train"), 0, None, 8):
        for turn in dialogue.turns:
            for act in turn.acts:
                pairs.update(zip(act.values, act.canonical_values, strict=False))
    checked, missed = 0, []
    for said, meant in pairs:
        mentions = Mentions.of(said)
        if re.fullmatch(r"\d{4}-\d\d-\d\d", meant):
            found = mentions.has_date(date.fromisoformat(meant), TODAY)
        elif re.fullmatch(r"\d\d:\d\d", meant):
            found = mentions.has_time(meant)
        elif re.fullmatch(r"\d+(\.\d+)?", meant):
            found = mentions.has_number(float(meant))
        else:
            continue
        checked += 1
        missed += [] if found else [(said, meant)]
    assert checked > 1000
    assert len(missed) <= 0.005 * checked, missed
