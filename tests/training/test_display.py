from __future__ import annotations

import pytest

from coalm.training.display import Smooth, describe, show_training

ROW = {
    "step": 40,
    "loss": 1.25,
    "lr": 1e-3,
    "samples": 8,
    "targets": 80,
    "plain_tokens": 6000,
    "computed_tokens": 1500,
    "seconds": 0.5,
}


def test_a_row_is_described_with_both_rates() -> None:
    text = "step 40  loss 1.250  held out 1.500  lr 1.0e-03  tokens/s 12,000 plain, 3,000 computed"
    assert describe({**ROW, "eval_loss": 1.5}) == text
    assert describe({"step": 0, "loss": None, "lr": 0.0, "eval_loss": 8.0}) == "step 0  held out 8.000"


def test_smoothing_follows_slowly_and_keeps_the_last_evaluation() -> None:
    smooth = Smooth(weight=0.75)
    smooth.add({**ROW, "eval_loss": 2.0})
    row = smooth.add({**ROW, "step": 41, "loss": 2.25})
    assert (row["step"], row["loss"], row["eval_loss"]) == (41, 1.5, 2.0)


def test_off_a_terminal_only_evaluations_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with show_training() as watch:
        watch(0.1, ROW)
        watch(0.5, {**ROW, "eval_loss": 1.5})
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [f" 50%  {describe({**ROW, 'eval_loss': 1.5})}"]
