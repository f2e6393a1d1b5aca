"""What an agent's words tell, ask and admit, by rule: for the user that listens, and for the verdict.

`tells` says whether a text gives a certain value, `asked` for which slots it asks, `declines` whether it says
that there is nothing to be had. All read lower-case words (`venues.plain_words`) or compact signs. The rules
are lenient: where the value stands, it is told, whatever is said about it.

A value is told where
- phone, postcode, reference, train id: its letters and digits stand in the text, spaces and hyphens aside;
- time: it stands as HH:MM or in the 12-hour form; price: its amount, also times the number of tickets;
- address: four of five of its words, and all that hold a digit, stand in one utterance;
- name, area, price range, food, type, fee, duration: its words stand there;
- stars: as `4 star`, `4-star`, `four stars` or behind `stars` or `rating`;
- what the database does not know (`unknown`): the slot is mentioned at all;
- parking, internet: they are mentioned, in a sentence with or without a denial as the value says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from coalm.benchmarks.multiwoz.state import NUMBER_WORDS, normalise
from coalm.benchmarks.multiwoz.venues import UNKNOWN, plain_words

COMPACT = ("phone", "postcode", "reference", "train_id")
CLOCK = ("leave", "arrive", "time")

_TIME = re.compile(r"\b\d{1,2}(?:[:.]\d{2} ?(?:[ap]\.?m\b)?| ?[ap]\.?m\b)", re.IGNORECASE)
_DENIAL = re.compile(r"\b(no|not|without|nor|lacks?|doesnt|dont|isnt|arent|unavailable)\b")
_MENTIONS = {
    "phone": r"\b(phone|telephone|number|contact)\b",
    "entrance_fee": r"\b(fees?|admission|entrance|entry)\b",
}
_FACILITIES = {"parking": r"\bparking\b", "internet": r"\b(internet|wi ?fi)\b"}


def tells(slot: str, value: str, text: str, people: str = "") -> bool:
    """Whether `text` gives `value` for `slot`; `people`, where known, also allows a train's total price."""
    if not value:
        return False
    if value == UNKNOWN:
        return bool(re.search(_MENTIONS.get(slot, slot), plain_words(text)))
    if slot in COMPACT:
        return _compact(value) in _compact(text)
    if slot in CLOCK:
        return _clock(value) in set(_times(text))
    if slot in _FACILITIES:
        return any(
            bool(_DENIAL.search(words)) == (value == "no")
            for words in _clauses(text)
            if re.search(_FACILITIES[slot], words)
        )
    words = f" {plain_words(text)} "
    if slot == "address":
        return _tells_address(value, words)
    if slot == "stars":
        return _tells_stars(value, words)
    if slot in ("price", "entrance_fee"):
        return _tells_amount(value, text, people)
    if slot == "duration":
        return _tells_duration(value, words)
    normal = plain_words(normalise(f"any-{slot}", value)).removeprefix("the ")
    return f" {normal} " in words or f" {normal}s " in words


def tells_of(row: Mapping[str, str], slot: str, text: str, people: str = "") -> bool:
    """Whether `text` tells what `row` has for `slot`; words that only stand in the row's name do not count."""
    if slot in ("area", "food", "type") and row.get("name"):
        text = plain_words(text).replace(plain_words(row["name"]), " ")
    return tells(slot, row.get(slot, ""), text, people)


def _tells_address(value: str, words: str) -> bool:
    parts = plain_words(value).split()
    found = [part for part in parts if f" {part} " in words]
    digits = all(part in found for part in parts if any(sign.isdigit() for sign in part))
    return bool(parts) and digits and len(found) >= 0.8 * len(parts)


def _tells_stars(value: str, words: str) -> bool:
    spelled = (
        NUMBER_WORDS[int(value) - 1] if value.isdigit() and 0 < int(value) <= len(NUMBER_WORDS) else "zero"
    )
    number = rf"(?:{re.escape(value)}|{spelled})"
    return bool(re.search(rf"\b{number} stars?\b|\b(?:stars?|rating)(?: \w+){{0,2}} {number}\b", words))


def _tells_amount(value: str, text: str, people: str) -> bool:
    amount = re.search(r"\d+(?:\.\d+)?", value)
    if not amount:  # `free`
        return value.lower() in plain_words(text).split()
    amounts = {float(amount[0])}
    if people.isdigit():
        amounts.add(round(float(amount[0]) * int(people), 2))
    return any(
        float(found) in amounts for found in re.findall(r"(?<![\d.:])\d{1,5}(?:\.\d{1,2})?(?![\d:])", text)
    )


def _tells_duration(value: str, words: str) -> bool:
    found = re.match(r"\d+", value)
    minutes = int(found[0]) if found else 0
    hours = rf"\b{minutes // 60} ?h(?:ours?|rs?)?(?: and)? {minutes % 60} ?m" if minutes >= 60 else r"(?!)"
    return bool(re.search(rf"\b{minutes} ?min", words) or re.search(hours, words))


def _compact(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _times(text: str) -> Iterator[str]:
    return (_clock(found) for found in _TIME.findall(text))


def _clock(value: str) -> str:
    """HH:MM; what runs past midnight in the timetable (`24:08`) is told as it stands or as `00:08`."""
    return normalise("any-time", value.strip())


def _sentences(text: str) -> list[str]:
    return [part for part in re.split(r"(?<=[.?!])\s+|\n+", text) if part.strip()]


def _clauses(text: str) -> Iterator[str]:
    for sentence in _sentences(text):
        yield from map(plain_words, re.split(r"[,;]|\bbut\b", sentence))


# ── questions and refusals ────────────────────────────────────────────────────────────────────────

_QUESTIONS = {
    "area": r"\b(areas?|part of|side of|locations?|located|where in)\b",
    "food": r"\b(food|cuisines?)\b",
    "pricerange": r"\b(price|prices|priced|budget|cheap|expensive)\b",
    "type": r"\b(types?|kind of|sort of|guest house|rather)\b",
    "stars": r"\bstars?\b",
    "parking": r"\bparking\b",
    "internet": r"\b(internet|wi ?fi)\b",
    "name": r"\b(names?|particular|specific|called)\b",
    "people": r"\b(people|persons?|guests|party|tickets?|how many(?! nights)|group|travell?ers|passengers)\b",
    "day": r"\b(days?|dates?|when)\b",
    "stay": r"\b(nights?|how long|length)\b",
    "time": r"\btimes?\b",
    "departure": r"\b(depart(?:ure|ing)?|(?:from|leaving) where|where from|pick(?:ed)?|start(?:ing)?)\b",
    "destination": r"\b(destination|to where|where to|heading|drop|going|travell?ing to|arriving at)\b",
    "leave": r"\b(leave|leaving|depart|time|times|when)\b",
    "arrive": r"\b(arrive|arrival|arriving|time|times|when)\b",
}
_NOTHING = (
    r"(?:restaurants?|hotels?|guest houses?|attractions?|museums?|colleges?|trains?|places?|venues?"
    r"|match(?:es|ing)?|options?|results?|tables?|rooms?|availability|one|such|found|listed)"
)
_DECLINES = re.compile(
    rf"\b(?:no|not any|zero|0|none|nothing) (?:\w+ ){{0,8}}?{_NOTHING}\b"
    r"|\b(?:unfortunately|unable|unsuccessful|unavailable|sorry|apologi[sz]e|fully booked"
    r"|booking (?:has )?failed|not (?:available|possible|find|found)|cannot|cant|couldnt|could not"
    r"|did not|didnt|(?:dont|do not) (?:have|see)|doesnt exist|isnt (?:any|a)|arent any)\b"
)
_OFFERS_OTHER = re.compile(r"\b(instead|alternatives?|alternatively|however)\b")


def asked(text: str) -> set[str]:
    """The slots that the questions in `text` are about, of any domain."""
    questions = " ".join(plain_words(part) for part in _sentences(text) if "?" in part)
    return {slot for slot, pattern in _QUESTIONS.items() if re.search(pattern, questions)}


def offers_booking(text: str) -> bool:
    """Whether a question in `text` is about booking."""
    return any(
        re.search(r"\b(book|booking|reserve|reservation)\b", plain_words(part))
        for part in _sentences(text)
        if "?" in part
    )


def declines(text: str) -> bool:
    """Whether `text` says that something is not to be had, or could not be done."""
    return any(_DECLINES.search(words) for words in _clauses(text))


def offers_other(text: str) -> bool:
    """Whether `text` puts something forward in place of what was asked for."""
    return bool(_OFFERS_OTHER.search(plain_words(text)))


def references(text: str) -> list[str]:
    """What looks like a reference number: signs behind the word, or eight of letters and digits."""
    behind = re.findall(r"\breference\b[^.?!\n]{0,30}?\b((?=\w*\d)\w{4,12})\b", text, re.IGNORECASE)
    return behind + re.findall(r"\b(?=[A-Z]*\d)(?=\d*[A-Z])[A-Z0-9]{8}\b", text, re.IGNORECASE)
