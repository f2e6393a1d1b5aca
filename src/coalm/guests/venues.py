"""Guests who look for a restaurant, a hotel or an attraction, and ask about it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from coalm.agent.desk.domains import AREAS, ATTRACTION_KINDS, FOODS, HOTEL_KINDS, PRICES
from coalm.dialogue import Act
from coalm.guests.kinds import HOTEL, Kind, Row
from coalm.guests.reserving import ORDINALS, Booking, book, change, draw_booking
from coalm.guests.scene import Scene, facts, give_up, inform, intent, request
from coalm.guests.words import Said, alone, behind, details, draw, join, money, noun_phrase, say_wish, words
from coalm.guests.world import rows_of

_CHOICES: Mapping[str, Sequence[str | int]] = {
    "area": AREAS,
    "food": FOODS,
    "price": PRICES,
    "stars": (2, 3, 4, 5),
}


def play(scene: Scene, kind: Kind) -> None:
    """A guest looks for a place, perhaps asks about it, and perhaps books it."""
    scene.speak_of(kind.name)
    if kind.needs and scene.chance(0.14):
        row = scene.random.choice(rows_of(scene.desk, kind.table))
        book(scene, kind, row, "book_name")
        return
    early = draw_booking(scene, kind) if kind.needs and scene.chance(0.2) else None
    named = not early and scene.chance(0.14)
    found = _find_named(scene, kind) if named else _find(scene, kind, early)
    if not found:
        return
    liked, rule = found
    for _ in range(scene.random.choice([0, 0, 1, 1, 2]) if rule else 0):
        _ask_detail(scene, kind, liked)
    if kind.needs and (early or scene.chance(0.85)) and book(scene, kind, liked, rule, early):
        _go_on(scene, kind, liked)


def _go_on(scene: Scene, kind: Kind, row: Row) -> None:
    """After a booking: a question, or a change."""
    draw_ = scene.random.random()
    if draw_ < 0.18:
        _ask_detail(scene, kind, row)
    elif draw_ < 0.28:
        change(scene, kind)


# ── finding ───────────────────────────────────────────────────────────────────────────────────────


def _find_named(scene: Scene, kind: Kind) -> tuple[Row, str] | None:
    """The guest knows its name."""
    name = scene.random.choice(rows_of(scene.desk, kind.table))["name"]
    scene.ask("about", [intent(kind.search), *inform([Said("name", name, name)])], kind.search, name=name)
    answer = scene.call(kind.search, name=name)
    row = next(row for row in answer[kind.table] if row["name"] == name)
    _offer(scene, kind, row, "s_one")
    return row, "book_it"


def _find(scene: Scene, kind: Kind, early: Booking | None) -> tuple[Row, str] | None:
    """Search until there is something to choose; the place that the guest likes, and how to name it.

    Who has said all that a booking needs (`early`) gets the only place that fits without another question.
    """
    rows = rows_of(scene.desk, kind.table)
    wishes = _draw_wishes(scene, kind, rows)
    scene.random.shuffle(wishes)
    later = wishes[1:] if len(wishes) > 1 and scene.chance(0.35) else []
    known = _open(scene, kind, [said for said in wishes if said not in later], early)
    for _ in range(5):
        answer = scene.call(kind.search, **{said.slot: said.value for said in known.values()})
        found: list[dict[str, Any]] = answer[kind.table]
        if not found:
            if not _relax(scene, kind, known, answer, rows):
                return None
        elif len(found) > 1 and later:
            said = later.pop(0)
            label = scene.random.choice(words()["labels"][said.slot])
            values = {"count": answer["found"], "name": found[0]["name"], "label": label}
            scene.tell("s_many_ask", facts(found[0], ["name"]), **values)
            text = draw(scene.random, "narrow", after=behind(scene.random, kind.name, [said]))
            if scene.chance(0.5):
                text = draw(scene.random, "wishes", alone=alone(scene.random, [said]))
            scene.user(text, inform([said]), kind.search)
            known[said.slot] = said
        elif early and len(found) == 1:
            return found[0], ""
        else:
            chosen = _choose(scene, kind, known, answer)
            if chosen is not None:
                return chosen
    scene.turns.pop()  # instead of a sixth search
    give_up(scene)
    return None


def _draw_wishes(scene: Scene, kind: Kind, rows: Sequence[Row]) -> list[Said]:
    """None to four wishes: mostly those that some place has, sometimes any."""
    row = scene.random.choice(rows)
    most = min(4, len(kind.wishes))
    [count] = scene.random.choices(range(most + 1), [1, 4, 6, 4, 2][: most + 1])
    slots = scene.random.sample(kind.wishes, count)
    values = {slot: row[slot] if scene.chance(0.8) else _any(scene, kind, slot) for slot in slots}
    wanted = {slot: value for slot, value in values.items() if value != "no"}
    return [say_wish(scene.random, slot, value) for slot, value in wanted.items()]


def _any(scene: Scene, kind: Kind, slot: str) -> str | int:
    if slot == "kind":
        return scene.random.choice(HOTEL_KINDS if kind is HOTEL else ATTRACTION_KINDS)
    return scene.random.choice(_CHOICES.get(slot, ("yes",)))


def _open(scene: Scene, kind: Kind, wishes: Sequence[Said], early: Booking | None) -> dict[str, Said]:
    """The guest says what is wanted; without a wish the assistant asks for one. The wishes by slot."""
    rule = "next" if len(scene.services) > 1 and scene.chance(0.85) else "find"
    plain = not wishes or scene.chance(0.12)
    told = [] if plain else list(wishes)
    values = {"np": noun_phrase(scene.random, kind.name, told)}
    if early:
        rule = "book_any" if plain else "find_and_book"
        values["thing"] = scene.random.choice(words()["things"][kind.name])
        values["details"] = details(scene.random, list(early.values()), kind is HOTEL)
        told += early.values()
    scene.ask(rule, [intent(kind.search), *inform(told)], kind.search, **values)
    if plain:
        scene.tell(f"s_ask_wishes_{kind.name}", request(kind.wishes[:2]))
        if wishes:
            scene.ask("wishes", inform(wishes), kind.search, alone=alone(scene.random, wishes))
        else:
            scene.ask("open", [], kind.search)
    return {said.slot: said for said in wishes}


def _relax(scene: Scene, kind: Kind, known: dict[str, Said], answer: Row, rows: Sequence[Row]) -> bool:
    """Nothing was found: the guest drops or changes a wish. Whether the search goes on."""
    near = dict(re.findall(r"without (\w+): (\d+)", answer["note"]))
    told = ""
    if near and scene.chance(0.7):
        slot = scene.random.choice(list(near))
        told = draw(scene.random, "s_near", label=words()["labels"][slot][0], count=near[slot]) + " "
    scene.tell("s_none", [Act("NOTIFY_FAILURE")], near=told)
    if scene.chance(0.1):
        give_up(scene)
        return False
    slot = scene.random.choice(list(near) or list(known))
    others = {row[slot] for row in rows} - {known[slot].value, "no"}
    if others and scene.chance(0.6):
        _change(scene, kind, known, slot, scene.random.choice(sorted(others, key=str)), "change")
    else:
        label = scene.random.choice(words()["labels"][slot])
        scene.ask("drop", [Act("INFORM", slot, ("dontcare",), ("dontcare",))], kind.search, label=label)
        del known[slot]
    return True


def _change(scene: Scene, kind: Kind, known: dict[str, Said], slot: str, value: str | int, rule: str) -> None:
    said = say_wish(scene.random, slot, value)
    scene.ask(rule, inform([said]), kind.search, alone=alone(scene.random, [said]))
    known[slot] = said


def _choose(scene: Scene, kind: Kind, known: dict[str, Said], answer: Row) -> tuple[Row, str] | None:
    """Offers, until the guest likes one; None where a wish changes instead."""
    found: Sequence[Row] = answer[kind.table]
    if 2 <= len(found) <= 4 and scene.chance(0.6):
        names = tuple(row["name"] for row in found)
        acts = [Act("OFFER", "name", names, names), Act("INFORM_COUNT")]
        scene.tell("s_many_list", acts, count=answer["found"], names=join(names))
        place = scene.random.randrange(len(found))
        if place < 3 and kind.needs and scene.chance(0.35):
            return found[place], ORDINALS[place]
        return found[place], "book_name"
    _offer(scene, kind, found[0], "s_one" if len(found) == 1 else "s_many_first", answer["found"])
    if known and scene.chance(0.12):
        slot = scene.random.choice(list(known))
        value = _any(scene, kind, slot)
        if value != known[slot].value:
            _change(scene, kind, known, slot, value, "rethink")
            return None
    place = 0
    while place + 1 < len(found) and scene.chance(0.25):
        place += 1
        scene.ask("other", [Act("REQUEST_ALTS")], kind.search)
        _offer(scene, kind, found[place], "s_other")
    return found[place], "book_it"


def _offer(scene: Scene, kind: Kind, row: Row, rule: str, count: int = 1) -> None:
    question = draw(scene.random, "s_book_q" if kind.needs else "s_more_q")
    acts = facts(row, kind.shown) + ([Act("INFORM_COUNT")] if count > 1 else [])
    told = draw(scene.random, f"s_row_{kind.name}", **{**row, "night_price": money(row.get("night_price"))})
    scene.tell(rule, acts, row=told, q=question, count=count)


def _ask_detail(scene: Scene, kind: Kind, row: Row) -> None:
    """A question that what was found answers, without a call."""
    detail = scene.random.choice(kind.details)
    own = f"ask_{detail}" in words()["rules"] and (detail in ("wifi", "parking") or scene.chance(0.4))
    if own:
        text = draw(scene.random, f"ask_{detail}")
    else:
        text = draw(scene.random, "ask", detail=draw(scene.random, f"detail_{detail}"))
    scene.user(text, request([detail]))
    value = row[detail]
    rule = f"s_{detail}_{value}" if detail in ("wifi", "parking") else f"s_{detail}"
    rule = "s_fee_free" if detail == "fee" and not value else rule
    shown = ["opens", "closes"] if detail == "opens" else [detail]
    value = money(value) if detail in ("fee", "night_price") else value
    scene.tell(rule, facts(row, shown, "INFORM"), name=row["name"], v=value, w=row.get("closes", ""))
