from __future__ import annotations

from pathlib import Path

import pytest

from coalm import prompts
from coalm.errors import DataError


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(prompts, "_folders", list(prompts._folders))
    (tmp_path / "coalm").mkdir()
    yield tmp_path
    prompts.template.cache_clear()


def test_fill_wants_exactly_the_keys_of_the_text() -> None:
    assert "1. f(x)" in prompts.fill("coalm/act", tools="1. f(x)", history="")
    with pytest.raises(ValueError, match="history"):
        prompts.fill("coalm/act", tools="1. f(x)")
    with pytest.raises(ValueError, match="extra"):
        prompts.fill("coalm/act", tools="", history="", extra="")


def test_values_are_put_in_as_they_are() -> None:
    assert "{{history}}" in prompts.fill("coalm/act", tools="{{history}}", history=r"\1 \g<0>")


def test_own_words_replace_ours(own_folder: Path) -> None:
    (own_folder / "coalm" / "act.txt").write_text("{{tools}}|{{history}}\n")
    prompts.use_folder(own_folder)
    assert prompts.fill("coalm/act", tools="a", history="b") == "a|b"
    assert prompts.template("coalm/state")  # the others stay ours


def test_a_misnamed_text_is_refused(own_folder: Path) -> None:
    (own_folder / "coalm" / "akt.txt").write_text("")
    with pytest.raises(DataError, match=r"akt\.txt") as raised:
        prompts.use_folder(own_folder)
    assert "act.txt" in raised.value.hint


def test_section_markers_are_exact() -> None:
    text = prompts.template("coalm/act")
    for name in ("TASK INSTRUCTION", "AVAILABLE TOOLS", "FORMAT INSTRUCTION", "CONVERSATION HISTORY"):
        assert text.count(f"[BEGIN OF {name}]\n") == 1
        assert text.count(f"[END OF {name}]") == 1
