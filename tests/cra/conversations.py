"""A small world for the engine that asks a model: two functions, dialogues, and a model that writes well."""

from __future__ import annotations

import json

from coalm.dialogue import Act, Dialogue, Domain, Slot, Tool, Turn

TEXT = {"type": "string"}
FIND = Tool(
    "FindBus",
    "Find a bus",
    {
        "type": "object",
        "properties": {"origin": TEXT, "destination": TEXT, "seats": TEXT},
        "required": ["origin", "destination"],
    },
)
BUY = Tool("BuyTicket", "Buy", {"type": "object", "properties": {"bus": TEXT}, "required": ["bus"]})
BUS = Domain("Buses_1", (Slot("origin", "where from"), Slot("seats", values=("1", "2"))), "Buses")
CITIES = ("Davis", "Fresno", "Napa", "Chico", "Eureka")


def dialogue(number: int = 0) -> Dialogue:
    """A user who looks for a bus and says goodbye; no two numbers say the same."""
    city = f"{CITIES[number % len(CITIES)]} {number}"
    acts = (Act("INFORM", "destination", (city,), (city,), "Buses_1"),)
    turns = (
        Turn(
            "user",
            f"A bus from Lodi to {city},  please.",
            acts=acts,
            intents=("FindBus",),
            state={"Buses_1": {}},
        ),
        Turn("assistant", "There is one."),
        Turn("user", "Great, that's all!"),
        Turn("assistant", "Bye."),
    )
    return Dialogue(
        f"train/{number}", "sgd", turns, (FIND, BUY), (BUS,), ("Buses_1",), f"sgd.zip/a.json#{number}"
    )


def users_of(prompt: str) -> list[str]:
    """The user turns that a prompt ends with."""
    lines = prompt.partition("# User turns\n")[2].partition("\n\n")[0].split("\n")
    return [line.removeprefix("User: ") for line in lines]


def write(prompt: str, *, seats: str = "") -> str:
    """A good transcript of the conversation that a prompt asks for."""
    asks, leaves = users_of(prompt)
    city = asks.removeprefix("A bus from Lodi to ").removesuffix(", please.")
    arguments = {"origin": "Lodi", "destination": city} | ({"seats": seats} if seats else {})
    return (
        f"User: {asks}\n"
        f"Thought1: The user wants a bus from Lodi to {city}. I look for one with FindBus.\n"
        "API Name: FindBus\n"
        f"API Input: {json.dumps(arguments)}\n"
        f'API Result: [{{"bus": "B1", "leaves": "09:30", "destination": "{city}"}}]\n'
        "Thought2: There is one at 09:30, so I tell the user.\n"
        f"System: Bus B1 to {city} leaves at 09:30.\n\n"
        f"User: {leaves}\n"
        "Thought: The user is content and leaves, so I say goodbye.\n"
        "System: Have a good trip!"
    )
