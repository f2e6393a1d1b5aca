"""Guests who ask what they have booked, and who cancel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coalm.dialogue import Act
from coalm.guests.scene import Scene, inform, intent
from coalm.guests.words import Said, draw, join
from coalm.guests.world import rows_of

_CANCEL, _LIST = "cancel_booking", "list_bookings"
_UNKNOWN = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def have_booked(scene: Scene, count: int) -> None:
    """Bookings from before the conversation, made at the desk itself."""
    random, desk = scene.random, scene.desk
    makers = random.sample(["restaurant", "hotel", "train"], count)
    for maker in makers:
        day = f"in {random.randint(2, 20)} days"
        people = random.randint(1, 6)
        if maker == "restaurant":
            row = random.choice(rows_of(desk, "restaurants"))
            desk.book_restaurant(row["name"], day, f"{random.randint(18, 20)}:00", people)
        elif maker == "hotel":
            desk.book_hotel(random.choice(rows_of(desk, "hotels"))["name"], day, random.randint(1, 5), people)
        else:
            line = random.choice(rows_of(desk, "trains"))
            found = desk.search_trains(line["departure"], line["destination"], day)["trains"]
            desk.book_train(random.choice(found)["train_id"], people)


def play(scene: Scene) -> None:
    """A guest lists what is booked, or cancels it, or both."""
    scene.speak_of("bookings")
    if not scene.turns:
        have_booked(scene, scene.random.choice([0, 1, 1, 2, 2, 3]))
    booked = scene.desk.bookings()
    draw_ = scene.random.random()
    if not booked or draw_ < 0.45:
        _list(scene)
        if booked and scene.chance(0.55):
            _cancel_named(scene, scene.random.choice(booked), known=True)
    elif draw_ < 0.7:
        _cancel_named(scene, scene.random.choice(booked), known=False)
    elif draw_ < 0.93:
        row = scene.random.choice(booked)
        _cancel(scene, row["reference"])
    else:
        _cancel(scene, "".join(scene.random.choices(_UNKNOWN, k=8)))


def cancel_last(scene: Scene) -> None:
    """The guest does not want what was just booked after all."""
    text = next(turn.text for turn in reversed(scene.turns) if turn.role == "assistant" and turn.text)
    booked = [row for row in scene.desk.bookings() if row["reference"] in text]
    if not booked:
        return
    scene.speak_of("bookings")
    scene.ask("cancel_it", [intent(_CANCEL)], _CANCEL)
    _tell_cancelled(scene, scene.call(_CANCEL, reference=booked[0]["reference"]))


def _list(scene: Scene) -> None:
    scene.ask("list", [intent(_LIST)], _LIST)
    rows = scene.call(_LIST)["bookings"]
    told = [
        draw(scene.random, "s_booking", **{**row, "name": _name(row), "ref": row["reference"]}) for row in rows
    ]
    rule = "s_list" if len(rows) > 1 else "s_list_one" if rows else "s_list_none"
    acts = [Act("INFORM", f"{row['domain']} booking", (row["name"],)) for row in rows]
    scene.tell(rule, acts or [Act("NOTIFY_FAILURE")], count=len(rows), rows=join(told))


def _cancel(scene: Scene, reference: str) -> None:
    """By a reference that the guest knows."""
    text = reference if scene.chance(0.8) else reference.lower()
    said = Said("reference", text, reference)
    scene.ask("cancel_ref", [intent(_CANCEL), *inform([said])], _CANCEL, ref=text)
    _tell_cancelled(scene, scene.call(_CANCEL, reference=reference), reference)


def _cancel_named(scene: Scene, row: Mapping[str, Any], known: bool) -> None:
    """By what it is; where the reference is not known yet, the list of bookings comes first."""
    name = row["name"]
    if scene.chance(0.5) or row["domain"] == "train":
        same = [one for one in scene.desk.bookings() if one["domain"] == row["domain"]]
        if len(same) > 1:
            _cancel(scene, row["reference"])
            return
        name = draw(scene.random, f"name_{row['domain']}", destination=row.get("destination", ""))
    scene.ask("cancel_what", [intent(_CANCEL)], _CANCEL, name=name)
    if not known:
        scene.call(_LIST)
    _tell_cancelled(scene, scene.call(_CANCEL, reference=row["reference"]))


def _tell_cancelled(scene: Scene, answer: Mapping[str, Any], reference: str = "") -> None:
    if "error" in answer:
        scene.tell("s_no_reference", [Act("NOTIFY_FAILURE")], ref=reference)
        return
    name = f"train {answer['name']}" if answer["domain"] == "train" else answer["name"]
    text = draw(scene.random, "s_cancelled", name=name, ref=answer["cancelled"])
    scene.say(f"{text} {draw(scene.random, 's_anything')}", [Act("NOTIFY_SUCCESS")])


def _name(row: Mapping[str, Any]) -> str:
    return f"the train to {row['destination']}" if row["domain"] == "train" else str(row["name"])
