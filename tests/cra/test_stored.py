from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from coalm.archive import Writer
from coalm.cra.stored import load
from coalm.dialogue import Dialogue, Turn
from coalm.errors import DataError
from tests.cra.conversations import FIND, dialogue


def store(folder: Path, *dialogues: Dialogue) -> None:
    with Writer(folder) as writer:
        for one in dialogues:
            writer.add(one)


def test_a_folder_is_a_corpus(tmp_path: Path) -> None:
    other = replace(dialogue(1), tools=(FIND,), domains=())
    odd = replace(dialogue(2), turns=(Turn("user", "two\u2028lines\nand more"),))
    late = replace(dialogue(3), id="test/3")
    store(tmp_path / "sgd-llm", dialogue(0), other, odd, late)
    assert list(load(tmp_path)) == [dialogue(0), other, odd]
    assert list(load(tmp_path / "sgd-llm", "test")) == [late]


def test_a_zip_is_named_with_what_to_do(tmp_path: Path) -> None:
    store(tmp_path / "made", dialogue(0))
    shutil.make_archive(str(tmp_path / "sgd-llm"), "zip", tmp_path / "made")
    with pytest.raises(DataError, match="folder"):
        list(load(tmp_path))


def test_a_missing_folder_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        list(load(tmp_path))
    assert "coalm data cra" in raised.value.hint
