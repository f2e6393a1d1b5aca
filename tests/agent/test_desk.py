"""The travel desk: what guests write is read, what is full is refused, what is booked is on disk once."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from coalm.agent import Agent, Answer, Observed
from coalm.agent.desk import DOMAINS, Desk, Refused
from coalm.agent.desk.values import read_choice, read_day, read_time, write_time
from coalm.agent.tools import AgentTool, Toolbox
from coalm.dialogue import ToolCall
from coalm.errors import DataError
from coalm.retrieval import Retriever, choose_tools
from tests.agent.scripted import ScriptedModel

REQUESTS = json.loads(Path(__file__).with_name("desk_requests.json").read_text(encoding="utf-8"))
NOW = datetime(2026, 5, 6, 10, 0)  # a Wednesday


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "desk.sqlite", seed=1, now=lambda: NOW)


def run(desk: Desk, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """A call as an agent runs it: checked against its schema first."""
    box = Toolbox(desk.tools())
    tool, checked = box.prepare(ToolCall(name, arguments), {tool.name for tool in box.tools})
    found: dict[str, Any] = tool.run(checked)
    return found


@pytest.mark.parametrize("item", REQUESTS, ids=lambda item: item["request"][:40])
def test_requests_from_search_to_booking(desk: Desk, item: dict[str, Any]) -> None:
    booked = []
    for step in item["steps"]:
        if "refused" in step:
            with pytest.raises(Refused, match=step["refused"].replace("?", r"\?")):
                run(desk, step["call"], step["arguments"])
            continue
        found = run(desk, step["call"], step["arguments"])
        rows = next((value for value in found.values() if isinstance(value, list)), [])
        if "names" in step:
            assert [row["name"] for row in rows if "name" in row] == step["names"]
            assert found["found"] == len(step["names"])
        if "first" in step:
            assert rows[0]["train_id"] == step["first"]
        assert step.get("note", "") in found.get("note", "")
        assert found | step.get("gives", {}) == found
        booked += [found["reference"]] if step["call"].startswith("book_") else []
    assert sorted(one["reference"] for one in desk.bookings()) == sorted(booked)


def test_there_are_twenty_requests_over_all_functions(desk: Desk) -> None:
    assert len(REQUESTS) == 20
    called = {step["call"] for item in REQUESTS for step in item["steps"]}
    assert called == {tool.name for tool in desk.tools()} - {"cancel_booking", "list_bookings"}


def test_searches_are_read_only_and_the_rest_wants_a_yes(desk: Desk) -> None:
    tools: dict[str, AgentTool] = {tool.name: tool for tool in desk.tools()}
    assert len(tools) == 10
    for name, tool in tools.items():
        assert tool.read_only == name.startswith(("search_", "list_"))
        assert tool.confirm == name.startswith(("book_", "cancel_"))
        assert all(schema["description"] for schema in tool.tool.properties.values())
    assert tools["book_restaurant"].tool.required == ("name", "day", "time", "people")


def test_slots_of_the_state_are_parameters_of_the_functions(desk: Desk) -> None:
    for domain in DOMAINS:
        parameters = {
            name
            for tool in desk.tools()
            if tool.name.split("_")[1].rstrip("s") == domain.name
            for name in tool.tool.properties
        }
        assert {slot.name for slot in domain.slots} <= parameters
        for slot in domain.slots:
            assert all(read_choice(value.upper(), slot.values, slot.name) == value for value in slot.values)


def test_the_city_has_about_two_hundred_venues_and_each_can_be_found(desk: Desk) -> None:
    with sqlite3.connect(desk.path) as connection:
        names = {
            table: [row[0] for row in connection.execute(f"SELECT name FROM {table}")]
            for table in ("restaurants", "hotels", "attractions")
        }
    assert sum(map(len, names.values())) == 180
    searches: dict[str, Callable[..., dict[str, Any]]] = {
        "restaurants": desk.search_restaurants,
        "hotels": desk.search_hotels,
        "attractions": desk.search_attractions,
    }
    for table, search in searches.items():
        for name in names[table][::4]:
            assert name in {row["name"] for row in search(name=name.lower())[table]}


def test_an_agent_books_with_the_few_tools_it_is_shown(desk: Desk) -> None:
    """Four of ten tools in the prompt; a person says yes; the booking is in the file."""
    tools = desk.tools()
    model = ScriptedModel(
        "Thought: I look.\nAction: search_restaurants(food='vegan', area='centre', price='cheap')",
        "Thought: Book.\nAction: book_restaurant(name='The Second Leaf', day='friday', time='7pm', people=2)",
        "Thought: Booked.\nSystem: You have a table at The Second Leaf.",
    )
    choose = choose_tools(Retriever([tool.tool for tool in tools]), 4)
    agent = Agent(model, tools, choose=choose, confirm=lambda asked: True, context=desk.context())
    events = list(
        agent.say("Please book a table at a cheap vegan restaurant in the centre for friday, 7pm, two people.")
    )
    assert isinstance(events[-1], Answer)
    assert [event.failed for event in events if isinstance(event, Observed)] == [False, False]
    assert "It is wednesday 2026-05-06, 10:00." in model.prompts[0]
    shown = [tool.name for tool in tools if f"{tool.name}(" in model.prompts[0]]
    assert len(shown) == 4
    assert {"search_restaurants", "book_restaurant"} <= set(shown)
    assert [(one["name"], one["time"]) for one in desk.bookings()] == [("The Second Leaf", "19:00")]


def test_a_full_restaurant_says_what_is_free_and_those_are(desk: Desk) -> None:
    for guest in range(4):
        desk.for_guest(str(guest)).book_restaurant("Meadow Plate", "friday", "19:00", 4)
    with pytest.raises(Refused) as refused:
        desk.book_restaurant("Meadow Plate", "friday", "19:30", 2)
    assert "it is free at 21:00, 21:30, 22:00" in str(refused.value)
    other = str(refused.value).split("at that time: ")[1].split(" (")[0]
    assert desk.book_restaurant("Meadow Plate", "friday", "21:00", 2)["time"] == "21:00"
    assert desk.book_restaurant(other, "friday", "19:30", 2)["time"] == "19:30"


def test_never_more_guests_than_seats_at_any_minute(desk: Desk) -> None:
    random, made, refused = Random(3), 0, 0
    for number in range(90):
        time, people = write_time(random.randrange(12 * 60, 21 * 60, 10)), random.randint(1, 7)
        try:
            desk.for_guest(str(number)).book_restaurant("Kumo Sushi", "saturday", time, people)
            made += 1
        except Refused:
            refused += 1
    with sqlite3.connect(desk.path) as connection:
        rows = connection.execute("SELECT time, people FROM bookings").fetchall()
    assert made == len(rows)
    assert refused > 10
    peak = max(
        sum(people for start, people in rows if start <= minute < start + 120) for minute in range(24 * 60)
    )
    assert 30 < peak <= 36


def test_rooms_are_counted_night_by_night(desk: Desk) -> None:
    book = [desk.for_guest(str(number)).book_hotel for number in range(6)]
    book[0]("Vine Cottage", "friday", 2, 4)  # two of four rooms: Friday, Saturday
    book[1]("Vine Cottage", "saturday", 2, 4)  # Saturday is full now
    with pytest.raises(Refused, match=r"0 room.* free .* it is free from"):
        book[2]("Vine Cottage", "thursday", 3, 1)
    assert book[3]("Vine Cottage", "sunday", 5, 3)["rooms"] == 2
    assert book[4]("Vine Cottage", "thursday", 2, 4)["rooms"] == 2


def test_trains_and_taxis_fill_up(desk: Desk) -> None:
    for number in range(3):
        desk.for_guest(str(number)).book_train("AC0850-20260507", 15)
    with pytest.raises(Refused, match="has 3 seats left, not 4; there is room on AC0750-20260507"):
        desk.book_train("AC0850-20260507", 4)
    assert desk.search_trains("Aldermere", "Castlemoor", "tomorrow", "08:00")["trains"][0]["seats_left"] == 3
    for number in range(12):
        desk.for_guest(str(number)).book_taxi("Westgate", "Low Tide", "22:00")
    with pytest.raises(Refused, match="no car is free at 22:10; free at 21:00, 23:00"):
        desk.book_taxi("Low Tide", "Westgate", "22:10")


def test_a_cancelled_place_is_free_again_and_nobody_cancels_for_another(desk: Desk) -> None:
    reference = desk.book_restaurant("Bangkok Steps", "friday", "19:00", 16)["reference"]
    stranger = desk.for_guest("stranger")
    assert stranger.list_bookings() == {"bookings": []}
    with pytest.raises(Refused, match="there is no booking"):
        stranger.cancel_booking(reference)
    with pytest.raises(Refused, match="no table"):
        stranger.book_restaurant("Bangkok Steps", "friday", "19:00", 1)
    spelled = f"{reference[:4].lower()}-{reference[4:].lower()}"
    assert desk.cancel_booking(spelled)["cancelled"] == reference
    assert desk.bookings() == []
    with pytest.raises(Refused, match="cancelled already"):
        desk.cancel_booking(reference)
    assert stranger.book_restaurant("Bangkok Steps", "friday", "19:00", 16)["people"] == 16


def test_the_same_booking_twice_is_refused_with_the_first_reference(desk: Desk) -> None:
    reference = desk.book_hotel("Mill House", "friday", 1, 2)["reference"]
    with pytest.raises(Refused, match=reference):
        desk.book_hotel("mill house", "8 may", 1, 2)
    assert len(desk.bookings()) == 1


def test_another_process_reads_the_bookings_back(desk: Desk) -> None:
    desk.book_train("AC0850-20260507", 2)
    program = (
        "import json, sys; from coalm.agent.desk import Desk; print(json.dumps(Desk(sys.argv[1]).bookings()))"
    )
    command = [sys.executable, "-c", program, str(desk.path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(told) == desk.bookings()
    assert len(desk.bookings()) == 1


def test_guests_at_the_same_moment_never_share_a_seat(tmp_path: Path) -> None:
    path = tmp_path / "new" / "desk.sqlite"

    def book(number: int) -> bool:
        desk = Desk(
            path, guest=str(number), seed=number // 2, now=lambda: NOW
        )  # seeds, and so references, collide
        try:
            desk.book_restaurant("Meadow Plate", "friday", "19:00", 5)
        except Refused:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(book, range(16))) == 3  # 16 seats
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(DISTINCT reference), sum(people) FROM bookings").fetchone() == (
            3,
            15,
        )


def test_the_same_seed_gives_the_same_references(tmp_path: Path) -> None:
    told = []
    for name in ("one", "two"):
        desk = Desk(tmp_path / name, seed=7, now=lambda: NOW)
        told.append(
            [desk.book_taxi("Westgate", "Low Tide", "20:00"), desk.book_hotel("Mill House", "friday", 1, 1)]
        )
    assert told[0] == told[1]
    assert (
        Desk(tmp_path / "three").book_taxi("a b", "c d", "12:00", "tomorrow")["reference"]
        != told[0][0]["reference"]
    )


def test_text_is_never_part_of_a_query(desk: Desk) -> None:
    desk.book_hotel("Mill House", "friday", 1, 1)
    for text in ("x'; DROP TABLE bookings; --", '" OR 1=1 --', "%", "_"):
        with pytest.raises(Refused):
            desk.book_restaurant(text, "friday", "19:00", 2)
        with pytest.raises(Refused):
            desk.cancel_booking(text)
    desk.book_taxi("'; DROP TABLE bookings; --", "Low Tide", "20:00")
    assert [one["domain"] for one in desk.bookings()] == ["taxi", "hotel"]


@pytest.mark.parametrize("content", [b"notes, not a database at all " * 50, None])
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "other"
    if content is None:
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE notes (text TEXT)")
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(DataError, match="desk"):
        Desk(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("today", "2026-05-06"),
        ("the day after tomorrow", "2026-05-08"),
        ("in three days", "2026-05-09"),
        ("Wed", "2026-05-06"),
        ("next wednesday", "2026-05-13"),
        ("this coming Tuesday", "2026-05-12"),
        ("on thurs", "2026-05-07"),
        ("8 may", "2026-05-08"),
        ("Friday, May 8th", "2026-05-08"),
        ("the 3rd of March", "2027-03-03"),
        ("1 Jan 2027", "2027-01-01"),
        ("2026-05-20", "2026-05-20"),
        ("wednesday 2026-05-20", "2026-05-20"),
    ],
)
def test_days_as_people_write_them(text: str, day: str) -> None:
    assert read_day(text, NOW.date()) == date.fromisoformat(day)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("someday", "is no day"),
        ("5/8", "is no day"),
        ("31 june", "is no day"),
        ("friday or saturday", "is no day"),
        ("29 feb", "too far ahead"),
        ("2026-05-05", "has passed; today is wednesday 2026-05-06"),
        ("monday 8 may", "is a friday, not a monday"),
        ("2028-01-01", "too far ahead"),
        ("in 99999999999 days", "too far ahead"),
        ("", "is no day"),
    ],
)
def test_days_that_are_none(text: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        read_day(text, NOW.date())


@pytest.mark.parametrize(
    ("text", "time"),
    [
        *(("19:00", "19:00"), ("7pm", "19:00"), ("7.30 p.m.", "19:30"), ("1945", "19:45"), ("9:05", "09:05")),
        *(
            ("12 am", "00:00"),
            ("12pm", "12:00"),
            ("noon", "12:00"),
            ("13", "13:00"),
            ("at 8 in the evening", "20:00"),
        ),
        *(("half past 7 pm", "19:30"), ("quarter to eight in the morning", "07:45"), ("six o'clock pm", None)),
        *(
            ("7", None),
            ("half past seven", None),
            ("25:00", None),
            ("7:75", None),
            ("13pm", None),
            ("soon", None),
        ),
    ],
)
def test_times_as_people_write_them(text: str, time: str | None) -> None:
    if time is None:
        with pytest.raises(Refused, match=r"is no time|may be"):
            read_time(text)
    else:
        assert write_time(read_time(text)) == time
