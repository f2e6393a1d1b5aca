"""The zero-shot guard over planted overlaps: what is there is found, and nothing else."""

from __future__ import annotations

import json
import random
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from coalm.cli import main
from coalm.corpora import Plan
from coalm.demo import DATA
from coalm.dialogue import Dialogue, Sample, Tool, ToolCall, Turn
from coalm.families.coalm import act_samples, call_samples
from coalm.mixture import build, read
from coalm.overlap import BENCHMARKS, Content, check_overlap, measure, read_contents
from coalm.overlap.contents import read_tools
from coalm.sources import sgd, snips
from tests.training.made import samples, write_mixture

LONG = "Could you please find me a quiet guest house near the old harbour?"
SAME = "could you, please, find me a quiet Guest-House near the old harbour"
BOAT = Tool("RentBoat", "", {"type": "object", "properties": {"boat_type": {}, "hours": {}}})


def content(id: str, *said: str, tools: tuple[Tool, ...] = ()) -> Content:
    return Content(id, said, tools)


def sample(input: str = "", output: str = "", instruction: str = "", source: str = "sgd") -> Sample:
    return Sample(instruction, input, output, source, "CRA", "action", "d1", 1)


def test_turns_word_for_word() -> None:
    tests = {"toy": [content("a", LONG, "Yes, please."), content("b", "A ferry to the second island, please.")]}
    found = measure([sample(f"User: {SAME}\nSystem: Yes please!\nUser: the old harbour")], tests)["benchmarks"][
        "toy"
    ]
    assert found["utterances"] == {"count": 3, "found": 2, "percent": 66.67}
    assert found["long_utterances"] == {"count": 1, "found": 1, "percent": 100.0}
    part = measure([sample(f"User: {LONG} It is for six.")], tests)["benchmarks"]["toy"]
    assert part["utterances"]["found"] == 0
    assert part["grams"]["found"] == 1


def test_whole_items() -> None:
    """All turns of an item, however short, in one sample; in two samples is not enough."""
    tests = {"toy": [content("a", LONG, "Yes, please."), content("b", "Snow tomorrow?"), content("c", "...")]}
    apart = [sample(f"User: {SAME}"), sample("User: yes please\nSystem: Snow, tomorrow.")]
    found = measure(apart, tests)["benchmarks"]["toy"]
    assert found["whole_items"] == {"count": 2, "found": 1, "percent": 50.0}
    assert found["shared_items"] == [{"item": "b", "training": "sgd d1"}]
    together = sample(f"User: {SAME}\nSystem: One?\nUser: Yes, please!", source="sgd-dst")
    found = measure([*apart, together], tests)["benchmarks"]["toy"]
    assert found["whole_items"]["found"] == 2
    assert found["shared_items"][0] == {"item": "a", "training": "sgd-dst d1"}


@pytest.mark.parametrize("source", ["snips", "sgd", "sgd-dst", "sgd-text"])
def test_what_was_trained_on_is_found_whole_and_no_other_split(source: str, tmp_path: Path) -> None:
    """Whatever samples are made of its dialogues, and of SGD with its test split planted."""
    corpora = DATA / "corpora"
    leaked = Plan(sgd_splits=("train", "test"), validation=0)
    build(corpora, tmp_path, leaked, sources=[source])
    name = source.partition("-")[0]
    contents = read_contents(name, corpora)
    trained = snips.load(corpora) if name == "snips" else sgd.load(corpora)
    contents += [content(one.id, *(turn.text for turn in one.turns if turn.role == "user")) for one in trained]
    found = measure(read(tmp_path), {name: contents})["benchmarks"][name]["whole_items"]
    held_out = ("validation/", "dev/")
    assert found["found"] == sum(not one.id.startswith(held_out) for one in contents) > 10
    assert found["count"] == len(contents) > found["found"]


def test_runs_of_eight_words() -> None:
    """An item of 13 words has six runs; ten of its words in a row cover three of them."""
    tests = {"toy": [content("a", LONG), content("b", "One two three."), content("c", "x y z " * 4)]}
    planted = sample(output="System: find me a quiet guest house near the old harbour, no?", source="snips")
    found = measure([sample("User: a quiet guest house near the old"), planted], tests)["benchmarks"]["toy"]
    assert found["grams"] == {
        "count": 2,
        "found": 1,
        "percent": 50.0,
        "covered_percent": 25.0,
        "items_by_source": {"snips": 1},
    }
    (worst,) = found["worst"]
    assert worst["item"] == "a"
    assert worst["covered_percent"] == 50.0
    assert worst["words"] == "find me a quiet guest house near the old harbour"
    assert worst["training"] == "snips d1"


def test_runs_do_not_reach_over_turns() -> None:
    first, second = LONG.split(" guest ")
    tests = {"toy": [content("a", LONG), content("b", f"{first} guest", f"{second} tonight now")]}
    apart = measure([sample(f"User: {first} guest\nSystem: {second}")], tests)["benchmarks"]["toy"]
    assert (
        apart["grams"]["found"] == 0 or apart["worst"][0]["words"] == "could you please find me a quiet guest"
    )
    joined = measure([sample(f"User: {first} guest {second}")], tests)["benchmarks"]["toy"]
    assert joined["worst"][0]["covered_percent"] == 100.0


def test_what_is_ours_does_not_count() -> None:
    """Instructions and descriptions of tools are no content, the history behind them is."""
    tool = replace(BOAT, description=LONG)
    turns = (Turn("user", "Hello."), Turn("assistant", "Ahoy!", thought="I greet the user with a word."))
    dialogue = Dialogue("d", "sgd", turns, tools=(tool,))
    (made,) = act_samples(dialogue)
    task = made.instruction.split("\n")[1]
    tests = {"toy": [content("a", task), content("b", LONG), content("c", "I greet the user with a word.")]}
    found = measure([made], tests)["benchmarks"]["toy"]
    assert found["long_utterances"]["found"] == 0
    assert [one["item"] for one in found["worst"]] == []
    told = Dialogue("d", "sgd", (Turn("user", LONG), *turns[1:], *turns), tools=(tool,))
    found = measure(act_samples(told), tests)["benchmarks"]["toy"]
    assert [one["item"] for one in found["worst"]] == ["b"]


def test_functions_by_name_and_parameters() -> None:
    tests = {
        "toy": [
            content("a", "x", tools=(Tool("rent.boat", "", {"properties": {"boatType": {}, "hours": {}}}),)),
            content("b", "x", tools=(Tool("RENT_BOAT", "", {"properties": {"hours": {}}}),)),
            content("c", "x", tools=(Tool("FindIsland", "", {"properties": {"name": {}}}),)),
        ]
    }
    dialogue = Dialogue("d", "sgd", (Turn("user", "Hi"), Turn("assistant", "Ahoy!", thought="Hm.")), (BOAT,))
    calls = Dialogue(
        "d", "xlam", (Turn("user", "Hi"), Turn("assistant", calls=(ToolCall("RentBoat"),))), (BOAT,)
    )
    for made in (act_samples(dialogue), call_samples(calls)):
        functions = measure(made, tests)["benchmarks"]["toy"]["functions"]
        assert functions["names"] == {"count": 2, "found": 1, "percent": 50.0}
        assert functions["signatures"] == {"count": 3, "found": 1, "percent": 33.33}


@pytest.mark.parametrize(
    ("text", "tools"),
    [
        ("1. Find(a, b)\n2. Stop()", [("Find", ["a", "b"]), ("Stop", [])]),
        ('[{"name": "f", "parameters": {"a": {"type": "str"}}}, {"type": "function"}, 3]', [("f", ["a"])]),
        (
            '[{"function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {}}}}}]',
            [("f", ["a"])],
        ),
        ("[{'name': 'f', 'parameters': {'a': 1}}]", [("f", [])]),
        ("nothing", []),
    ],
)
def test_lists_of_tools(text: str, tools: list[tuple[str, list[str]]]) -> None:
    assert [(name, list(parameters)) for name, parameters in read_tools(text)] == tools


def test_against_a_slow_count() -> None:
    """Random texts over few words: the shares are those of sets of strings."""
    draw = random.Random(0)
    words = ["a", "b", "c", "d"]

    def text(length: int) -> str:
        return " ".join(draw.choices(words, k=length))

    contents = [content(str(number), text(draw.randint(0, 14)), text(12)) for number in range(300)]
    made = [sample(f"User: {text(30)}\nSystem: {text(20)} new {text(9)}") for _ in range(150)]

    def grams(text: str) -> set[tuple[str, ...]]:
        found = text.split()
        return {tuple(found[start : start + 8]) for start in range(len(found) - 7)}

    seen = {gram for one in made for turn in one.input.split("\n") for gram in grams(turn.partition(": ")[2])}
    shares = []
    for one in contents:
        runs = [
            tuple(said.split()[start : start + 8])
            for said in one.said
            for start in range(len(said.split()) - 7)
        ]
        shares.append(sum(gram in seen for gram in runs) / len(runs))
    found = measure(made, {"toy": contents})["benchmarks"]["toy"]["grams"]
    assert found["found"] == sum(share > 0 for share in shares) > 20
    assert found["covered_percent"] == round(100 * sum(shares) / len(shares), 2)


def test_memory_is_that_of_the_test_sets() -> None:
    """Histories that come again cost nothing new: ten times the samples are not ten times the memory."""
    tests = {"toy": [content(str(number), f"{LONG} {number}") for number in range(200)]}

    def stream(count: int) -> Iterator[Sample]:
        history = "\n".join(f"User: turn {turn} of a long conversation about boats" for turn in range(60))
        for number in range(count):
            yield sample(history, f"System: answer number {number % 50}")

    held = []
    for count in (300, 3000):
        tracemalloc.start()
        measure(stream(count), tests)
        held.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert held[1] < 1.2 * held[0] + 100_000


# ── the command ───────────────────────────────────────────────────────────────────────────────────


def test_a_mixture_is_checked_and_its_cards_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The demo's mixture against the demo's test sets, with one item of these planted."""
    from coalm.training.provenance import claim
    from coalm.training.recipe import load_recipe
    from coalm.training.trainer import train

    mixture = tmp_path / "mixture"
    corpora = str(DATA / "corpora")
    assert (
        main(
            [
                "data",
                "build",
                "--corpora",
                corpora,
                "--out",
                str(mixture),
                "--sources",
                "snips,xlam",
                "--jobs",
                "1",
            ]
        )
        == 0
    )
    item = max(read_contents("multiwoz", DATA), key=lambda one: len(one.said))
    planted = sample(f"User: {item.said[0]}", "System: Yes.", source="sgd")
    kept = [one for split in ("train", "validation") for one in read(mixture, split)]
    write_mixture(mixture, [*kept, planted], kept[:5])

    capsys.readouterr()
    arguments = ["data", "check", str(mixture), "--against", "multiwoz,bfcl", "--benchmarks", str(DATA)]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((mixture / "overlap.json").read_text())
    assert found["samples"] == len(kept) + 1
    assert item.id in [one["item"] for one in found["benchmarks"]["multiwoz"]["worst"]]
    assert found["benchmarks"]["multiwoz"]["grams"]["items_by_source"]["sgd"] >= 1
    assert main(arguments) == 0
    table = capsys.readouterr().out.strip()
    assert table in (mixture / "card.md").read_text()

    settings = ["max_steps=1", "scratch.hidden_size=32", "scratch.vocabulary=600", "batch=2", "eval_samples=0"]
    model = train(load_recipe("tiny", settings), mixture, tmp_path / "run")
    assert table in (model / "README.md").read_text()
    write_mixture(mixture, kept, kept[:5])  # another mixture in the same place: the measurement is not of it
    started = claim(load_recipe("tiny", settings), mixture, tmp_path / "other", resume=False)
    assert "overlap" not in started["mixture"]


def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_mixture(tmp_path, samples(1, 1))
    for arguments, what in (
        (["--against", "bfcl"], "belong together"),
        (["--against", "bfcl", "--benchmarks", str(tmp_path)], "BFCL"),
        (["--against", "glue", "--benchmarks", str(tmp_path)], "unknown benchmark"),
    ):
        assert main(["data", "check", str(tmp_path), *arguments]) == 2
        assert what in capsys.readouterr().err


@pytest.mark.corpora
def test_real_test_sets(shared: Path, tmp_path: Path) -> None:
    """All items of all benchmarks can be compared, in seconds; our few samples share next to nothing."""
    started = time.monotonic()
    write_mixture(tmp_path, samples(20, 20))
    found = check_overlap(tmp_path, BENCHMARKS, shared / "data")
    sizes = {name: one["items"] for name, one in found["benchmarks"].items()}
    assert sizes["multiwoz"] == 1000
    assert sizes["apibank"] == 526
    assert sizes["bfcl"] > 4500
    assert sizes["snips"] == 700
    assert sizes["sgd"] == 5019
    assert all(one["whole_items"]["found"] == 0 for one in found["benchmarks"].values())
    assert found["benchmarks"]["bfcl"]["functions"]["names"]["count"] > 1500
    assert all(one["grams"]["found"] <= 3 for one in found["benchmarks"].values())
    assert time.monotonic() - started < 30
