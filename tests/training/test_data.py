from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coalm.dialogue import Sample
from coalm.errors import DataError
from coalm.tokens import Tokens
from coalm.training.data import Batches, Counts, Store, open_store, order, spread, write_store

SAMPLE = Sample("Do it.", "now", "yes", "snips", "TOD", "state", "d1", 0)


def encode(sample: Sample) -> Tokens:
    """A token for each character, and 0 for the end."""
    return Tokens([ord(char) for char in sample.prompt], [*(ord(char) for char in sample.output), 0])


def write(folder: Path, samples: list[Sample], limit: int = 1000, *, drop_long: bool = False) -> Counts:
    return write_store(samples, encode, folder, limit=limit, drop_long=drop_long)


def store(folder: Path, samples: list[Sample]) -> Store:
    return open_store(lambda: samples, encode, folder, limit=1000, drop_long=False, identity={})


def numbered(dialogues: int, each: int) -> list[Sample]:
    """Samples of several dialogues, taken in turns, told apart by their output."""
    return [
        replace(SAMPLE, dialogue=f"d{dialogue}", turn=turn, output=chr(65 + dialogue) + chr(97 + turn))
        for turn in range(each)
        for dialogue in range(dialogues)
    ]


def test_rows_come_back_as_they_were_encoded(tmp_path: Path) -> None:
    samples = numbered(3, 2)
    kept = store(tmp_path, samples)
    assert len(kept) == 6
    for number, sample in enumerate(samples):
        prompt, output = encode(sample)
        assert kept.row(number) == ([*prompt, *output], len(prompt))
    assert kept.dialogues.tolist() == [0, 1, 2, 0, 1, 2]
    length = len(samples[0].prompt) + 3
    assert kept.counts == Counts(rows=6, dropped=0, tokens=6 * length, targets=18)


def test_the_same_dialogue_name_in_two_sources_is_two_dialogues(tmp_path: Path) -> None:
    kept = store(tmp_path, [SAMPLE, replace(SAMPLE, source="sgd"), SAMPLE])
    assert kept.dialogues.tolist() == [0, 1, 0]


def test_a_store_is_written_once_and_again_when_it_is_of_something_else(tmp_path: Path) -> None:
    asked = []

    def samples() -> list[Sample]:
        asked.append(1)
        return [SAMPLE]

    for identity, times in (({"of": "a"}, 1), ({"of": "a"}, 1), ({"of": "b"}, 2)):
        open_store(samples, encode, tmp_path, limit=1000, drop_long=False, identity=identity)
        assert len(asked) == times
    (tmp_path / "store.json").unlink()  # as a kill in the middle leaves it
    open_store(samples, encode, tmp_path, limit=1000, drop_long=False, identity={"of": "b"})
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (replace(SAMPLE, output=""), "snips d1 turn 0: the sample has nothing to learn"),
        (replace(SAMPLE, output=" \n"), "snips d1 turn 0: the sample has nothing to learn"),
        (replace(SAMPLE, instruction="", input=""), "snips d1 turn 0: the sample has no prompt"),
    ],
)
def test_samples_that_teach_nothing_are_errors(tmp_path: Path, sample: Sample, message: str) -> None:
    with pytest.raises(DataError, match=message):
        write(tmp_path, [SAMPLE, sample])


def test_samples_that_are_too_long_are_an_error_that_counts_and_names_them(tmp_path: Path) -> None:
    long = [replace(SAMPLE, output="y" * 20, turn=turn) for turn in range(5)]
    with pytest.raises(DataError) as caught:
        write(tmp_path, [SAMPLE, *long], limit=20)
    assert "5 samples are longer than the 20 tokens" in str(caught.value)
    assert "snips d1 turn 2 (32 tokens) and 2 more" in str(caught.value)
    assert "too_long=drop" in str(caught.value)


def test_samples_that_are_too_long_can_be_left_out_and_are_counted(tmp_path: Path) -> None:
    counts = write(tmp_path, [SAMPLE, replace(SAMPLE, output="y" * 20)], limit=20, drop_long=True)
    assert (counts.rows, counts.dropped) == (1, 1)


def test_the_end_token_needs_no_place_of_its_own(tmp_path: Path) -> None:
    prompt, output = encode(SAMPLE)
    length = len(prompt) + len(output)
    assert write(tmp_path, [SAMPLE], limit=length - 1).rows == 1
    with pytest.raises(DataError, match="longer"):
        write(tmp_path, [SAMPLE], limit=length - 2)


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no sample to train on"):
        write(tmp_path, [SAMPLE], limit=3, drop_long=True)


# ── order ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("policy", ["grouped", "shuffle"])
def test_an_epoch_holds_each_row_once_in_a_seeded_order(policy: str) -> None:
    dialogues = np.array([0, 1, 2, 3, 4, 5] * 4)
    first, second, other = (order(dialogues, policy, *key) for key in ((0, 0), (0, 1), (1, 0)))  # type: ignore[arg-type]
    for one in (first, second, other):
        assert sorted(one.tolist()) == list(range(24))
    assert first.tolist() == order(dialogues, policy, 0, 0).tolist()  # type: ignore[arg-type]
    assert len({tuple(one.tolist()) for one in (first, second, other)}) == 3


def test_grouped_keeps_dialogues_together_and_their_rows_in_order() -> None:
    dialogues = np.array([0, 1, 2, 3, 4, 5] * 4)
    numbers = order(dialogues, "grouped", 0, 0)
    for start in range(0, 24, 4):
        together = numbers[start : start + 4]
        assert len(set(dialogues[together].tolist())) == 1
        assert together.tolist() == sorted(together.tolist())


@pytest.mark.parametrize(("epochs", "sizes"), [(1, [4, 4, 2]), (2, [4, 4, 4, 4, 4]), (0.5, [4, 1])])
def test_batches_run_on_from_epoch_to_epoch(tmp_path: Path, epochs: float, sizes: list[int]) -> None:
    kept = store(tmp_path, numbered(5, 2))
    batches = Batches(kept, 4, epochs, "shuffle", 0)
    assert len(batches) == len(sizes)
    steps = [batches.rows(step) for step in range(len(batches))]
    assert [len(rows) for rows in steps] == sizes
    seen = [tuple(row.tokens) for rows in steps for row in rows]
    whole = {tuple(kept.row(number).tokens) for number in range(10)}
    for start in range(0, len(seen) - 9, 10):
        assert set(seen[start : start + 10]) == whole


def test_a_step_does_not_depend_on_the_steps_before(tmp_path: Path) -> None:
    kept = store(tmp_path, numbered(5, 2))
    batches = Batches(kept, 4, 3, "grouped", 7)
    forwards = [batches.rows(step) for step in range(len(batches))]
    assert [batches.rows(step) for step in reversed(range(len(batches)))][::-1] == forwards


def test_spread_takes_rows_from_all_over(tmp_path: Path) -> None:
    kept = store(tmp_path, numbered(5, 2))
    assert list(spread(kept, 3)) == [kept.row(0), kept.row(3), kept.row(6)]
    assert len(list(spread(kept, 100))) == 10
