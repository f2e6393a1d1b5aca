"""The demo's corpora and test sets: made by the script, sound in their formats, and apart from each other."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coalm.benchmarks import BENCHMARKS as BENCHMARKS_BY_NAME
from coalm.calls import read_calls, write_json_calls
from coalm.dialogue import Reply, ToolCall
from coalm.sources.snips import SLOTS

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "src" / "coalm" / "demo"
CORPORA, BENCHMARKS = DEMO / "corpora", DEMO / "benchmarks"
SERVICES = {"restaurant", "hotel", "attraction", "train", "taxi", "weather"}
BFCL = ("simple", "multiple", "parallel", "parallel_multiple", "irrelevance")


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="ascii"))


def read_lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def files(folder: Path) -> dict[str, bytes]:
    found = (path for top in ("corpora", "benchmarks") for path in (folder / top).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def normalise(text: str) -> str:
    return " ".join(text.lower().split())


# ── what there is ─────────────────────────────────────────────────────────────────────────────────


def sgd(split: str) -> list[Any]:
    return read(CORPORA / "sgd" / split / "dialogues_001.json")


def snips(pattern: str) -> Iterator[tuple[str, str]]:
    for path in sorted((CORPORA / "snips").rglob(pattern)):
        for intent, rows in read(path).items():
            yield from ((intent, "".join(piece["text"] for piece in row["data"])) for row in rows)


def xlam() -> list[Any]:
    return read(CORPORA / "function_calling/xlam_format/xlam_demo.json")


def irrelevance() -> list[Any]:
    return read(CORPORA / "function_calling/xlam_format/xlam_demo_irrelevance.json")


def toolace() -> list[Any]:
    folder = CORPORA / "function_calling/toolace_format"
    return [*read(folder / "toolace_demo.json"), *read(folder / "toolace_demo_sharegpt.json")]


def multiwoz() -> dict[str, Any]:
    folder = BENCHMARKS / "multiwoz_2.4/MULTIWOZ2.4"
    data = read(folder / "data.json")
    return {name: data[name] for name in (folder / "testListFile.json").read_text().split()}


def apibank() -> list[Any]:
    folder = BENCHMARKS / "api_bank/hammer_format"
    return [*read(folder / "apibank_l1.json"), *read(folder / "apibank_l2.json")]


def bfcl() -> dict[str, list[Any]]:
    return {name: read_lines(BENCHMARKS / f"bfcl_v3/data/BFCL_v3_{name}.json") for name in BFCL}


def training_utterances() -> list[str]:
    talks = [turn["utterance"] for talk in sgd("train") for turn in talk["turns"] if turn["speaker"] == "USER"]
    asked = [row["query"] for row in [*xlam(), *irrelevance()]]
    people = [
        turn["value"]
        for talk in toolace()
        for turn in talk["conversations"]
        if turn["from"] in ("user", "human")
    ]
    return [*talks, *asked, *people, *(text for _, text in snips("train_*_full.json"))]


def test_utterances() -> list[str]:
    questions = [item["question"][0][0]["content"] for items in bfcl().values() for item in items]
    queries = [
        turn["content"].removesuffix("\nGenerate API Request:")
        for item in apibank()
        for turn in item["query"]
        if turn["role"] == "user"
    ]
    users = [turn["text"] for talk in multiwoz().values() for turn in talk["log"][::2]]
    return [*questions, *queries, *users, *(text for _, text in snips("validate_*.json"))]


test_utterances.__test__ = False  # type: ignore[attr-defined]


# ── the script ────────────────────────────────────────────────────────────────────────────────────


def test_the_script_makes_exactly_what_is_shipped(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "scripts/make_demo.py", "--out", tmp_path], check=True)
    made, shipped = files(tmp_path), files(DEMO)
    assert made.keys() == shipped.keys()
    assert [name for name in made if made[name] != shipped[name]] == []


def test_all_of_it_is_small_and_ascii() -> None:
    content = files(DEMO)
    assert sum(map(len, content.values())) < 1_950_000
    assert [name for name, raw in content.items() if not raw.isascii()] == []


def test_sizes() -> None:
    assert len(sgd("train")) + len(sgd("dev")) + len(sgd("test")) >= 60
    assert {service for talk in sgd("train") for service in talk["services"]} == SERVICES
    assert len(list(snips("train_*_full.json"))) >= 700
    assert len({intent for intent, _ in snips("validate_*.json")}) == 7
    assert len(xlam()) >= 340
    assert len(irrelevance()) >= 40
    assert len(toolace()) >= 20
    assert len(multiwoz()) == 40
    assert len(apibank()) >= 40
    assert sum(map(len, bfcl().values())) >= 80
    assert all(len(items) >= 16 for items in bfcl().values())


# ── training and test apart ───────────────────────────────────────────────────────────────────────


def test_no_test_utterance_stands_in_training() -> None:
    trained = set(map(normalise, training_utterances()))
    asked = set(map(normalise, test_utterances()))
    assert len(asked) > 400
    assert trained & asked == set()


def test_no_test_dialogue_stands_in_training() -> None:
    trained = {tuple(normalise(turn["utterance"]) for turn in talk["turns"]) for talk in [*sgd("train")]}
    tested = {tuple(normalise(turn["text"]) for turn in talk["log"]) for talk in multiwoz().values()}
    other = {
        tuple(normalise(turn["utterance"]) for turn in talk["turns"]) for talk in [*sgd("dev"), *sgd("test")]
    }
    assert len(trained) == len(sgd("train"))
    assert trained & (tested | other) == set()


def test_test_sets_use_the_functions_and_services_of_training() -> None:
    trained = {tool["name"]: tool for row in xlam() for tool in json.loads(row["tools"])}
    for item in apibank():
        for tool in item["tools"]:
            assert {**trained[tool["name"]], "return": {}} == tool
    for items in bfcl().values():
        for item in items:
            for function in item["function"]:
                known = trained[function["name"]]
                assert function["description"] == known["description"]
                assert function["parameters"]["properties"].keys() == known["parameters"].keys()
    domains = {domain for talk in multiwoz().values() for domain in talk["goal"]}
    assert domains == SERVICES - {"weather"}


def test_values_of_the_test_states_are_known_from_training() -> None:
    trained = {
        value.lower()
        for talk in sgd("train")
        for turn in talk["turns"]
        for values in turn["frames"][0].get("state", {}).get("slot_values", {}).values()
        for value in values
    }
    asked = {
        value
        for talk in multiwoz().values()
        for parts in talk["log"][-1]["metadata"].values()
        for part in parts.values()
        for value in part.values()
        if isinstance(value, str) and value
    }
    said = "\n".join(turn["utterance"].lower() for talk in sgd("train") for turn in talk["turns"])
    assert len(asked) > 60
    assert [value for value in asked - trained if value not in said] == []


# ── SGD ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_sgd_dialogues_fit_their_schema(split: str) -> None:
    schema = {service["service_name"]: service for service in read(CORPORA / f"sgd/{split}/schema.json")}
    assert schema.keys() == SERVICES
    for talk in sgd(split):
        assert 6 <= len(talk["turns"]) <= 14
        assert [turn["speaker"] for turn in talk["turns"]] == ["USER", "SYSTEM"] * (len(talk["turns"]) // 2)
        for turn in talk["turns"]:
            (frame,) = turn["frames"]
            check_frame(turn["utterance"], frame, schema[frame["service"]])
            assert ("state" in frame) == (turn["speaker"] == "USER")


def check_frame(utterance: str, frame: dict[str, Any], service: dict[str, Any]) -> None:
    slots = {slot["name"]: slot for slot in service["slots"]}
    told = {act["slot"]: act["values"] for act in frame["actions"] if act["values"]}
    for span in frame["slots"]:
        assert not slots[span["slot"]]["is_categorical"]
        assert utterance[span["start"] : span["exclusive_end"]] in told[span["slot"]]
    for slot, values in told.items():
        if slot in slots and slots[slot]["is_categorical"]:
            assert set(values) <= {*slots[slot]["possible_values"], "dontcare"}
        elif slot in slots and values != ["dontcare"]:
            assert slot in {span["slot"] for span in frame["slots"]}
    for slot, values in frame.get("state", {}).get("slot_values", {}).items():
        possible = slots[slot]["possible_values"]
        assert not possible or set(values) <= {*possible, "dontcare"}
    if "service_call" in frame:
        check_call(frame["service_call"], frame["service_results"], service)


def check_call(call: dict[str, Any], results: list[Any], service: dict[str, Any]) -> None:
    (intent,) = [intent for intent in service["intents"] if intent["name"] == call["method"]]
    given = set(call["parameters"])
    assert set(intent["required_slots"]) <= given
    assert given <= {*intent["required_slots"], *intent["optional_slots"]}
    for row in results:
        assert row.keys() <= {slot["name"] for slot in service["slots"]}


def test_every_value_called_with_was_said_before() -> None:
    for talk in sgd("train"):
        said: set[str] = set()
        for turn in talk["turns"]:
            (frame,) = turn["frames"]
            for value in frame.get("service_call", {}).get("parameters", {}).values():
                assert value in said, f"{talk['dialogue_id']}: {value}"
            said |= {value for act in frame["actions"] for value in act["values"]}


# ── SNIPS ─────────────────────────────────────────────────────────────────────────────────────────


def test_snips_slots_are_those_of_the_corpus() -> None:
    for path in (CORPORA / "snips").rglob("*.json"):
        for intent, rows in read(path).items():
            known = set(SLOTS[intent].split())
            assert {piece["entity"] for row in rows for piece in row["data"] if "entity" in piece} <= known
            assert all(len({p["entity"] for p in row["data"] if "entity" in p}) > 0 for row in rows)


# ── calls ─────────────────────────────────────────────────────────────────────────────────────────


def test_xlam_answers_are_calls_of_listed_tools() -> None:
    for row in xlam():
        tools = {tool["name"]: tool["parameters"] for tool in json.loads(row["tools"])}
        answers = json.loads(row["answers"])
        assert answers
        for answer in answers:
            parameters = tools[answer["name"]]
            needed = {name for name, about in parameters.items() if not about["type"].endswith("optional")}
            assert needed <= set(answer["arguments"]) <= set(parameters)
    assert all(row["answers"] == "[]" for row in irrelevance())


def test_what_a_call_says_stands_in_the_query() -> None:
    for row in xlam():
        for answer in json.loads(row["answers"]):
            for value in answer["arguments"].values():
                if answer["name"] != "ToolSearcher":
                    parts = value if isinstance(value, list) else [value]
                    assert all(str(part) in row["query"] for part in parts), row["query"]


def test_toolace_has_both_forms() -> None:
    published = read(CORPORA / "function_calling/toolace_format/toolace_demo.json")
    shared = read(CORPORA / "function_calling/toolace_format/toolace_demo_sharegpt.json")
    assert {turn["from"] for talk in published for turn in talk["conversations"]} == {
        "user",
        "assistant",
        "tool",
    }
    assert {turn["from"] for talk in shared for turn in talk["conversations"]} == {
        *("human", "function_call", "observation", "gpt")
    }
    calls = [
        t["value"]
        for talk in published
        for t in talk["conversations"]
        if t["value"].startswith("[") and t["from"] == "assistant"
    ]
    assert all(read_calls(text) for text in calls)
    assert len(calls) >= len(published)


def test_apibank_items_ask_for_one_call() -> None:
    for item in apibank():
        assert item["query"][-1]["content"].endswith("\nGenerate API Request:")
        (answer,) = item["answers"]
        assert answer["name"] in {tool["name"] for tool in item["tools"]}
        for turn in item["query"]:
            if turn["role"] == "tool":
                assert isinstance(
                    ast.literal_eval(turn["content"].removesuffix("\nGenerate API Request:")), dict
                )


def test_bfcl_answers_pair_with_their_questions() -> None:
    for category, items in bfcl().items():
        if category == "irrelevance":
            continue
        answers = read_lines(BENCHMARKS / f"bfcl_v3/data/possible_answer/BFCL_v3_{category}.json")
        assert [item["id"] for item in items] == [answer["id"] for answer in answers]
        for item, answer in zip(items, answers, strict=True):
            functions = {function["name"]: function["parameters"] for function in item["function"]}
            assert len(answer["ground_truth"]) == (2 if category.startswith("parallel") else 1)
            for call in answer["ground_truth"]:
                ((name, arguments),) = call.items()
                assert arguments.keys() == functions[name]["properties"].keys()


# ── MultiWOZ ──────────────────────────────────────────────────────────────────────────────────────


def test_multiwoz_goals_can_be_met() -> None:
    names = {"arriveBy": "arrive", "leaveAt": "leave"}
    folder = BENCHMARKS / "multiwoz_2.4/db"
    tables = {
        domain: read(folder / f"{domain}_db.json") for domain in ("restaurant", "hotel", "attraction", "train")
    }
    for talk in multiwoz().values():
        for domain, goal in talk["goal"].items():
            exact = {slot: value for slot, value in goal["info"].items() if slot not in names}
            rows = [row for row in tables.get(domain, []) if exact.items() <= row.items()]
            assert rows or domain == "taxi"


def test_multiwoz_states_grow_to_the_goal() -> None:
    for talk in multiwoz().values():
        assert len(talk["log"]) % 2 == 0
        assert all(not turn["metadata"] for turn in talk["log"][::2])
        final = talk["log"][-1]["metadata"]
        for domain, goal in talk["goal"].items():
            told = {**final[domain]["semi"], **final[domain]["book"]}
            wanted = {**goal["info"], **{k: v for k, v in goal.get("book", {}).items() if k != "invalid"}}
            assert wanted.items() <= told.items()


def test_booked_domains_follow_the_references() -> None:
    booked = read(BENCHMARKS / "multiwoz_2.4/mwzeval/booked_domains.json")
    for name, talk in multiwoz().items():
        turns = booked[name.lower().removesuffix(".json")]
        assert len(turns) == len(talk["log"]) // 2
        for domains, turn in zip(turns, talk["log"][1::2], strict=True):
            done = {
                d
                for d, parts in turn["metadata"].items()
                if any("reference" in b for b in parts["book"]["booked"])
            }
            assert set(domains) == done


# ── gold answers ──────────────────────────────────────────────────────────────────────────────────


def gold_calls(name: str) -> Iterator[list[ToolCall]]:
    """The right calls of each item of API-Bank or BFCL, as its files say."""
    if name == "apibank":
        for item in apibank():
            yield [ToolCall(answer["name"], answer["arguments"]) for answer in item["answers"]]
        return
    for category in BFCL:
        path = BENCHMARKS / f"bfcl_v3/data/possible_answer/BFCL_v3_{category}.json"
        for answer in read_lines(path) if path.exists() else [{"ground_truth": []}] * len(bfcl()[category]):
            calls = [next(iter(call.items())) for call in answer["ground_truth"]]
            yield [ToolCall(f, {k: v[0] for k, v in given.items() if "" not in v}) for f, given in calls]


@pytest.mark.parametrize("name", ["apibank", "bfcl"])
def test_right_calls_are_scored_as_right(name: str) -> None:
    one = BENCHMARKS_BY_NAME[name]
    for item, calls in zip(one.load(DEMO), gold_calls(name), strict=True):
        episode = one.episode(item)
        next(episode)
        with pytest.raises(StopIteration) as finished:
            episode.send(Reply(write_json_calls(calls), calls=tuple(calls)))
        assert [verdict.why for verdict in one.score(item, finished.value.value)] == [None]


def test_right_states_are_scored_as_right() -> None:
    for item in BENCHMARKS_BY_NAME["multiwoz"].load(DEMO):
        result = [{"state": exchange.state, "error": None} for exchange in item.data]
        assert all(verdict.correct for verdict in BENCHMARKS_BY_NAME["multiwoz"].score(item, result))
