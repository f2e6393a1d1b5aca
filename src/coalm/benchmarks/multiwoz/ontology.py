"""What there is to track: the five domains of the test set and their 30 slots, described in our words."""

from __future__ import annotations

from coalm.dialogue import Domain, Slot

AREAS = ("centre", "north", "south", "east", "west", "dontcare")
PRICES = ("cheap", "moderate", "expensive", "dontcare")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
YES_NO = ("yes", "no", "dontcare")
HOTEL_TYPES = ("hotel", "guest house", "dontcare")
STARS = ("0", "1", "2", "3", "4", "5", "dontcare")
ATTRACTION_TYPES = (
    "architecture",
    "boat",
    "cinema",
    "college",
    "concert hall",
    "entertainment",
    "multiple sports",
    "museum",
    "nightclub",
    "park",
    "swimming pool",
    "theatre",
    "dontcare",
)

DOMAINS = (
    Domain(
        "attraction",
        (
            Slot("area", "part of town", AREAS),
            Slot("name", "name of the attraction, or dontcare"),
            Slot("type", "kind of attraction", ATTRACTION_TYPES),
        ),
        "places to visit in Cambridge",
    ),
    Domain(
        "hotel",
        (
            Slot("area", "part of town", AREAS),
            Slot("day", "first day of the stay", DAYS),
            Slot("internet", "whether it has wifi", YES_NO),
            Slot("name", "name of the hotel or guest house, or dontcare"),
            Slot("parking", "whether it has parking", YES_NO),
            Slot("people", "number of guests to book for"),
            Slot("pricerange", "price level", PRICES),
            Slot("stars", "star rating", STARS),
            Slot("stay", "number of nights to book"),
            Slot("type", "kind of lodging", HOTEL_TYPES),
        ),
        "places to stay in Cambridge",
    ),
    Domain(
        "restaurant",
        (
            Slot("area", "part of town", AREAS),
            Slot("day", "day of the booking", DAYS),
            Slot("food", "cuisine, or dontcare"),
            Slot("name", "name of the restaurant, or dontcare"),
            Slot("people", "number of guests to book for"),
            Slot("pricerange", "price level", PRICES),
            Slot("time", "time of the booking as HH:MM"),
        ),
        "places to eat in Cambridge",
    ),
    Domain(
        "taxi",
        (
            Slot("arrive", "time to arrive by as HH:MM"),
            Slot("departure", "where to be picked up"),
            Slot("destination", "where to go"),
            Slot("leave", "time to leave after as HH:MM, or dontcare"),
        ),
        "taxis between two places",
    ),
    Domain(
        "train",
        (
            Slot("arrive", "time to arrive by as HH:MM, or dontcare"),
            Slot("day", "day of travel", DAYS),
            Slot("departure", "station of departure"),
            Slot("destination", "station of arrival"),
            Slot("leave", "time to leave after as HH:MM, or dontcare"),
            Slot("people", "number of tickets"),
        ),
        "trains to and from Cambridge",
    ),
)

SLOTS = tuple(f"{domain.name}-{slot.name}" for domain in DOMAINS for slot in domain.slots)
"""All 30, as `hotel-area`."""
