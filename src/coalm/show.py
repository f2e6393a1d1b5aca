"""`coalm data show`: samples for people to look at, as text or exactly as a model sees them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from coalm.dialogue import Sample
from coalm.errors import DataError
from coalm.mixture import read

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from coalm.tokens import Encoder

_LEARNED = ("bold green", "bold cyan")  # in turns, so that the ends of tokens can be seen


def show(
    folder: Path,
    *,
    count: int = 3,
    source: str | None = None,
    encoder: Encoder | None = None,
    console: Console | None = None,
) -> None:
    """Print the first `count` training samples of a mixture; with `encoder`, as tokens, bright where learned.

    Raises:
        DataError: no mixture in `folder`, or no sample of `source` in it.
    """
    from rich.console import Console

    console = console or Console()
    samples = list(islice(read(folder, "train", source), count))
    if not samples and source is not None:
        raise DataError(f"no sample of `{source}`", where=folder, hint="see card.md there for its sources")
    for sample in samples:
        text = _as_text(sample) if encoder is None else _as_tokens(sample, encoder)
        console.print(_title(sample), text, "", sep="\n", soft_wrap=True)


def _title(sample: Sample) -> Text:
    from rich.text import Text

    place = f"{sample.dialogue} turn {sample.turn}"
    parts = [sample.source, sample.domain, sample.task, place, ", ".join(sample.services)]
    return Text(f"── {' · '.join(filter(None, parts))} ──", "yellow")


def _as_text(sample: Sample) -> Text:
    from rich.text import Text

    given = [(sample.instruction, "dim"), (sample.input, "")] if sample.input else [(sample.instruction, "dim")]
    pieces = [*given, (sample.output, _LEARNED[0])]
    return Text("\n\n").join([Text(text, style) for text, style in pieces])


def _as_tokens(sample: Sample, encoder: Encoder) -> Text:
    from rich.text import Text

    tokens = encoder.sample(sample)
    text = Text().append(encoder.decode(tokens.prompt), "dim")
    for number, piece in enumerate(split_tokens(encoder, tokens.output)):
        text.append(piece, _LEARNED[number % 2])
    text.append(f"\n{len(tokens.prompt)} tokens given, {len(tokens.output)} learned", "yellow")
    return text


def split_tokens(encoder: Encoder, ids: Sequence[int]) -> Iterator[str]:
    """The text of each token; tokens that only together make a character come as one."""
    start = 0
    for end in range(1, len(ids) + 1):
        text = encoder.decode(ids[start:end])
        if not text.endswith("\N{REPLACEMENT CHARACTER}") or end == len(ids):
            yield text
            start = end
