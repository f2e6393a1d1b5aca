"""Guests who order a taxi."""

from __future__ import annotations

from coalm.dialogue import Act
from coalm.guests.kinds import Row
from coalm.guests.scene import Scene, facts, inform, intent, request
from coalm.guests.words import Said, alone, draw, money, phrase, say_day, say_time, words
from coalm.guests.world import rows_of

_BOOK = "book_taxi"
_NEEDED = {"departure": "q_pick_up", "destination": "q_drop_off", "time": "q_taxi_time"}


def play(scene: Scene) -> None:
    """A guest orders a taxi between two places, by what was booked before where there is anything."""
    scene.speak_of("taxi")
    wanted = _draw_ride(scene)
    given = [slot for slot in wanted if slot not in _NEEDED or scene.chance(0.8)]
    told = [wanted[slot] for slot in given]
    forms = {**words()["taxi"], "day": words()["on_day"]}
    parts = [phrase(scene.random, forms[said.slot], said) for said in told]
    scene.ask("taxi", [intent(_BOOK), *inform(told)], _BOOK, details=" ".join(parts))
    missing = [slot for slot in _NEEDED if slot not in given]
    if missing:
        questions = " ".join(draw(scene.random, _NEEDED[slot]) for slot in missing)
        scene.tell("s_ask", request(missing), questions=questions)
        answer = [wanted[slot] for slot in missing]
        scene.ask("given", inform(answer), _BOOK, alone=alone(scene.random, answer, words()["taxi"]))
    _confirm(scene, scene.call(_BOOK, **{said.slot: said.value for said in wanted.values()}))


def _draw_ride(scene: Scene) -> dict[str, Said]:
    """Where from and to and when; without a day it is for today."""
    random, now = scene.random, scene.desk.now()
    tables = random.sample(["restaurants", "hotels", "attractions"], 2)
    names = [random.choice(rows_of(scene.desk, table))["name"] for table in tables]
    booked = [row["name"] for row in scene.desk.bookings() if row["domain"] in ("restaurant", "hotel")]
    if booked and booked[0] not in names:
        names[random.randrange(2)] = booked[0]
    elif scene.chance(0.3):
        names[0] = rows_of(scene.desk, "hotels")[0]["address"]
    found = {slot: Said(slot, name, name) for slot, name in zip(_NEEDED, names, strict=False)}
    today = scene.chance(0.4) and now.hour < 20
    first = now.hour + 1 if today else 6
    minutes = random.randrange(first, 24) * 60 + random.choice([0, 15, 30, 45])
    found["time"] = say_time(random, "time", minutes)
    if not today:
        found["day"] = say_day(random, now.date())
    return found


def _confirm(scene: Scene, answer: Row) -> None:
    values = {**answer, "ref": answer["reference"], "price": money(answer["price"])}
    text = draw(scene.random, "s_booked_taxi", **values)
    acts = [Act("NOTIFY_SUCCESS"), *facts(answer, ["reference"], "INFORM")]
    scene.say(f"{text} {draw(scene.random, 's_anything')}", acts)
