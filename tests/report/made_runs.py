"""Run folders as `coalm eval`, `coalm train` and `coalm data build` leave them, made by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LABELS = {
    "multiwoz": {"jga_strict": "JGA", "slot_f1": "Slot F1"},
    "apibank": {"rouge_l_l1": "Rouge-L L-1", "rouge_l_l2": "Rouge-L L-2", "exact_l1": "Exact call L-1"},
    "bfcl": {"non_live_ast": "Non-Live AST", "overall": "Overall", "irrelevance": "Irrelevance"},
}
VALUES = {
    "multiwoz": {"jga_strict": 42.5, "slot_f1": 80.25},
    "apibank": {"rouge_l_l1": 91.0, "rouge_l_l2": 77.5, "exact_l1": 60.0},
    "bfcl": {"non_live_ast": 83.125, "overall": None, "irrelevance": 70.0},
}
WHYS = {"wrong_value:hotel-area": 2, "wrong_value:hotel-name": 1, "unreadable:bad_json": 1}


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def metric(name: str, label: str, value: float | None, *, primary: bool = False) -> dict[str, Any]:
    low, high = (None, None) if value is None else (value - 2, value + 2)
    return {"name": name, "label": label, "value": value, "low": low, "high": high, "primary": primary}


def verdict(item: str, part: str = "", *, why: str | None = None, **more: Any) -> dict[str, Any]:
    row = {"item": item, "part": part, "group": "g", "correct": why is None, "counts": {"n": 1}, "why": why}
    return row | {"got": "f(a=1)", "want": "f(a=1)" if why is None else "f(a=2)"} | more


def prediction(item: str, *texts: str, prompt: str | None = "Book a table.") -> dict[str, Any]:
    step: dict[str, Any] = {"prompt_sha256": "00", "error": None}
    if prompt is not None:
        step["prompt"] = prompt
    steps = [{**step, "text": text} for text in texts or ("f(a=1)",)]
    return {"id": item, "group": "g", "steps": steps, "result": None, "seconds": 0.1}


def write_benchmark(
    folder: Path,
    name: str,
    *,
    values: Mapping[str, float | None] | None = None,
    verdicts: Sequence[Mapping[str, Any]] = (),
    predictions: Sequence[Mapping[str, Any]] = (),
    **scores: Any,
) -> Path:
    """`folder/name/` with its three files; what is not given is one right and one wrong item."""
    path = folder / name
    labels = LABELS.get(name, {})
    values = VALUES.get(name, {"score": 50.0}) if values is None else values
    metrics = [
        metric(key, labels.get(key, key), value, primary=not place)
        for place, (key, value) in enumerate(values.items())
    ]
    verdicts = verdicts or [verdict("one"), verdict("two", why="wrong_value:hotel-area")]
    content = {"benchmark": name, "version": 1, "model": "hf:tiny", "family": "coalm", "items": 2, "missing": 0}
    content |= {"verdicts": len(verdicts), "metrics": metrics, "whys": WHYS} | scores
    write_lines(path / "verdicts.jsonl", verdicts)
    write_lines(path / "predictions.jsonl", predictions or [prediction("one"), prediction("two")])
    (path / "scores.json").write_text(json.dumps(content), encoding="utf-8")
    return path


def write_run(folder: Path, command: str = "eval", **facts: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    content = {"command": command, "arguments": {"data": "data", "limit": None}, "coalm": "0.1.0"}
    content |= {"revision": "0123abc", "packages": {"numpy": "2"}, "model": "hf:org/Tiny", "seconds": 1.5}
    (folder / "run.json").write_text(json.dumps(content | facts), encoding="utf-8")
    return folder


def write_evaluation(
    folder: Path, benchmarks: Sequence[str] = ("multiwoz", "apibank", "bfcl"), **facts: Any
) -> Path:
    for name in benchmarks:
        write_benchmark(folder, name)
    return write_run(folder, **facts)


def write_training(folder: Path, steps: int = 40, **facts: Any) -> Path:
    rows: list[dict[str, Any]] = [{"step": 0, "loss": None, "lr": 0.0, "eval_loss": 6.5}]
    for step in range(1, steps + 1):
        row = {"step": step, "loss": 1 + 5 / step, "lr": 1e-3 * (1 - step / steps), "samples": 8, "targets": 90}
        row |= {"plain_tokens": 4000, "computed_tokens": 1000, "seconds": 0.5}
        rows.append(row | ({"eval_loss": 1.1 + 5 / step} if step % 10 == 0 else {}))
    write_lines(folder / "metrics.jsonl", rows)
    (folder / "recipe.yaml").write_text("base: tiny\nlearning_rate: 0.001\n", encoding="utf-8")
    return write_run(folder, "train", steps=steps, **facts)


def write_mixture(folder: Path) -> Path:
    source = {
        "corpus": "SNIPS",
        "format": "state tracking, single turn",
        "samples": {"train": 90, "validation": 10},
        "tokens": 5000,
        "tokens_per_sample": 50.0,
        "paper": {"samples": 13028, "tokens": 12278780},
        "note": "A note on SNIPS.",
    }
    card = {"samples": {"train": 90, "validation": 10}, "tokens": 5000, "sources": {"snips": source}}
    card |= {"paper": {"samples": 311583, "tokens": 211184321}, "notes": ["A note on all."]}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return write_run(folder, "data build")
