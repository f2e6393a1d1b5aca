"""Few tools out of many: every part of a request gets its own, whatever words it uses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from coalm.dialogue import Tool, ToolCall, Turn
from coalm.retrieval import Retriever, choose_tools, split_clauses, split_words

ROOT = Path(__file__).resolve().parents[1]


def tool(name: str, description: str, **parameters: str) -> Tool:
    properties = {key: {"type": "string", "description": text} for key, text in parameters.items()}
    return Tool(name, description, {"type": "object", "properties": properties})


WEATHER = [
    tool(f"get{kind}", f"{kind} of the weather in a city, now or as a forecast", city="name of the city")
    for kind in (
        "Rain",
        "Wind",
        "Humidity",
        "Temperature",
        "Sunshine",
        "Snow",
        "Fog",
        "Storms",
        "Clouds",
        "Frost",
    )
]
BOOK_TABLE = tool("book_restaurant_table", "Reserve seats for dinner.", people="number of guests")
TAXI = tool("callTaxi", "Order a ride from one address to another.", pickup="where the ride begins")
TRANSLATE = tool(
    "TextTranslator", "Put a sentence into another language.", target="language, for example Welsh"
)
TOOLS = [*WEATHER, BOOK_TABLE, TAXI, TRANSLATE]


def names(tools: Sequence[Tool]) -> list[str]:
    return [one.name for one in tools]


@pytest.fixture(scope="module")
def retriever() -> Retriever:
    return Retriever(TOOLS)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a ride to the station", "callTaxi"),  # a word of the description
        ("taxis please", "callTaxi"),  # a part of a CamelCase name, in the plural
        ("restaurant", "book_restaurant_table"),  # a part of a snake_case name
        ("how do I say this in Welsh?", "TextTranslator"),  # a word of a parameter's description
        ("make a booking", "book_restaurant_table"),  # no tool has the word, one has a relative
        ("translations", "TextTranslator"),
    ],
)
def test_the_tool_is_found_first(retriever: Retriever, text: str, name: str) -> None:
    assert names(retriever.search(text, 5))[:1] == [name]


def test_each_part_of_a_request_gets_its_tool(retriever: Retriever) -> None:
    weather = "Tell me the forecast of the weather in the city now: rain, wind, snow, fog and frost, storms."
    assert set(names(retriever.search(weather, 3))) <= set(names(WEATHER))
    for rest in (" Order a taxi.", " and then a taxi"):
        assert "callTaxi" in names(retriever.search(weather + rest, 2))
    three = names(retriever.search(f"{weather} Translate a sentence. Reserve a table, and finally a taxi.", 4))
    assert {"callTaxi", "TextTranslator", "book_restaurant_table"} < set(three)


def test_what_has_nothing_to_do_with_any_tool_finds_none(retriever: Retriever) -> None:
    assert retriever.search("", 5) == []
    assert retriever.search("?!", 5) == []
    assert retriever.search("zebra xylophone", 5) == []
    assert retriever.search("taxi", 0) == []
    assert Retriever([]).search("taxi", 5) == []
    assert Retriever([Tool("_")]).search("taxi", 5) == []


def test_equals_come_in_their_order_and_always_the_same(retriever: Retriever) -> None:
    twins = [tool(f"f{place}", "weather") for place in range(50)]
    found = names(Retriever(twins).search("weather", 7))
    assert found == [f"f{place}" for place in range(7)]
    text = "weather in a city. a ride"
    assert retriever.search(text, 8) == Retriever(TOOLS).search(text, 8)
    assert retriever.search(text, 8)[:3] == retriever.search(text, 3)


def test_languages_without_spaces_are_searched_too() -> None:
    tools = [
        tool("get_forecast", "查询城市的天气预报"),
        tool("play_song", "播放一首歌曲"),
        tool("Ποίημα", "γράφει ένα ποίημα"),
    ]
    found = Retriever(tools).search("明天的天气怎么样？帮我播放歌曲", 2)
    assert set(names(found)) == {"get_forecast", "play_song"}
    assert names(Retriever(tools).search("ένα ΠΟΊΗΜΑ", 1)) == ["Ποίημα"]
    assert split_words("getHTTPStatus_codes2 cities") == ["get", "http", "status", "code", "2", "city"]


def test_clauses() -> None:
    text = "Find a hotel in Rome, and then order a taxi. Is it raining?\nRead 3.5 pages as well as the news"
    assert split_clauses(text) == [
        *("Find a hotel in Rome", "order a taxi.", "Is it raining?", "Read 3.5 pages", "the news"),
    ]


TOPICS = {"cab": 0, "taxi": 0, "ride": 0, "lift": 0, "language": 1, "tongue": 1, "weather": 2, "sky": 2}


def embed(texts: Sequence[str]) -> list[list[float]]:
    """What topics a text speaks of."""
    rows = []
    for text in texts:
        topics = [TOPICS[word] for word in split_words(text) if word in TOPICS]
        rows.append([float(topics.count(topic)) for topic in range(3)])
    return rows


def test_embeddings_find_what_shares_no_word() -> None:
    with_meaning = Retriever(TOOLS, embed=embed)
    text = "Get me a cab. In what tongue is this?"
    assert "callTaxi" not in names(Retriever(TOOLS).search(text, 4))
    assert {"callTaxi", "TextTranslator"} <= set(names(with_meaning.search(text, 4)))
    assert names(with_meaning.search("restaurant", 1)) == ["book_restaurant_table"]  # words still count


def said(*texts: str) -> list[Turn]:
    return [Turn("assistant" if place % 2 else "user", text) for place, text in enumerate(texts)]


def test_an_agents_hook_looks_back_a_little(retriever: Retriever) -> None:
    choose = choose_tools(retriever, 2)
    turns = said("I want a taxi.", "Shall I order a ride?", "Yes, do that please.")
    assert "callTaxi" in names(choose(turns, TOOLS))
    turns = said("I want a taxi.", "Done.", "Is it raining?", "No.", "Put this sentence into Welsh")
    assert "TextTranslator" in names(choose(turns, TOOLS))
    assert "callTaxi" not in names(choose(turns, TOOLS))
    assert choose([Turn("system", "taxi")], TOOLS) == ()


def test_tools_in_use_and_tools_unknown_stay_listed(retriever: Retriever) -> None:
    choose = choose_tools(retriever, 3)
    used = Turn("assistant", calls=(ToolCall("TextTranslator", {}), ToolCall("gone", {})))
    turns = [
        Turn("user", "Translate it"),
        used,
        Turn("tool", "{}"),
        Turn("user", "the weather in the city, a ride"),
    ]
    found = choose(turns, TOOLS)
    assert {"TextTranslator", "callTaxi"} <= set(names(found))
    assert len(found) == 3
    assert names(found) == [name for name in names(TOOLS) if name in names(found)]
    new = tool("brand_new", "came later")
    assert new in choose(turns, [*TOOLS, new])
    assert choose(turns, TOOLS[:2]) == tuple(TOOLS[:2])


def test_only_what_the_agent_offers_is_chosen(retriever: Retriever) -> None:
    offered = [one for one in TOOLS if one.name != "getRain"]
    found = choose_tools(retriever, 4)(said("rain and weather in the city"), offered)
    assert len(found) == 4
    assert set(names(found)) <= set(names(offered))


@pytest.mark.corpora
def test_seal_tools_and_apibank(shared: Path) -> None:
    """Measured on thousands of APIs; a tenth of the requests."""
    command = [sys.executable, ROOT / "benchmarks" / "retrieval.py", "--quick", "--json"]
    command += ["--corpora", shared / "data"]
    rows = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    figures = {(row["set"], row["search"]): row for row in rows}
    assert {row["tools"] for row in rows} == {4076, 49}
    for fields in ("seen", "new"):
        several = f"Seal-Tools test, fields {fields}, several calls"
        assert figures[several, "coalm"]["all_at_10"] >= 0.80
        assert figures[several, "coalm"]["all_at_10"] > figures[several, "stock BM25"]["all_at_10"] + 0.2
    assert figures["Seal-Tools test, fields seen, one call", "coalm"]["all_at_5"] >= 0.95
    assert figures["API-Bank L-2, keywords", "coalm"]["all_at_5"] >= 0.75
