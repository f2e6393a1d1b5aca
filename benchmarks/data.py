"""What building a mixture costs: linear in the input, and shared out over processes.

    python benchmarks/data.py                    # generated xLAM files of 15, 30 and 60 thousand rows
    python benchmarks/data.py --corpora DIR      # and real corpora, in one process and in two
    python benchmarks/data.py --rows 500 --json

Each build is a process of its own; time is its wall clock, memory its largest resident set.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

VERBS = ("get", "find", "list", "book", "cancel", "compare", "convert", "search", "track", "rate")
THINGS = ("flight", "hotel", "recipe", "parcel", "song", "currency", "match", "museum", "taxi", "stock", "poem")
SLOTS = (
    "city",
    "day",
    "count",
    "name",
    "language",
    "price",
    "colour",
    "size",
    "topic",
    "code",
    "level",
    "unit",
)
WORDS = (
    "amber",
    "birch",
    "copper",
    "delta",
    "ember",
    "fjord",
    "grove",
    "harbour",
    "iris",
    "juniper",
    "kestrel",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=15_000, help="rows of the smallest generated file")
    parser.add_argument("--corpora", type=Path, help="folder with real corpora, to build them too")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures: dict[str, Any] = {"linear": [linear(Path(folder), args.rows * times) for times in (1, 2, 4)]}
        per_sample = [one["seconds"] / one["samples"] for one in figures["linear"]]
        figures["spread"] = max(per_sample) / min(per_sample) - 1
        if args.corpora:
            figures["corpora"] = [build(args.corpora, Path(folder) / "mixture", jobs) for jobs in (1, 2)]
            figures["speedup"] = figures["corpora"][0]["seconds"] / figures["corpora"][1]["seconds"]
    print(json.dumps(figures) if args.json else describe(figures))


def linear(folder: Path, rows: int) -> dict[str, Any]:
    """Generate so many rows, and build a mixture of them in one process."""
    corpora = folder / str(rows) / "function_calling"
    corpora.mkdir(parents=True)
    with (corpora / "xlam.jsonl").open("w", encoding="utf-8") as file:
        for number in range(rows):
            file.write(json.dumps(row(Random(number))) + "\n")
    return build(corpora.parent, folder / "mixture", 1)


def row(random: Random) -> dict[str, str]:
    """A request in xLAM's form, with two to six tools, one or two of them called."""
    names = [f"{verb}_{thing}" for verb in VERBS for thing in THINGS]
    tools = [tool(name, random) for name in random.sample(names, random.randint(2, 6))]
    calls = [
        {
            "name": one["name"],
            "arguments": {slot: " ".join(random.sample(WORDS, 2)) for slot in one["parameters"]},
        }
        for one in random.sample(tools, random.randint(1, 2))
    ]
    said = [
        f"{call['name'].replace('_', ' a ')} with {', '.join(call['arguments'].values())}" for call in calls
    ]
    query = f"Could you {' and '.join(said)}, please?"
    return {"query": query, "tools": json.dumps(tools), "answers": json.dumps(calls)}


def tool(name: str, random: Random) -> dict[str, Any]:
    parameters = {
        slot: {"description": f"The {slot} of the {name.split('_')[1]}.", "type": "str", "default": ""}
        for slot in random.sample(SLOTS, random.randint(1, 4))
    }
    return {"name": name, "description": f"This can {name.replace('_', ' a ')}.", "parameters": parameters}


def build(corpora: Path, out: Path, jobs: int) -> dict[str, Any]:
    """Build a mixture in a process of its own: samples, seconds, MB."""
    command = [sys.executable, "-m", "coalm", "data", "build", "--corpora", str(corpora), "--out", str(out)]
    started = time.monotonic()
    child = subprocess.Popen([*command, "--jobs", str(jobs)], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    seconds = time.monotonic() - started
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    card = json.loads((out / "card.json").read_text(encoding="utf-8"))
    samples = sum(card["samples"].values())
    return {"jobs": jobs, "samples": samples, "seconds": seconds, "megabytes": used.ru_maxrss / 1024}


def describe(figures: dict[str, Any]) -> str:
    lines = []
    for one in [*figures["linear"], *figures.get("corpora", ())]:
        cost = 1e6 * one["seconds"] / one["samples"]
        lines.append(
            f"{one['samples']:>9,} samples, {one['jobs']} process(es): {one['seconds']:6.1f} s, "
            f"{cost:6.0f} µs a sample, {one['megabytes']:,.0f} MB"
        )
    lines.append(f"time per sample of generated rows varies by {figures['spread']:.1%}")
    if "speedup" in figures:
        lines.append(f"two processes: {figures['speedup']:.2f} x the speed of one")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
