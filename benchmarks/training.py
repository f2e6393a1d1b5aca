"""How much the shared prefixes save: tries against plain rows, in tokens computed and in samples per second.

    python benchmarks/training.py --corpora DIR            # folder with snips and sgd, as folders or zips
    python benchmarks/training.py --data MIXTURE           # a mixture that `coalm data build` has written
    python benchmarks/training.py --quick                  # the demo's corpora, one batch

The same Llama of about 7M parameters (LoRA r 16, float32) and the same batches of 64 samples of CRA and SNIPS,
in the recipes' `grouped` order, in one process: each batch is trained on both ways, one after the other. Both
run the output head on target positions only; plain rows are unpadded. `gradient_difference` is that of the
first batch, relative to its norm; `sharing_cra_snips` is the factor in samples per second.
Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from coalm.demo import DATA
from coalm.dialogue import Sample
from coalm.mixture import build, read
from coalm.runs import package_versions
from coalm.tokens import Encoder
from coalm.training.base import open_base
from coalm.training.collate import collate
from coalm.training.forward import summed_loss
from coalm.training.recipe import Lora, Recipe, Scratch
from coalm.training.trie import Row, pack

BATCH = 64
SHAPE = Scratch(hidden_size=256, intermediate_size=704, layers=4, heads=8, kv_heads=4, context=8192)
RECIPE = Recipe(scratch=SHAPE, method="lora", lora=Lora(rank=16, alpha=32), dtype="float32")
WAYS = {"trie": True, "rows": False}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--data", type=Path, help="mixture folder")
    given.add_argument(
        "--corpora",
        type=Path,
        default=DATA / "corpora",
        help="folder with the corpora, from which a mixture is built first; default: the demo's",
    )
    parser.add_argument("--quick", action="store_true", help="one batch instead of six")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    args = parser.parse_args()
    batches = 1 if args.quick else 6
    if args.data:
        figures = measure(args.data, batches)
    else:
        with tempfile.TemporaryDirectory() as folder:
            build(args.corpora, Path(folder), sources=["snips", "sgd"])
            figures = measure(Path(folder), batches)
    print(json.dumps(figures) if args.json else describe(figures))


def measure(data: Path, batches: int) -> dict[str, Any]:
    """All figures, over that many batches."""
    encoder = Encoder.load()
    rows = [
        Row([*prompt, *output], len(prompt))
        for prompt, output in map(encoder.sample, draw(data, batches * BATCH))
    ]
    vocabulary = 1 + max(max(row.tokens) for row in rows)
    base = open_base(RECIPE, SizedTokenizer(vocabulary, encoder.end_id), "cpu")
    model, sums, gradients = base.model, {way: Counter() for way in WAYS}, {}
    take_step(model, rows[:8], True)  # warm up
    for start in range(0, len(rows), BATCH):
        for way, share in WAYS.items():
            sums[way].update(take_step(model, rows[start : start + BATCH], share))
            if start == 0:
                gradients[way] = torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None])
    trie, plain = sums["trie"], sums["rows"]
    difference = (gradients["trie"] - gradients["rows"]).norm() / gradients["rows"].norm()
    return {
        "samples": len(rows),
        "batch": BATCH,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "threads": torch.get_num_threads(),
        "packages": package_versions(),
        **{
            way: {"computed_tokens": s["tokens"], "samples_per_second": s["samples"] / s["seconds"]}
            for way, s in sums.items()
        },
        "fewer_tokens": plain["tokens"] / trie["tokens"],
        "sharing_cra_snips": plain["seconds"] / trie["seconds"],
        "gradient_difference": difference.item(),
    }


class SizedTokenizer:
    """What a model needs to know of its tokenizer."""

    def __init__(self, size: int, end_id: int) -> None:
        self._size = size
        self.eos_token_id = end_id

    def __len__(self) -> int:
        return self._size

    def get_vocab(self) -> dict[str, int]:
        return {}


def draw(data: Path, count: int) -> list[Sample]:
    """Samples of CRA and SNIPS, dialogues at random and whole: the `grouped` order."""
    dialogues = list(dict.fromkeys(key(sample) for sample in cra_and_snips(data)))
    random.Random(0).shuffle(dialogues)
    place = {dialogue: number for number, dialogue in enumerate(dialogues[:count])}
    samples = [sample for sample in cra_and_snips(data) if key(sample) in place]
    samples.sort(key=lambda sample: place[key(sample)])
    return samples[:count]


def cra_and_snips(data: Path) -> Iterator[Sample]:
    return (sample for sample in read(data, "train") if sample.source in ("snips", "sgd"))


def key(sample: Sample) -> tuple[str, str]:
    return sample.source, sample.dialogue


def take_step(model: Any, rows: Sequence[Row], share: bool) -> dict[str, float]:
    """Forward and backward over one batch; what it computed and took, packing included."""
    started = time.perf_counter()
    model.zero_grad()
    tokens, tries = 0, list(pack(rows, RECIPE.pack_tokens, share=share))
    targets = sum(trie.target_count for trie in tries)
    for trie in tries:
        (summed_loss(model, collate(trie), "segments") / targets).backward()
        tokens += len(trie.tokens)
    return {"samples": len(rows), "tokens": tokens, "seconds": time.perf_counter() - started}


def describe(figures: dict[str, Any]) -> str:
    """The figures as a few lines for people."""
    lines = [
        f"{figures['samples']} samples in batches of {BATCH}, {figures['parameters'] / 1e6:.1f}M parameters, "
        f"{figures['threads']} threads"
    ]
    for way in WAYS:
        tokens, speed = figures[way]["computed_tokens"], figures[way]["samples_per_second"]
        lines.append(f"{way:5} {tokens:10,} tokens computed {speed:8.2f} samples/s")
    lines.append(f"{figures['fewer_tokens']:.1f} x fewer tokens")
    lines.append(f"{figures['sharing_cra_snips']:.1f} x the samples per second")
    lines.append(f"relative difference of gradients {figures['gradient_difference']:.1e}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
