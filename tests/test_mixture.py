"""The mixture: every sample once, whole dialogues on one side, same seed same bytes, a true card."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest

from coalm import archive, mixture
from coalm.corpora import MIXTURES, Plan, is_held_out
from coalm.cra.grounded import ground
from coalm.demo import DATA
from coalm.dialogue import Dialogue, Request, Sample
from coalm.errors import DataError, NotFound
from coalm.families import coalm
from coalm.mixture import build, read
from coalm.sources import sgd, snips
from coalm.tokens import Encoder

FIXTURES = Path(__file__).parent / "fixtures"
DEMO = DATA / "corpora"
OWN = Path(__file__).parents[1] / "examples" / "own_tools"
SAMPLES = {"snips": 10, "sgd": 27}
FILES = ("train.parquet", "validation.parquet", "card.json", "card.md")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixture")
    build(FIXTURES, folder, Plan(validation=0.3), encoder=Encoder.load())
    return folder


@pytest.fixture
def corpora(tmp_path: Path) -> Path:
    shutil.copytree(FIXTURES, tmp_path / "corpora")
    return tmp_path / "corpora"


def everything(folder: Path) -> list[Sample]:
    return [*read(folder, "train"), *read(folder, "validation")]


def test_every_sample_is_there_once(built: Path) -> None:
    samples = everything(built)
    assert Counter(sample.source for sample in samples) == SAMPLES
    assert len({(sample.source, sample.dialogue, sample.turn) for sample in samples}) == len(samples)
    assert Counter(sample.task for sample in samples) == {"state": 10, "action": 8, "response": 19}
    assert {sample.domain for sample in samples} == {"TOD", "CRA"}


def test_dialogues_stand_whole_on_one_side(built: Path) -> None:
    train = {sample.dialogue for sample in read(built, "train")}
    validation = {sample.dialogue for sample in read(built, "validation")}
    assert train
    assert validation
    assert not train & validation


def test_equal_words_stay_together_in_every_source() -> None:
    dialogue = next(sgd.load(FIXTURES))
    for seed in range(30):
        plan = Plan(seed=seed, validation=0.5)
        assert is_held_out(dialogue, plan) == is_held_out(sgd.track(dialogue), plan)
    sides = {is_held_out(dialogue, Plan(seed=seed, validation=0.5)) for seed in range(30)}
    assert sides == {True, False}


def test_shares_of_validation() -> None:
    dialogues = list(snips.load(FIXTURES))
    assert not any(is_held_out(dialogue, Plan(validation=0)) for dialogue in dialogues)
    assert all(is_held_out(dialogue, Plan(validation=1 - 1e-12)) for dialogue in dialogues)


def test_a_share_of_a_source_is_whole_dialogues(built: Path, tmp_path: Path) -> None:
    card = build(FIXTURES, tmp_path, Plan(validation=0.3, shares={"snips": 0.5}))
    some, whole = everything(tmp_path), everything(built)
    assert 0 < sum(sample.source == "snips" for sample in some) < SAMPLES["snips"]
    assert [s for s in some if s.source == "sgd"] == [s for s in whole if s.source == "sgd"]
    assert {sample.output for sample in some} <= {sample.output for sample in whole}
    assert card["shares"] == {"snips": 0.5}
    assert "- snips: 50% of its dialogues were taken." in (tmp_path / "card.md").read_text(encoding="utf-8")


def test_a_share_above_one_is_dialogues_again(built: Path, tmp_path: Path) -> None:
    """Under other ids, so that they are seen apart; thoughts in other words; never held out twice."""
    build(FIXTURES, tmp_path, Plan(validation=0.3, shares={"snips": 2.5, "sgd": 2}))
    whole = Counter(sample.source for sample in read(built, "train"))
    more = Counter(sample.source for sample in read(tmp_path, "train"))
    assert 2 * whole["snips"] < more["snips"] < 3 * whole["snips"]
    assert more["sgd"] == 2 * whole["sgd"]
    assert len({(s.source, s.dialogue, s.turn) for s in everything(tmp_path)}) == len(everything(tmp_path))
    assert [*read(tmp_path, "validation")] == [*read(built, "validation")]
    steps = {(s.dialogue, s.turn): s.output for s in read(tmp_path, "train", "sgd") if s.task == "response"}
    again = [(text, steps[f"{name}+1", turn]) for (name, turn), text in steps.items() if "+" not in name]
    assert all(one.partition("System:")[2] == other.partition("System:")[2] for one, other in again)
    assert sum(one != other for one, other in again) > len(again) / 2
    assert "snips: its dialogues stand there 2.5 times" in (tmp_path / "card.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"snipes": 0.5}, "unknown source `snipes`"),
        ({"snips": 0.0}, "above 0"),
        ({"snips": 101}, "at most 100"),
    ],
)
def test_shares_that_cannot_be(shares: dict[str, float], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        build(FIXTURES, tmp_path, Plan(shares=shares))


def test_plain_text_is_what_is_said(tmp_path: Path) -> None:
    """All words and no calls; on the same side as what else is made of the dialogue."""
    plan = Plan(validation=0.3, mask_copies=1, vary_tools=1.0)
    card = build(DEMO, tmp_path, plan, mixture="scratch")
    sides: dict[tuple[str, str], set[str]] = {}
    for split in ("train", "validation"):
        for sample in read(tmp_path, split):
            sides.setdefault((sample.source.partition("-")[0], sample.dialogue.partition("#")[0]), set()).add(
                split
            )
    assert all(len(side) == 1 for side in sides.values())
    texts = {s.dialogue: s for s in everything(tmp_path) if s.domain == "TEXT"}
    for dialogue in sgd.load(DEMO):
        said = [turn for turn in dialogue.turns if turn.text and turn.role != "tool"]
        lines = [f"{'User' if turn.role == 'user' else 'System'}: {turn.text}" for turn in said]
        assert texts[dialogue.id].output == "\n".join(lines)
        assert texts[dialogue.id].prompt == ""
    tools = [s.output for s in texts.values() if s.source == "xlam-text"]
    assert all("User: " in text and text.index("User: ") > 0 for text in tools)
    assert set(card["sources"]) == set(MIXTURES["scratch"])


def test_some_texts_stand_there_twice(tmp_path: Path) -> None:
    built = {}
    for share in (0.0, 0.4, 1.0):
        build(DEMO, tmp_path / str(share), Plan(repeat=share), sources=("snips-text", "xlam-text"))
        built[share] = {(s.source, s.dialogue): s.output for s in everything(tmp_path / str(share))}
    once, some, twice = built.values()
    assert all(twice[key] == f"{text}\n\n{text}" for key, text in once.items())
    assert all(text in (once[key], twice[key]) for key, text in some.items())
    assert 0.3 < sum(text == twice[key] for key, text in some.items()) / len(some) < 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"repeat": 2}, "repeat is a share"),
        ({"vary_tools": 1.5}, "vary_tools is a share"),
        ({"irrelevant": -0.1}, "irrelevant is a share"),
        ({"most_tools": 0}, "most_tools is 1 or more"),
    ],
)
def test_variation_that_cannot_be(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        build(FIXTURES, tmp_path, Plan(**settings))


@pytest.mark.parametrize("jobs", [2, 3])
def test_the_number_of_processes_does_not_show(
    jobs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = (*FILES, "dialogues.parquet", "lengths.svg")
    for count, out in ((1, tmp_path / "one"), (jobs, tmp_path / "many")):
        told: list[int] = []
        build(
            DEMO,
            out,
            Plan(validation=0.1, vary_tools=0.5, irrelevant=0.2, shares={"sgd": 0.5, "snips": 1.5}),
            mixture="scratch",
            encoder=Encoder.load(),
            jobs=count,
            progress=lambda done, total: told.append(done),  # noqa: B023
        )
        assert told[-1] <= len(everything(out))
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "many" / file).read_bytes(), file
    assert not (tmp_path / "many" / ".building").exists()


def test_an_error_in_one_process_ends_the_run(corpora: Path, tmp_path: Path) -> None:
    (corpora / "sgd" / "train" / "dialogues_002.json").write_text('[{"turns": 3}')
    with pytest.raises(DataError, match=r"dialogues_002\.json:1: not valid JSON"):
        build(corpora, tmp_path / "out", jobs=2)
    assert list((tmp_path / "out").glob("*")) == []


def test_the_dialogues_of_cra_are_kept_as_their_samples_were_made(built: Path) -> None:
    kept = list(archive.read(built))
    assert [dialogue.id for dialogue in kept] == [dialogue.id for dialogue in sgd.load(FIXTURES)]
    samples = {(s.dialogue, s.turn): s for s in everything(built) if s.source == "sgd"}
    made = [sample for dialogue in kept for sample in coalm.act_samples(dialogue)]
    assert {(sample.dialogue, sample.turn): sample for sample in made} == samples


def test_services_leave_what_is_about_them_alone(tmp_path: Path) -> None:
    everywhere = {service for dialogue in sgd.load(DEMO) for service in dialogue.services}
    assert {"restaurant", "taxi"} < everywhere
    build(DEMO, tmp_path, Plan(services=("restaurant", "taxi")), sources=["sgd", "sgd-dst"])
    found = {sample.services for sample in everything(tmp_path)}
    assert {("restaurant",), ("taxi",)} <= found
    assert all(set(services) <= {"restaurant", "taxi"} for services in found)
    with pytest.raises(DataError, match=r"unknown service `taxis`(.|\n)*did you mean `taxi`"):
        build(DEMO, tmp_path, Plan(services=("restaurant", "taxis")), sources=["sgd"])


def test_the_splits_of_sgd(tmp_path: Path) -> None:
    build(DEMO, tmp_path, Plan(sgd_splits=("dev", "test")), sources=["sgd"])
    assert {sample.dialogue.split("/")[0] for sample in everything(tmp_path)} == {"dev", "test"}


def test_the_extended_mixture_tracks_states_of_sgd(tmp_path: Path) -> None:
    papers = build(DEMO, tmp_path / "paper", Plan(mask_copies=1))
    extended = build(DEMO, tmp_path / "extended", Plan(mask_copies=1), mixture="extended")
    assert list(papers["sources"]) == ["snips", "xlam", "toolace", "sgd"]
    assert list(extended["sources"]) == [*papers["sources"], "sgd-dst"]


def test_conversations_of_ones_own(tmp_path: Path) -> None:
    card = build(None, tmp_path, dialogues=OWN / "my.jsonl", tools=OWN / "tools.json", encoder=Encoder.load())
    samples = everything(tmp_path)
    assert {sample.source for sample in samples} == {"messages"}
    assert card["sources"]["messages"]["samples"]["train"] == len(list(read(tmp_path, "train")))
    assert any("Action: " in sample.output for sample in samples)
    assert len(list(archive.read(tmp_path))) == 6


def test_calls_that_cannot_be_read_are_counted_in_the_card(tmp_path: Path) -> None:
    row = {
        "system": 'Tools: [{"name": "Find", "parameters": {"type": "dict", "properties": {"city": {}}}}]',
        "conversations": [
            {"from": "user", "value": "Find Oslo."},
            {"from": "assistant", "value": "[Find(city=Oslo)]"},
            {"from": "user", "value": "Again, please."},
            {"from": "assistant", "value": '[Find(city="Oslo")]'},
        ],
    }
    (tmp_path / "toolace").mkdir()
    (tmp_path / "toolace" / "data.json").write_text(json.dumps([row] * 3))
    for jobs in (1, 2):
        card = build(tmp_path, tmp_path / "out", jobs=jobs)
        assert sum(card["unread_calls"].values()) == 3
    assert "toolace: 3 calls cannot be read and stay text" in (tmp_path / "out" / "card.md").read_text()


def test_shared_prefixes_and_lengths_are_those_of_the_samples(tmp_path: Path) -> None:
    encoder = Encoder.load()
    card = build(FIXTURES, tmp_path, Plan(validation=0), sources=["snips"], encoder=encoder)
    source = card["sources"]["snips"]
    dialogues = [sample for one in snips.load(FIXTURES) for sample in coalm.state_samples(one)]
    rows = [[*t.prompt, *t.output] for t in map(encoder.sample, dialogues)]
    assert sum(source["lengths"]) == len(rows)
    assert source["lengths"][len(rows[0]) // card["length_bin"]] > 0
    shared = sum(
        len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, two, strict=False))))
        for one, two in pairwise(rows)
    )
    whole = sum(map(len, rows))
    # Counted to the end of a line, so never more than what is really shared, and not much less.
    assert 0.9 * shared <= source["shared_prefix"] * whole <= shared + 1
    assert "lengths.svg" in (tmp_path / "card.md").read_text(encoding="utf-8")
    ElementTree.parse(tmp_path / "lengths.svg")


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 process or more"):
        build(FIXTURES, tmp_path, jobs=-1)
    with pytest.raises(DataError, match="tools without dialogues"):
        build(FIXTURES, tmp_path, tools=OWN / "tools.json")


def test_nothing_to_build_from(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--corpora, --dialogues or --released"):
        build(None, tmp_path)


def test_sources_are_interleaved(built: Path) -> None:
    order = [sample.source for sample in read(built, "train")]
    changes = sum(one != other for one, other in pairwise(order))
    assert changes > len(set(order))


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        build(FIXTURES, tmp_path / name, Plan(validation=0.3, seed=7))
    for file in FILES:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_another_seed_gives_another_order_and_other_thoughts(tmp_path: Path) -> None:
    for seed in (1, 2):
        build(FIXTURES, tmp_path / str(seed), Plan(validation=0, seed=seed))
    one, two = everything(tmp_path / "1"), everything(tmp_path / "2")
    places = [[(sample.dialogue, sample.turn) for sample in samples] for samples in (one, two)]
    assert places[0] != places[1]
    assert sorted(places[0]) == sorted(places[1])
    assert {sample.output for sample in one} != {sample.output for sample in two}


def requests() -> Iterator[tuple[tuple[str, str, int], Request]]:
    """What an evaluation would ask at every place that a sample stands for."""
    for dialogue in [*snips.load(FIXTURES), *map(sgd.track, sgd.load(FIXTURES))]:
        for index, turn in enumerate(dialogue.turns):
            if turn.role == "user":
                request = Request("state", dialogue.turns[: index + 1], domains=dialogue.domains)
                yield (dialogue.source, dialogue.id, index), request
    for dialogue in map(ground, sgd.load(FIXTURES)):
        for index, turn in enumerate(dialogue.turns):
            if turn.role == "assistant":
                request = Request("act", dialogue.turns[:index], dialogue.tools)
                yield (dialogue.source, dialogue.id, index), request


def test_training_and_evaluation_see_the_same_bytes(tmp_path: Path) -> None:
    build(FIXTURES, tmp_path, Plan(validation=0.2), sources=["snips", "sgd", "sgd-dst"])
    samples = {(sample.source, sample.dialogue, sample.turn): sample for sample in everything(tmp_path)}
    asked = dict(requests())
    assert set(asked) == set(samples)
    for place, request in asked.items():
        prompt = coalm.render(request)
        assert prompt == samples[place].as_prompt()
        assert prompt.messages[0][1].encode() == samples[place].prompt.encode()


def test_what_is_learned_reads_back_as_the_annotation(tmp_path: Path) -> None:
    build(FIXTURES, tmp_path, Plan(validation=0))
    dialogues: dict[str, Dialogue] = {dialogue.id: dialogue for dialogue in sgd.load(FIXTURES)}
    for sample in read(tmp_path, source="sgd"):
        turn = dialogues[sample.dialogue].turns[sample.turn]
        reply = coalm.read(sample.output, Request("act", ()))
        assert reply.error is None
        assert (reply.calls, reply.response) == (turn.calls, turn.text)
        assert reply.thought


def test_paper_layout_has_the_thought_in_the_input(tmp_path: Path) -> None:
    build(FIXTURES, tmp_path, Plan(layout="paper", validation=0))
    for sample in read(tmp_path, source="sgd"):
        assert "\nThought: " in sample.input
        assert sample.output.startswith("Action: " if sample.task == "action" else "System: ")


def test_tokens_are_counted_per_sample(built: Path) -> None:
    encoder = Encoder.load()
    tokens = pq.read_table(built / "train.parquet")["tokens"].to_pylist()
    assert tokens == [sum(map(len, encoder.sample(sample))) for sample in read(built, "train")]


def test_the_card_counts_what_is_there(built: Path) -> None:
    card = json.loads((built / "card.json").read_text(encoding="utf-8"))
    for split in ("train", "validation"):
        counts = Counter(sample.source for sample in read(built, split))
        assert card["samples"][split] == counts.total() == mixture.count(built, split)
        for name, source in card["sources"].items():
            assert source["samples"][split] == counts[name]
    tokens = sum(
        sum(pq.read_table(built / f"{split}.parquet")["tokens"].to_pylist()) for split in mixture.SPLITS
    )
    assert card["tokens"] == tokens == sum(source["tokens"] for source in card["sources"].values())
    assert card["sources"]["sgd"]["tasks"] == {"action": 8, "response": 19}
    assert card["sources"]["sgd"]["dialogues"]["train"] + card["sources"]["sgd"]["dialogues"]["validation"] == 3
    skeletons: Counter[str] = Counter()
    for dialogue in sgd.load(FIXTURES):
        ground(dialogue, 0, skeletons)
    assert card["thought_skeletons"] == len(skeletons)


def test_the_card_stands_beside_the_paper(built: Path) -> None:
    text = (built / "card.md").read_text(encoding="utf-8")
    assert text.startswith("---\npretty_name: CoALM-IT\n")
    assert "license: [cc-by-sa-4.0, cc0-1.0]" in text
    assert "| TOD | SNIPS | state tracking, single turn | 10 | 13,028 |" in text
    assert "| CRA | SGD | ReAct with API calls, multi-turn | 27 | 82,236 |" in text
    assert "59,704,782" in text
    assert "every step of 3 dialogues" in text


def test_without_an_encoder_no_tokens_are_claimed(tmp_path: Path) -> None:
    card = build(FIXTURES, tmp_path, Plan(validation=0))
    assert card["tokens"] is None
    assert pq.read_table(tmp_path / "train.parquet")["tokens"].null_count == sum(SAMPLES.values())
    assert "| 10 | 13,028 | – | 12,278,780 | – | 942.5 |" in (tmp_path / "card.md").read_text(encoding="utf-8")


def test_the_run_is_described(built: Path) -> None:
    run: dict[str, Any] = json.loads((built / "run.json").read_text(encoding="utf-8"))
    assert run["command"] == "data build"
    assert run["arguments"]["sources"] == ["snips", "sgd"]
    assert set(run["inputs"]) == {"snips", "sgd"}
    assert len(run["inputs"]["sgd"]["sha256"]) == 64


def test_what_is_there_is_taken_and_what_is_named_must_be(corpora: Path, tmp_path: Path) -> None:
    shutil.rmtree(corpora / "sgd")
    card = build(corpora, tmp_path / "out", Plan(validation=0))
    assert list(card["sources"]) == ["snips"]
    with pytest.raises(NotFound, match="dstc8"):
        build(corpora, tmp_path / "out", sources=["snips", "sgd"])
    with pytest.raises(NotFound, match="none of the corpora is here"):
        build(tmp_path / "out", tmp_path / "other")


def test_settings_that_are_wrong_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="did you mean `snips`"):
        build(FIXTURES, tmp_path, sources=["snip"])
    with pytest.raises(DataError, match="share of the dialogues"):
        build(FIXTURES, tmp_path, Plan(validation=1))


def test_a_broken_corpus_leaves_nothing_half_done(corpora: Path, tmp_path: Path) -> None:
    build(corpora, tmp_path / "out", Plan(validation=0))
    before = {file: (tmp_path / "out" / file).read_bytes() for file in FILES}
    (corpora / "sgd" / "train" / "dialogues_002.json").write_text('[{"turns": 3}')
    with pytest.raises(DataError, match=r"dialogues_002\.json:1: not valid JSON"):
        build(corpora, tmp_path / "out", Plan(seed=1))
    assert {file: (tmp_path / "out" / file).read_bytes() for file in FILES} == before
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*FILES, "dialogues.parquet", "run.json"}


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    build(FIXTURES, tmp_path, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (sum(SAMPLES.values()), None)


def test_reading_what_is_no_mixture(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such mixture"):
        list(read(tmp_path))
    with pytest.raises(DataError, match="did you mean `validation`"):
        read(tmp_path, "valid")
    (tmp_path / "train.parquet").write_text("junk")
    with pytest.raises(DataError, match="not a mixture of ours"):
        list(read(tmp_path))
