"""The dataset card's picture: how long samples are, source by source. SVG that reads in light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT, GAP, MARGIN = 220, 90, 28, 16
COLUMNS = 3
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#24292f}.dim{fill:#6e7781;font-size:10px}"
    ".bar{fill:#0b6e69}.axis{stroke:#d0d7de}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.dim{fill:#8d96a0}.bar{fill:#4fb3ac}.axis{stroke:#30363d}}"
)


def draw_lengths(card: Mapping[str, Any]) -> str:
    """A histogram of tokens per sample for each source of `card.json`, all on one scale of tokens."""
    sources = card["sources"]
    bins = max(_last(source["lengths"]) for source in sources.values())
    rows = -(-len(sources) // COLUMNS)
    columns = min(COLUMNS, len(sources))
    width = 2 * MARGIN + columns * WIDTH + (columns - 1) * GAP
    height = 2 * MARGIN + rows * (HEIGHT + 44)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        f"<title>Samples by their length in tokens</title><style>{STYLE}</style>",
    ]
    for place, (name, source) in enumerate(sources.items()):
        left = MARGIN + place % COLUMNS * (WIDTH + GAP)
        top = MARGIN + place // COLUMNS * (HEIGHT + 44)
        parts.append(f'<g transform="translate({left} {top})">')
        parts += _panel(name, source, bins, card["length_bin"])
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(name: str, source: Mapping[str, Any], bins: int, bin: int) -> list[str]:
    counts: Sequence[int] = source["lengths"][:bins]
    step, tallest, floor = WIDTH / bins, max(counts), HEIGHT + 16
    parts = [
        f'<text y="10">{escape(name)}</text>',
        f'<text class="dim" x="{WIDTH}" y="10" text-anchor="end">mean {source["tokens_per_sample"]:,.0f}, '
        f"longest {source['longest_sample']:,}</text>",
        f'<line class="axis" x2="{WIDTH}" y1="{floor}" y2="{floor}"/>',
    ]
    for place, count in enumerate(counts):
        if count:
            tall = max(1.0, HEIGHT * count / tallest)
            tokens = f"{place * bin:,} to {(place + 1) * bin - 1:,} tokens"
            parts.append(
                f'<rect class="bar" x="{place * step + 0.5:.1f}" y="{floor - tall:.1f}" '
                f'width="{step - 1:.1f}" height="{tall:.1f}"><title>{tokens}: {count:,} samples</title></rect>'
            )
    for share in (0, 0.5, 1):
        anchor = {0: "start", 0.5: "middle", 1: "end"}[share]
        parts.append(
            f'<text class="dim" x="{WIDTH * share:.0f}" y="{floor + 13}" text-anchor="{anchor}">'
            f"{round(bins * share) * bin:,}</text>"
        )
    return parts


def _last(counts: Sequence[int]) -> int:
    """Number of bins up to the last that holds anything."""
    return max(place + 1 for place, count in enumerate(counts) if count)
