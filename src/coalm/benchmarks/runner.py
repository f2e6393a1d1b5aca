"""Runs episodes against a model, and scores what came of them.

Hundreds of episodes are open at once; all that they ask is handed to the model together, which batches it
as it likes. Every finished episode is one line appended to `predictions.jsonl`; a run that was killed goes on
where it was, and one that has finished costs nothing to repeat.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coalm.benchmarks.episode import Benchmark, Episode, Item, Verdict
from coalm.benchmarks.statistics import Summary, summarize
from coalm.dialogue import Prompt, Reply, Request
from coalm.errors import DataError, ModelError
from coalm.families import Family
from coalm.models import Completion, Job, Model
from coalm.runs import Journal, read_json, read_json_lines, write_json

OPEN_EPISODES = 512
KEPT_PROMPTS = 40

Progress = Callable[[int, int], None]
"""Told (finished, total) after each episode."""


@dataclass(slots=True)
class _Open:
    """An episode under way: the request it waits on, and the steps it has taken."""

    item: Item
    episode: Episode
    request: Request
    prompt: Prompt
    steps: list[dict[str, Any]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)


def predict(
    benchmark: Benchmark,
    items: Sequence[Item],
    model: Model,
    family: Family,
    out: Path,
    *,
    progress: Progress = lambda done, total: None,
) -> Path:
    """Run the episodes of `items` that `out/predictions.jsonl` does not hold yet; the file's path.

    Raises:
        DataError: the file is of another model, family or version of the benchmark.
    """
    path = out / "predictions.jsonl"
    _claim(
        out,
        {"benchmark": benchmark.name, "version": benchmark.version, "model": model.name, "family": family.name},
    )
    kept = {item.id for item in _spread(items, KEPT_PROMPTS)}
    with Journal(path) as journal:
        done = {row["id"] for row in journal.rows}
        waiting = [item for item in items if item.id not in done]
        finished = len(items) - len(waiting)
        progress(finished, len(items))
        for row in _run(benchmark, waiting, model, family, kept):
            journal.append(row)
            finished += 1
            progress(finished, len(items))
    return path


def _claim(out: Path, identity: Mapping[str, Any]) -> None:
    """Note whose predictions these are; refuse to mix them with another's."""
    path = out / "predictions.meta.json"
    if not path.exists():
        write_json(path, dict(identity))
        return
    found = read_json(path)
    for key, value in identity.items():
        if found.get(key) != value:
            raise DataError(
                f"holds predictions of {key} {found.get(key)!r}, not {value!r}",
                where=out,
                hint="give another --out, or remove the folder",
            )


def _spread(items: Sequence[Item], count: int) -> Sequence[Item]:
    return items[:: max(1, -(-len(items) // count))]


def _run(
    benchmark: Benchmark, items: Sequence[Item], model: Model, family: Family, kept: set[str]
) -> Iterator[dict[str, Any]]:
    """Rows of finished episodes, as they finish."""
    waiting = iter(items)
    opened: list[_Open] = []
    while True:
        for item in waiting:
            started = _start(benchmark.episode(item), item, family)
            if isinstance(started, dict):
                yield started
                continue
            opened.append(started)
            if len(opened) >= OPEN_EPISODES:
                break
        if not opened:
            return
        jobs = [Job(one.item.id, len(one.steps), one.prompt, benchmark.max_tokens) for one in opened]
        still_open: dict[int, _Open] = {}
        for index, completion in model.complete(jobs):
            one = opened[index]
            row = _advance(one, completion, family, one.item.id in kept)
            if row is None:
                still_open[index] = one
            else:
                yield row
        opened = [still_open[index] for index in sorted(still_open)]


def _start(episode: Episode, item: Item, family: Family) -> _Open | dict[str, Any]:
    try:
        request = next(episode)
    except StopIteration as stop:
        return _row(item, [], stop.value, 0.0)
    return _Open(item, episode, request, _render(family, request))


def _render(family: Family, request: Request) -> Prompt:
    if request.task not in family.tasks:
        capable = ", ".join(sorted(family.tasks))
        raise ModelError(
            f"family `{family.name}` cannot be asked for `{request.task}`", hint=f"it is capable of: {capable}"
        )
    return family.render(request)


def _advance(one: _Open, completion: Completion, family: Family, keep_prompt: bool) -> dict[str, Any] | None:
    """Send the reply on; the finished row, or None while the episode wants more."""
    reply = _read(completion, family, one.request)
    step: dict[str, Any] = {"prompt_sha256": _fingerprint(one.prompt)}
    if keep_prompt:
        step["prompt"] = _show(one.prompt)
    step |= {"text": completion.text, "error": reply.error}
    if completion.prompt_tokens is not None:
        step |= {"prompt_tokens": completion.prompt_tokens, "completion_tokens": completion.completion_tokens}
    one.steps.append(step)
    try:
        one.request = one.episode.send(reply)
    except StopIteration as stop:
        return _row(one.item, one.steps, stop.value, time.monotonic() - one.started)
    one.prompt = _render(family, one.request)
    return None


def _read(completion: Completion, family: Family, request: Request) -> Reply:
    if completion.error is not None:
        return Reply(completion.text, error=completion.error)
    return family.read(completion.text, request)


def _row(item: Item, steps: list[dict[str, Any]], result: Any, seconds: float) -> dict[str, Any]:
    return {"id": item.id, "group": item.group, "steps": steps, "result": result, "seconds": round(seconds, 3)}


def _show(prompt: Prompt) -> str:
    return prompt.text if prompt.text is not None else "\n\n".join(text for _, text in prompt.messages)


def _fingerprint(prompt: Prompt) -> str:
    roles = json.dumps([prompt.messages, prompt.text, [tool.name for tool in prompt.tools]], ensure_ascii=False)
    return hashlib.sha256(roles.encode()).hexdigest()[:16]


# ── scoring ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Scores:
    summary: Summary
    verdicts: list[Verdict]
    missing: int


def score_file(benchmark: Benchmark, items: Sequence[Item], predictions: Path) -> Scores:
    """Verdicts and figures of a predictions file, without a model. The file is not changed.

    Raises:
        DataError: a row that is no prediction, an id that is not in the benchmark, or the same id twice.
    """
    known = {item.id: item for item in items}
    results: dict[str, Any] = {}
    for number, row in read_json_lines(predictions):
        where = f"{predictions}:{number}"
        match row:
            case {"id": str(id), "result": result}:
                pass
            case _:
                raise DataError("expected an object with id and result", where=where)
        if id not in known:
            raise DataError(f"no item of {benchmark.name} is called `{id}`", where=where)
        if id in results:
            raise DataError(f"item `{id}` stands here twice", where=where)
        results[id] = result
    return score_results(benchmark, items, results)


def score_results(benchmark: Benchmark, items: Sequence[Item], results: Mapping[str, Any]) -> Scores:
    """Verdicts in the benchmark's order, and the figures, over the items that have a result."""
    verdicts = [v for item in items if item.id in results for v in benchmark.score(item, results[item.id])]
    groups = sorted({item.group for item in items if item.id in results})
    summary = summarize(verdicts, benchmark.metrics(groups))
    return Scores(summary, verdicts, missing=len(items) - len(results))


def write_scores(benchmark: Benchmark, scores: Scores, out: Path, **facts: Any) -> dict[str, Any]:
    """Write `verdicts.jsonl` and `scores.json` into `out`; the content of the latter."""
    lines = [json.dumps(verdict.to_json(), ensure_ascii=False) for verdict in scores.verdicts]
    (out / "verdicts.jsonl").write_text("\n".join([*lines, ""]), encoding="utf-8")
    content = {
        "benchmark": benchmark.name,
        "version": benchmark.version,
        **facts,
        "items": scores.summary.items,
        "missing": scores.missing,
        "verdicts": scores.summary.verdicts,
        "metrics": [estimate.to_json() for estimate in scores.summary.estimates],
        "whys": scores.summary.whys,
        "unreadable": {
            kind.removeprefix("unreadable:"): count
            for kind, count in scores.summary.whys.items()
            if kind.startswith("unreadable")
        },
    }
    write_json(out / "scores.json", content)
    return content
