"""The model that comes with the package, at the travel desk: three guests, each to a confirmed booking."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from coalm.agent import Agent, Answer, Called, Event, Sessions
from coalm.agent.desk import Desk
from coalm.models import Model, open_model

NOW = datetime(2026, 5, 6, 10, 0)  # a Wednesday

GUESTS = {
    "restaurant": (
        (
            "I am looking for a moderate Italian restaurant in the centre.",
            "Please book a table there for 2 people tomorrow at 19:00.",
            "Yes, that is right.",
        ),
        {"name": "Bella Ferrante", "day": "2026-05-07", "time": "19:00", "people": 2},
    ),
    "hotel": (
        (
            "Find me a cheap hotel in the centre with parking.",
            "Please book it for 2 people from friday, 3 nights.",
            "Yes, please do.",
        ),
        {"name": "The Old Mint", "day": "2026-05-08", "nights": 3, "people": 2},
    ),
    "train": (
        (
            "I need a train from Aldermere to Castlemoor on friday, leaving after 09:00.",
            "Please book the first one for 2 people.",
            "Yes, go ahead.",
        ),
        {"departure": "Aldermere", "destination": "Castlemoor", "day": "2026-05-08", "people": 2},
    ),
}


@pytest.fixture(scope="module")
def nano() -> Model:
    return open_model("nano")


@pytest.mark.parametrize("what", GUESTS)
def test_a_conversation_ends_with_a_booking(what: str, nano: Model, tmp_path: Path) -> None:
    said, wanted = GUESTS[what]
    desk = Desk(tmp_path / "desk.db", seed=1, now=lambda: NOW)
    asked: list[str] = []

    def confirm(call: Any, *_: Any) -> bool:
        asked.append(call.name)
        return True

    session = Sessions(tmp_path / "sessions.db").create()
    agent = Agent(nano, desk.tools(), session=session, context=desk.context(), confirm=confirm)
    events: list[Event] = [event for line in said for event in agent.say(line)]
    for event in events:
        print(event)
    booked = desk.bookings()
    assert len(booked) == 1
    assert booked[0] | wanted == booked[0]
    assert asked == [f"book_{what}"]
    assert any(isinstance(event, Called) and event.name == f"search_{what}s" for event in events)
    answers = [event for event in events if isinstance(event, Answer)]
    assert len(answers) == len(said)
    assert not any(answer.error for answer in answers)
