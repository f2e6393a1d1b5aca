"""Guests who look for a train and book seats on it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from coalm.agent.desk.domains import CITIES
from coalm.agent.desk.values import read_day, read_time, write_time
from coalm.dialogue import Act
from coalm.guests.kinds import Row
from coalm.guests.scene import Scene, facts, give_up, inform, intent, request
from coalm.guests.words import (
    Said,
    alone,
    draw,
    join,
    money,
    noun_phrase,
    say_day,
    say_number,
    say_time,
    words,
)
from coalm.guests.world import rows_of, take

_SEARCH, _BOOK = "search_trains", "book_train"
_NEEDED = {"departure": "q_departure", "destination": "q_destination", "day": "q_travel_day"}
_SHOWN = ("train_id", "leaves", "arrives", "price")
_ASKED = {"duration": ("leaves", "arrives"), "price": ("price",), "arrives": ("arrives",)}
_ASKED |= {"id": ("train_id",), "seats": ("seats_left",)}


def play(scene: Scene) -> None:
    """A guest looks for a train, perhaps asks about it, and perhaps books it."""
    scene.speak_of("train")
    known = _open(scene)
    for _ in range(4):
        answer = scene.call(_SEARCH, **{said.slot: said.value for said in known.values()})
        if answer.get("trains"):
            break
        if "error" in answer or scene.chance(0.15):
            _refuse(scene)
            return
        _other_time(scene, known)
    else:
        scene.turns.pop()
        _refuse(scene, told=True)
        return
    row = _offer(scene, answer)
    for _ in range(scene.random.choice([0, 0, 0, 1, 2])):
        _ask_detail(scene, row)
    if scene.chance(0.85):
        _book(scene, row)


# ── finding ───────────────────────────────────────────────────────────────────────────────────────


def _open(scene: Scene) -> dict[str, Said]:
    """The guest says where to and when, at once or asked for; what a search needs, in its order."""
    wanted = _draw_journey(scene)
    said = [slot for slot in wanted if slot not in _NEEDED or scene.chance(0.85)]
    told = [wanted[slot] for slot in said]
    rule = "next" if len(scene.services) > 1 and scene.chance(0.85) else "find"
    acts = [intent(_SEARCH), *inform(told)]
    scene.ask(rule, acts, _SEARCH, np=noun_phrase(scene.random, "train", told))
    missing = [slot for slot in _NEEDED if slot not in said]
    while missing:
        questions = " ".join(draw(scene.random, _NEEDED[slot]) for slot in missing)
        scene.tell("s_ask", request(missing), questions=questions)
        given = missing if scene.chance(0.8) else missing[:1]
        answer = [wanted[slot] for slot in given]
        bare = len(missing) == 1 and scene.chance(0.4)
        text = answer[0].text if bare else alone(scene.random, answer)
        scene.ask("given", inform(answer), _SEARCH, alone=text)
        missing = [slot for slot in missing if slot not in given]
    return wanted


def _draw_journey(scene: Scene) -> dict[str, Said]:
    """A journey that trains make, on some day, mostly at some time; rarely one without a direct train."""
    random, today = scene.random, scene.desk.now().date()
    lines = [(row["departure"], row["destination"]) for row in rows_of(scene.desk, "trains")]
    departure, destination = random.choice(list(dict.fromkeys(lines)))
    if scene.chance(0.04):
        departure, destination = random.sample(CITIES[1:], 2)
    found = {
        "departure": Said("departure", departure, departure),
        "destination": Said("destination", destination, destination),
        "day": say_day(random, today),
    }
    slot = random.choice(["leave_after", "leave_after", "arrive_by", "arrive_by", "", ""])
    if slot:
        odd = scene.chance(0.1)
        late = slot == "leave_after"
        hour = (
            random.randrange(22, 24)
            if odd and late
            else random.randrange(4, 6)
            if odd
            else random.randrange(7, 20)
        )
        found[slot] = say_time(random, slot, hour * 60 + random.choice([0, 0, 0, 15, 30, 30, 45]))
    return found


def _other_time(scene: Scene, known: dict[str, Said]) -> None:
    """No train then: the guest names another time."""
    scene.tell("s_train_none", [Act("NOTIFY_FAILURE")])
    slot = next(slot for slot in known if slot not in _NEEDED)
    minutes = scene.random.randrange(8, 20) * 60 + scene.random.choice([0, 30])
    known[slot] = say_time(scene.random, slot, minutes)
    scene.ask("change", inform([known[slot]]), _SEARCH, alone=alone(scene.random, [known[slot]]))


def _refuse(scene: Scene, told: bool = False) -> None:
    if not told:
        scene.tell("s_refused", [Act("NOTIFY_FAILURE")])
    give_up(scene)


def _offer(scene: Scene, answer: Row) -> Row:
    """The first train, or the times of several; the one that the guest will speak of."""
    found, random = answer["trains"], scene.random
    if len(found) > 1 and scene.chance(0.45):
        shown = found[: random.randint(2, 4)]
        times = tuple(row["leaves"] for row in shown)
        acts = [Act("OFFER", "leaves", times, times), Act("INFORM_COUNT")]
        scene.tell("s_train_list", acts, times=join(times, "or"))
        chosen: Row = random.choice(shown)
        return chosen
    row: Row = found[0]
    text = draw(random, "s_train_one", **{**row, "price": money(row["price"])})
    if answer["found"] > 1 and scene.chance(0.6):
        text = draw(random, "s_train_many", row=text, count=answer["found"])
    scene.say(text, facts(row, _SHOWN))
    return row


def _ask_detail(scene: Scene, row: Row) -> None:
    detail = scene.random.choice([*_ASKED])
    scene.ask(f"ask_train_{detail}", request(_ASKED[detail]))
    minutes = (read_time(row["arrives"]) - read_time(row["leaves"])) % (24 * 60)
    value = {"duration": str(minutes), "price": money(row["price"]), "arrives": row["arrives"]}
    value |= {"id": row["train_id"], "seats": str(row["seats_left"])}
    acts = facts(row, _ASKED[detail], "INFORM")
    values = {"v": value[detail], "leaves": row["leaves"], "arrives": row["arrives"]}
    scene.tell(f"s_train_{detail}", acts, **values)


# ── booking ───────────────────────────────────────────────────────────────────────────────────────


def _book(scene: Scene, row: Row) -> None:
    """The guest books seats; sometimes there are too few."""
    random = scene.random
    [count] = random.choices(range(1, 8), [4, 6, 3, 4, 1, 1, 1])
    people = say_number(random, "people", count)
    given = scene.chance(0.65)
    if count > 1 and scene.chance(0.2):
        day = read_day(row["day"], scene.desk.now().date())
        take(scene.desk, "train", row["train_id"], day, row["seats_left"] - random.randrange(count))
    told = [people] if given else []
    _ask_for(scene, row, told)
    if not given:
        scene.tell("s_ask", request(["people"]), questions=draw(random, "q_people"))
        scene.ask("given", inform([people]), _BOOK, alone=alone(random, [people]))
    train = row["train_id"]
    for _ in range(2):
        answer = scene.call(_BOOK, train_id=train, people=count)
        if "error" not in answer:
            _confirm(scene, answer)
            return
        other = _retry(scene, answer["error"])
        if other is None:
            return
        train = other


def _ask_for(scene: Scene, row: Row, told: Sequence[Said]) -> None:
    """`Book the 9:05 train for two`, `book four tickets`."""
    random = scene.random
    thing, text = random.choice(words()["things"]["train"]), ""
    if told and told[0].value == 1:
        text = "for one person"
    elif told and scene.chance(0.3):
        thing = draw(random, "tickets", v=told[0].text)
    elif told:
        text = draw(random, "seats", v=told[0].text)
    acts = [Act("SELECT", "train_id", (row["train_id"],)), intent(_BOOK), *inform(told)]
    values = {"thing": thing, "details": text, "name": ""}
    if _was_listed(scene) or scene.chance(0.3):
        leaves = say_time(random, "leaves", read_time(row["leaves"])).text
        rule = "train_tickets" if thing[-1] == "s" and not text and told else "train_pick"
        train = random.choice(["train", "train", "one"])
        scene.ask(rule, acts, _BOOK, leaves=leaves, train=train, **values)
    else:
        scene.ask("book_it", acts, _BOOK, **values)


def _was_listed(scene: Scene) -> bool:
    """Whether the assistant has named several trains, so that the guest has to say which."""
    last = next((turn.text for turn in reversed(scene.turns) if turn.role == "assistant" and turn.text), "")
    return len(re.findall(r"\d\d:\d\d", last)) > 1 and " or " in last


def _retry(scene: Scene, error: str) -> str | None:
    """Too few seats: another train that the guest takes, or None."""
    left = re.search(r"has (-?\d+) seats left", error)
    others = re.findall(r"[A-Z]{2}\d{4}-\d{8}", error.partition("there is room on ")[2])
    if not others:
        _refuse(scene)
        return None
    times = [f"{one[2:4]}:{one[4:6]} train" for one in others[:1]]
    acts = [Act("NOTIFY_FAILURE"), *facts({"train_id": others[0]}, ["train_id"])]
    scene.tell("s_train_full", acts, left=left[1] if left else "0", times=join(times))
    if scene.chance(0.2):
        give_up(scene)
        return None
    leaves = Said("leaves", f"the {write_time(read_time(times[0][:5]))} train", others[0])
    scene.ask("retry_name", [Act("AFFIRM"), *inform([])], _BOOK, name=leaves.text)
    return str(others[0])


def _confirm(scene: Scene, answer: Row) -> None:
    count = answer["people"]
    people = "1 person" if count == 1 else f"{count} people"
    values = {**answer, "people": people, "ref": answer["reference"], "price": money(answer.get("price"))}
    text = draw(scene.random, "s_booked_train", **values)
    acts = [Act("NOTIFY_SUCCESS"), *facts(answer, ["reference"], "INFORM")]
    scene.say(f"{text} {draw(scene.random, 's_anything')}", acts)
