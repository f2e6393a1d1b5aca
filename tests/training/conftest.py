"""What several files of training tests start from; a file may have a `mixture` or `base` of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from coalm.training.trainer import train

from .made import RECIPE, samples, write_mixture


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mixture(tmp_path_factory.mktemp("mixture"), samples(5, 10), samples(1, 4, start=100))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, mixture: Path) -> Path:
    """A random base model with its tokenizer, as a folder."""
    return train(replace(RECIPE, max_steps=0), mixture, tmp_path_factory.mktemp("base"))
