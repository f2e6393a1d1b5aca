"""What a report costs: twelve models on three benchmarks, about 160,000 verdicts, as one page.

    python benchmarks/reporting.py                   # seconds, memory, and the size of the page
    python benchmarks/reporting.py --keep DIR        # leave the runs and the page in DIR
    python benchmarks/reporting.py --items 0.05 --json

The runs are made up (their answers are drawn, seeded), but lie in the form and in the sizes of real ones.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from coalm.benchmarks import benchmark
from coalm.benchmarks.bfcl.aggregate import ENTRIES, ONLINE
from coalm.benchmarks.episode import Verdict
from coalm.benchmarks.scoring import score_verdicts, write_scores
from coalm.runs import describe_run, write_json

MODELS = (
    *("uiuc-convai/CoALM-8B", "uiuc-convai/CoALM-70B", "meta-llama/Llama-3.1-8B-Instruct"),
    *("meta-llama/Llama-3.3-70B-Instruct", "mistralai/Mistral-7B-Instruct-v0.3", "Qwen/Qwen2.5-7B-Instruct"),
    *("MadeAgents/Hammer2.0-7b", "Team-ACE/ToolACE-8B", "ibm-granite/granite-20b-code-instruct-8k"),
    *("xingyaoww/CodeActAgent-Mistral-7b-v0.1", "gpt-4o-mini-2024-07-18", "somebody/Their-Own-Model-3B"),
)
DOMAINS = {
    "hotel": ("area", "stars", "parking", "name", "stay", "people"),
    "restaurant": ("food", "area", "pricerange", "time", "people"),
    "train": ("departure", "destination", "day", "leave"),
    "attraction": ("type", "area", "name"),
    "taxi": ("departure", "destination", "arrive"),
}
WORDS = ("north", "cheap", "amber house", "17:30", "friday", "two", "museum", "chinese", "yes", "city centre")
BFCL_FAULTS = (
    *("simple_function_checker:wrong_func_name", "simple_function_checker:missing_required"),
    *("simple_function_checker:unexpected_param", "value_error:string", "value_error:list/tuple"),
    *("type_error:simple", "parallel_function_checker_no_order:wrong_count", "unreadable:bad_json"),
    *("parallel_function_checker_no_order:cannot_find_match",),
)
CONVERSATION_FAULTS = (
    *("multi_turn:instance_state_mismatch", "multi_turn:empty_turn_model_response"),
    *("multi_turn:execution_response_mismatch", "multi_turn:force_terminated"),
)
API_FAULTS = (
    *("wrong_function", "missed_parameter:date", "extra_parameter:city", "wrong_value:time"),
    *("no_call", "unreadable:not_a_call"),
)
PROMPT = "You help with bookings. These are the functions that you may call, and what each of them needs. " * 40
KEPT_PROMPTS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=len(MODELS), help=f"models, at most {len(MODELS)}")
    parser.add_argument("--items", type=float, default=1.0, help="share of each benchmark's items")
    parser.add_argument("--keep", type=Path, help="folder to leave it all in")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch)
        runs = write_runs(folder / "runs", args.runs, args.items)
        figures = measure(runs, folder / "report.html")
    if args.json:
        print(json.dumps(figures))
        return
    print("{verdicts:,} verdicts, {predictions:,} predictions of {runs} runs".format(**figures))
    print("{seconds:.1f} s, {memory_mb:,.0f} MB of memory, a page of {page_mb:.2f} MB".format(**figures))


def measure(runs: Sequence[Path], page: Path) -> dict[str, float]:
    """The time, in a process of its own, of `coalm report`."""
    started = time.monotonic()
    command = [sys.executable, "-m", "coalm", "report", *map(str, runs), "--out", str(page)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    counts = {name: sum(_lines(run, name) for run in runs) for name in ("verdicts", "predictions")}
    size = page.stat().st_size / 1e6
    return {**counts, "runs": len(runs), "seconds": seconds, "memory_mb": memory, "page_mb": size}


def _lines(run: Path, name: str) -> int:
    return sum(path.read_bytes().count(b"\n") for path in run.glob(f"*/{name}.jsonl"))


# ── runs ──────────────────────────────────────────────────────────────────────────────────────────


def write_runs(folder: Path, count: int = len(MODELS), share: float = 1.0) -> list[Path]:
    """The folders of `count` runs, each over this share of the items of three benchmarks."""
    makers = {"multiwoz-end-to-end": _multiwoz, "apibank": _apibank, "bfcl": _bfcl}
    runs = []
    for number, model in enumerate(MODELS[:count]):
        run = folder / f"run-{number:02}"
        for name, make in makers.items():
            _write_benchmark(run / name, name, make(Random(f"{name} {number}"), 0.4 + 0.04 * number, share))
        write_json(run / "run.json", describe_run("eval", {"model": f"hf:{model}"}, model=f"hf:{model}"))
        runs.append(run)
    return runs


Judged = tuple[str, str, list[str], list[Verdict]]
"""An item: id, group, what the model said, and the verdicts on it."""


def _write_benchmark(folder: Path, name: str, items: Iterator[Judged]) -> None:
    folder.mkdir(parents=True)
    verdicts: list[Verdict] = []
    groups: set[str] = set()
    with (folder / "predictions.jsonl").open("w", encoding="utf-8") as file:
        for place, (id, group, texts, found) in enumerate(items):
            prompt = {"prompt": f"{PROMPT}\nUser: {id}"} if place < KEPT_PROMPTS else {}
            steps = [{"prompt_sha256": "0" * 16, **prompt, "text": text, "error": None} for text in texts]
            row = {"id": id, "group": group, "steps": steps, "result": texts, "seconds": 0.5}
            file.write(json.dumps(row) + "\n")
            verdicts += found
            groups.add(group)
    one = benchmark(name)
    scores = score_verdicts(verdicts, one.metrics(sorted(groups)))
    write_scores(one, scores, folder, family="coalm")


def _multiwoz(random: Random, skill: float, share: float) -> Iterator[Judged]:
    for number in range(round(1000 * share)):
        id, domains = f"MUL{number:04}", random.sample(list(DOMAINS), k=2)
        want: dict[str, str] = {}
        texts: list[str] = []
        turns: list[Verdict] = []
        for turn in range(random.choice((6, 7, 7, 8, 9))):
            domain = domains[turn > 4]
            want[f"{domain}-{random.choice(DOMAINS[domain])}"] = random.choice(WORDS)
            turns.append(_turn(random, skill, id, turn, dict(want)))
            texts.append(json.dumps(turns[-1].got))
        success = random.random() < skill
        counts: dict[str, float] = {"dialogues": 1, "inform": 1, "success": success}
        for domain in domains:
            counts |= {f"{domain}_dialogues": 1, f"{domain}_inform": 1, f"{domain}_success": success}
        faults = (
            []
            if success
            else [random.choice((f"no_match:{domains[0]}", f"missing_request:{domains[0]}-phone"))]
        )
        why = faults[0] if faults else None
        said = {"faults": faults, "unreadable": []}
        whole = Verdict(id, "dialogue", "test", success, counts, why, said, {d: ["phone"] for d in domains})
        yield id, "test", texts, [whole, *turns]


def _turn(random: Random, skill: float, id: str, turn: int, want: dict[str, str]) -> Verdict:
    right, got, why = random.random() < skill, dict(want), None
    if not right:
        slot = random.choice(list(want))
        why = random.choice((f"missed_slot:{slot}", f"wrong_value:{slot}", "extra_slot:taxi-leave"))
        if why.startswith("missed"):
            del got[slot]
        else:
            got[slot if why.startswith("wrong") else "taxi-leave"] = "09:15"
    hits = len(want) - (not right)
    counts = {"turns": 1, "jga_strict": right, "jga_fuzzy": right, "slot_tp": hits, "slot_fp": 0, "slot_fn": 1}
    return Verdict(id, f"turn {turn}", "test", right, counts, why, got, want)


def _apibank(random: Random, skill: float, share: float) -> Iterator[Judged]:
    for level, count in (("L-1", 399), ("L-2", 127)):
        key = level.lower().replace("-", "")
        for number in range(max(1, round(count * share))):
            id, right = f"{key}-{number}", random.random() < skill
            want = f"[QueryMeeting(user_name='{random.choice(WORDS)}', date='2026-0{1 + number % 9}-11')]"
            got = want if right else want.replace("-11", "-12")
            text = 1.0 if right else 0.8
            counts: dict[str, float] = {f"items_{key}": 1, f"exact_{key}": right}
            counts |= {f"{figure}_{key}": text for figure in ("rouge_l", "rouge_1", "rouge_2", "bleu_4")}
            why = None if right else random.choice(API_FAULTS)
            yield id, level, [got], [Verdict(id, "", level, right, counts, why, got, want)]


def _bfcl(random: Random, skill: float, share: float) -> Iterator[Judged]:
    for category, entries in ENTRIES.items():
        if category == "rest":
            continue
        for number in range(max(1, round((entries - ONLINE.get(category, 0)) * share))):
            id, right = f"{category}_{number}", random.random() < skill
            faults: Sequence[str] = BFCL_FAULTS
            got: Any = [{"find_venue": {"area": random.choice(WORDS), "count": number, "open": True}}]
            want: Any = [{"find_venue": {"area": ["north", "North"], "count": [number], "open": [True, ""]}}]
            if category.startswith("multi_turn"):
                faults = CONVERSATION_FAULTS
                got = [[[f"mkdir(name='{word}')", "ls(all=True)"]] for word in random.sample(WORDS, 4)]
                want = [["mkdir(name='a')"], ["ls(all=True)"], ["cd(folder='a')"], []]
            counts = {f"n_{category}": 1, f"ok_{category}": int(right)}
            why = None if right else random.choice(faults)
            if "irrelevance" in category:
                want, why = "no call", why and "irrelevance_error:decoder_success"
            verdict = Verdict(id, "", category, right, counts, why, got, want)
            yield id, category, [json.dumps(step) for step in got], [verdict]


if __name__ == "__main__":
    main()
