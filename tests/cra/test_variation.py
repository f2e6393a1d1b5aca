"""Varied tool lists: every call fits its list, names change everywhere at once, and words stay."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from coalm.calls import read_calls, write_call
from coalm.cra.checks import check
from coalm.cra.grounded import ground
from coalm.cra.variation import vary, vary_some, vary_states
from coalm.demo import DATA
from coalm.dialogue import Dialogue, Tool, ToolCall, Turn
from coalm.families.coalm import act_samples
from coalm.sources import sgd
from coalm.sources.tool_lists import called

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="module")
def grounded() -> list[Dialogue]:
    return [ground(one) for one in [*sgd.load(FIXTURES), *islice(sgd.load(DATA / "corpora"), 12)]]


@pytest.fixture(scope="module")
def varied(grounded: list[Dialogue]) -> list[tuple[Dialogue, Dialogue]]:
    """Dialogues with a varied list, each beside what it was."""
    return [(one, vary(one, Random(f"{seed}/{one.id}"))) for one in grounded for seed in range(12)]


def names(dialogue: Dialogue) -> set[str]:
    return {tool.name for tool in dialogue.tools}


def test_every_call_fits_its_list_and_reads_back(varied: list[tuple[Dialogue, Dialogue]]) -> None:
    for _, new in varied:
        tools = {tool.name: tool for tool in new.tools}
        assert len(tools) == len(new.tools)
        for turn in new.turns:
            for call in turn.calls:
                assert set(call.arguments) <= set(tools[call.name].properties)
                assert read_calls(write_call(call)) == (call,)


def test_checks_find_nothing_that_they_did_not_find_before(varied: list[tuple[Dialogue, Dialogue]]) -> None:
    for old, new in varied:
        before, after = Counter(found.rule for found in check(old)), Counter(found.rule for found in check(new))
        assert after <= before, (new.id, after - before)


def test_values_and_words_of_user_and_system_stay(varied: list[tuple[Dialogue, Dialogue]]) -> None:
    for old, new in varied:
        for before, after in zip(old.turns, new.turns, strict=True):
            assert before.role == "tool" or before.text == after.text
            assert [[*call.arguments.values()] for call in before.calls] == [
                [*call.arguments.values()] for call in after.calls
            ]
            assert [[*row.values()] for row in before.results] == [[*row.values()] for row in after.results]


def test_a_thought_names_what_its_list_has(varied: list[tuple[Dialogue, Dialogue]]) -> None:
    mentions = 0
    for old, new in varied:
        here = {before.name: after for before, after in pairs(old, new)}
        for before, after in zip(old.turns, new.turns, strict=True):
            for name in names(old) & set(re.findall(r"\w+", before.thought)):
                mentions += 1
                assert here.get(name, name) in after.thought
        written = " ".join(turn.thought for turn in new.turns)
        assert not (names(old) - names(new)) & set(re.findall(r"[\w.]*\w", written))
    assert mentions > 100


def pairs(old: Dialogue, new: Dialogue) -> list[tuple[ToolCall, str]]:
    """The calls of the old dialogue, each with what its function is called in the new one."""
    return [
        (call, other.name)
        for before, after in zip(old.turns, new.turns, strict=True)
        for call, other in zip(before.calls, after.calls, strict=True)
    ]


def test_one_function_has_one_name(varied: list[tuple[Dialogue, Dialogue]]) -> None:
    for old, new in varied:
        renamed = {(before.name, after) for before, after in pairs(old, new)}
        assert len(renamed) == len({before for before, _ in renamed}) == len({after for _, after in renamed})


def test_lists_are_short_and_of_all_sizes_orders_and_kinds(grounded: list[Dialogue]) -> None:
    sizes, firsts, kept = set(), set(), 0
    one = max(grounded, key=lambda dialogue: len(dialogue.tools))
    needed = len(called(one))
    for seed in range(120):
        new = vary(one, Random(seed), most=5)
        sizes.add(len(new.tools))
        firsts.add(new.tools[0].name)
        kept += names(new) <= names(one)
    assert needed < 5 <= len(one.tools)
    assert sizes == set(range(min(sizes), 6))
    assert min(sizes) <= needed + 2
    assert len(firsts) > 20
    assert 20 < kept < 70  # about 35 % are the corpus' own names


NEAR = ("city", "town", "area", "place", "location")


def bare(properties: Sequence[str]) -> Dialogue:
    """A call that no thought speaks of, and a row with more than its parameters."""
    tools = tuple(
        Tool(f"Find{name.title()}", "", {"type": "object", "properties": {p: {} for p in properties}})
        for name in NEAR
    )
    turns = (
        Turn("user", "Lund"),
        Turn("assistant", calls=(ToolCall("FindTown", {"city": "Lund"}),)),
        Turn("tool", results=(dict(zip(NEAR, "abcde", strict=True)),)),
    )
    return Dialogue("d", "sgd", turns, tools)


@pytest.mark.parametrize("properties", [NEAR, NEAR[:1]])
def test_names_do_not_run_into_each_other(properties: Sequence[str]) -> None:
    """`city` may become `town`, but not where a parameter or a column is called so already."""
    for seed in range(60):
        new = vary(bare(properties), Random(seed))
        call = new.turns[1].calls[0]
        [tool] = [tool for tool in new.tools if tool.name == call.name]
        assert len(tool.properties) == len(properties)
        assert set(call.arguments) <= set(tool.properties)
        assert [*new.turns[2].results[0].values()] == [*"abcde"]


def test_a_share_is_varied_the_same_each_time(grounded: list[Dialogue]) -> None:
    one = grounded[0]
    assert vary_some(one) == one
    assert vary_some(one, seed=3, share=1.0) == vary_some(one, seed=3, share=1.0) != one
    half = [vary_some(one, seed, 0.5) == one for seed in range(60)]
    assert 15 < sum(half) < 45
    lists = {tuple(tool.signature for tool in vary_some(one, seed, 1.0).tools) for seed in range(60)}
    assert len(lists) > 40


def test_samples_are_much_shorter(grounded: list[Dialogue]) -> None:
    one = max(grounded, key=lambda dialogue: len(dialogue.tools))
    new = vary(one, Random(0), most=3)
    [full, *_], [short, *_] = act_samples(one), act_samples(new)
    assert len(short.instruction) < len(full.instruction)
    assert [s.turn for s in act_samples(new)] == [s.turn for s in act_samples(one)]


# ── states ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def tracked() -> list[tuple[Dialogue, Dialogue]]:
    """Dialogues for state tracking, each beside itself under other names."""
    found = [sgd.track(one) for one in islice(sgd.load(DATA / "corpora"), 30)]
    return [(one, vary_states(one, seed, 1.0)) for one in found for seed in range(6)]


def test_states_are_written_with_what_is_listed(tracked: list[tuple[Dialogue, Dialogue]]) -> None:
    for _, new in tracked:
        listed = {domain.name: {slot.name for slot in domain.slots} for domain in new.domains}
        assert len(listed) == len(new.domains)
        for turn in new.turns:
            for domain, values in (turn.state or {}).items():
                assert set(values) <= listed[domain]


def test_domains_and_slots_keep_what_they_are(tracked: list[tuple[Dialogue, Dialogue]]) -> None:
    for old, new in tracked:
        about = [
            sorted(
                (one.description, sorted(slot.description for slot in one.slots)) for one in dialogue.domains
            )
            for dialogue in (old, new)
        ]
        assert about[0] == about[1]
        for before, after in zip(old.turns, new.turns, strict=True):
            assert before.text == after.text
            values = [
                sorted(v for found in (turn.state or {}).values() for v in found.values())
                for turn in (before, after)
            ]
            assert values[0] == values[1]


def test_names_of_domains_and_slots_differ_and_are_drawn_by_seed(
    tracked: list[tuple[Dialogue, Dialogue]],
) -> None:
    renamed = {domain.name for _, new in tracked for domain in new.domains}
    own = {domain.name for old, _ in tracked for domain in old.domains}
    assert len(renamed) > 2 * len(own)
    old = tracked[0][0]
    assert vary_states(old, 3, 1.0) == vary_states(old, 3, 1.0) != vary_states(old, 4, 1.0)
    assert vary_states(old, 3, 0.0) is old
