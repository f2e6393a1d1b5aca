"""`coalm data show`: the sample as text, and exactly the tokens that a model sees."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from coalm.corpora import Plan
from coalm.errors import DataError
from coalm.mixture import build, read
from coalm.show import show, split_tokens
from coalm.tokens import Encoder

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixture")
    build(FIXTURES, folder, Plan(validation=0))
    return folder


def shown(folder: Path, *, colour: bool = False, **options: object) -> str:
    system = "standard" if colour else None
    console = Console(
        file=io.StringIO(), width=80, color_system=system, force_terminal=colour, no_color=not colour
    )
    show(folder, console=console, **options)  # type: ignore[arg-type]
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_samples_are_printed_whole_with_their_provenance(built: Path) -> None:
    sample = next(read(built, source="sgd"))
    text = shown(built, count=1, source="sgd")
    assert text.startswith(f"── sgd · CRA · {sample.task} · {sample.dialogue} turn {sample.turn} · ")
    assert f"{sample.prompt}\n\n{sample.output}\n" in text


def test_as_many_as_are_asked_for(built: Path) -> None:
    assert shown(built, count=4).count("── s") == 4
    assert shown(built, count=1000, source="snips").count("── snips · TOD · state") == 10


def test_tokens_are_what_the_model_sees(built: Path) -> None:
    encoder = Encoder.load()
    sample = next(read(built, source="snips"))
    text = shown(built, count=1, source="snips", encoder=encoder)
    assert f"{encoder.prompt_text(sample.as_prompt())}{sample.output}<|end|>\n" in text
    tokens = encoder.sample(sample)
    assert f"{len(tokens.prompt)} tokens given, {len(tokens.output)} learned" in text


def test_only_what_is_learned_is_bright(built: Path) -> None:
    sample = next(read(built, source="snips"))
    text = shown(built, count=1, source="snips", encoder=Encoder.load(), colour=True)
    learned = text.index("\x1b[1;3")
    assert sample.input in text[:learned]
    assert "\x1b[1;3" in text[text.index("<|end|>") - 8 : text.index("<|end|>")]


def test_tokens_of_one_character_come_as_one() -> None:
    encoder = Encoder.load()
    ids = encoder.encode("a 🫖 b")
    pieces = list(split_tokens(encoder, ids))
    assert "".join(pieces) == "a 🫖 b"
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


def test_an_unknown_source_is_named(built: Path) -> None:
    with pytest.raises(DataError, match="no sample of `sgdx`"):
        shown(built, source="sgdx")
