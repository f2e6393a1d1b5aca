"""The paper's own engine: a large model writes each conversation anew, with thoughts, calls and results.

    user turns, functions ──prompt──▶ model ──▶ answers.jsonl ──read──▶ dialogues.parquet
                                                                  └───▶ rejected.jsonl

The model is given what the user says and the functions, as in the paper (Table 6), and invents results and
answers; the old ones are not shown to it. `answers.jsonl` is the journal: every answer, good or bad, is a line
there before anything else is done with it, so that a killed run asks nothing twice. All else is read from the
journal and written anew at the end of a run, in the corpus' order: reading more strictly later costs nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from heapq import nsmallest
from itertools import islice
from pathlib import Path
from typing import Any, Self

from coalm.archive import Writer
from coalm.cra.checks import check
from coalm.cra.spending import Price, Spending, prompt_bytes
from coalm.cra.transcript import Rejected, functions, read_transcript
from coalm.dialogue import Dialogue, Prompt, Tool, instruction_prompt
from coalm.models import Completion, Job, Model, open_model
from coalm.prompts import fill
from coalm.runs import Journal, describe_run, sha256, write_json
from coalm.sources import sgd

SOURCE = "sgd-llm"
ANSWER_TOKENS = 4096
REFUSED = frozenset({"undefined", "type", "hallucination"})
"""The kinds of findings (`cra.checks`) for which a dialogue is rejected."""
WAVE = 1024  # dialogues in memory at a time; between waves requests run dry for a moment

Progress = Callable[[int, int | None], None]
Row = dict[str, Any]


@dataclass(slots=True)
class Totals:
    """What became of the dialogues. `unasked` are those that a limit kept back; `stopped` names it."""

    dialogues: int = 0
    accepted: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    unasked: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False
    cost: float | None = None
    stopped: str | None = None


def rewrite_cra(
    corpora: Path,
    out: Path,
    model: str,
    *,
    splits: Sequence[str] = ("train",),
    limit: int | None = None,
    concurrency: int | None = None,
    price: Price | None = None,
    max_cost: float | None = None,
    max_tokens: int | None = None,
    answer_tokens: int = ANSWER_TOKENS,
    retry_rejected: bool = False,
    refuse: Iterable[str] = REFUSED,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Rewrite SGD with the model of that name into the folder `out`; the totals, which `run.json` holds too.

    `limit` takes so many dialogues, drawn over all of the corpus; a larger one includes those of a smaller one.
    `concurrency` is how many requests are in flight at a server. For the rest see `rewrite`.

    Raises:
        DataError, ModelError, RecipeError: what is missing or wrong, with a hint.
    """
    Spending(price, max_cost, max_tokens)  # a limit that cannot be kept is refused before anything is read
    tree, _ = sgd.find(corpora, splits[0])
    options = {"concurrency": concurrency} if concurrency and model.startswith("openai:") else {}
    totals = rewrite(
        _choose(corpora, splits, limit),
        open_model(model, **options),
        out,
        price=price,
        max_cost=max_cost,
        max_tokens=max_tokens,
        answer_tokens=answer_tokens,
        retry_rejected=retry_rejected,
        refuse=refuse,
        progress=lambda done, total: progress(done, limit),
    )
    arguments: dict[str, Any] = {"model": model, "splits": list(splits), "limit": limit}
    arguments |= {"answer_tokens": answer_tokens, "refuse": sorted(refuse)}
    arguments |= {"price": asdict(price) if price else None, "max_cost": max_cost, "max_tokens": max_tokens}
    inputs = {"sgd": {"file": tree.path.name, "sha256": sha256(tree.path)}}
    write_json(out / "run.json", describe_run("data cra", arguments, inputs=inputs, totals=asdict(totals)))
    return asdict(totals)


def rewrite(
    dialogues: Iterable[Dialogue],
    model: Model,
    out: Path,
    *,
    price: Price | None = None,
    max_cost: float | None = None,
    max_tokens: int | None = None,
    answer_tokens: int = ANSWER_TOKENS,
    retry_rejected: bool = False,
    refuse: Iterable[str] = REFUSED,
    progress: Progress = lambda done, total: None,
) -> Totals:
    """Have the model rewrite those dialogues that `out/answers.jsonl` has no answer for, and write what came of
    all of them: the archive `dialogues.parquet`, and `rejected.jsonl` with kind, place and reason.

    `retry_rejected` asks once more, with the reason, where the last answer was rejected. `max_cost` (in the
    currency of `price`) and `max_tokens` bound what the folder has cost in all of its runs: a request is sent
    only if even its longest answer keeps to them. `refuse` are the kinds of findings that reject a dialogue.

    Raises:
        RecipeError: a limit on the cost without a price.
        ModelError: the model cannot be asked; what it has answered is kept.
    """
    refuse = frozenset(refuse)
    spending = Spending(price, max_cost, max_tokens)
    totals = Totals()
    with Journal(out / "answers.jsonl") as journal, _Results(out) as results:
        answers: dict[str, Row] = {}
        for row in journal.rows:
            answers[row["id"]] = row
            spending.add(row["prompt_bytes"], _completion(row))
        for wave in _waves(dialogues):
            jobs = [
                job
                for one in wave
                if (job := _job(one, answers.get(one.id), retry_rejected, refuse, answer_tokens))
            ]
            done = totals.dialogues + len(wave) - len(jobs)
            for row in _ask(jobs, model, spending, totals):
                journal.append(row)
                answers[row["id"]] = row
                done += 1
                progress(done, None)
            for dialogue in wave:
                _settle(dialogue, answers.get(dialogue.id), refuse, results, totals)
    totals.requests = sum(row["attempt"] + 1 for row in answers.values())
    totals.prompt_tokens, totals.completion_tokens = spending.prompt_tokens, spending.completion_tokens
    totals.cost, totals.estimated = spending.cost, spending.estimated
    return totals


# ── asking ────────────────────────────────────────────────────────────────────────────────────────


def _ask(jobs: Sequence[Job], model: Model, spending: Spending, totals: Totals) -> Iterator[Row]:
    """Answers as rows of the journal, as they come, until all are there or a limit is reached."""
    while jobs and not totals.stopped:
        count, limit = spending.affordable(jobs)
        if count == 0:
            totals.stopped = limit
            return
        for index, completion in model.complete(jobs[:count]):
            job, size = jobs[index], prompt_bytes(jobs[index].prompt)
            spending.add(size, completion)
            facts = {"id": job.item, "attempt": job.step, "model": model.name, "answer_tokens": job.max_tokens}
            yield {**facts, "prompt_bytes": size, **asdict(completion)}
        jobs = jobs[count:]


def _job(
    dialogue: Dialogue, row: Row | None, retry: bool, refuse: frozenset[str], answer_tokens: int
) -> Job | None:
    """What is to be asked for a dialogue now; None where it has its answer."""
    if row is None:
        return Job(dialogue.id, 0, write_prompt(dialogue), answer_tokens)
    if retry:
        try:
            _read(dialogue, row, refuse)
        except Rejected as fault:
            reason = "" if fault.kind == "no_answer" else str(fault)
            return Job(dialogue.id, row["attempt"] + 1, write_prompt(dialogue, reason), answer_tokens)
    return None


def write_prompt(dialogue: Dialogue, reason: str = "") -> Prompt:
    """Role, task, functions, format, example (the same for all dialogues, first), then what the user says; and,
    for another try, why the last answer was rejected.
    """
    users = [f"User: {' '.join(turn.text.split())}" for turn in dialogue.turns if turn.role == "user"]
    input = "\n".join(["# User turns", *users])
    if reason:
        input += f"\n\n{fill('cra/retry', reason=reason)}"
    return instruction_prompt(fill("cra/rewrite", functions=list_functions(dialogue.tools)), input)


def list_functions(tools: Sequence[Tool]) -> str:
    """`1. FindBus(from_location, to_location, leaving_date, [travelers])`, a line each; `[optional]`."""
    lines = []
    for number, (name, function) in enumerate(functions(tools).items(), 1):
        takes = [key if key in function.required else f"[{key}]" for key in function.parameters]
        lines.append(f"{number}. {name}({', '.join(takes)})")
    return "\n".join(lines)


# ── reading ───────────────────────────────────────────────────────────────────────────────────────


def _settle(
    dialogue: Dialogue, row: Row | None, refuse: frozenset[str], results: _Results, totals: Totals
) -> None:
    """Put a dialogue where its answer belongs, and count it."""
    totals.dialogues += 1
    if row is None:
        totals.unasked += 1
        return
    try:
        results.accept(_read(dialogue, row, refuse))
        totals.accepted += 1
    except Rejected as fault:
        results.reject(row, fault)
        totals.rejected[fault.kind] = totals.rejected.get(fault.kind, 0) + 1


def _read(dialogue: Dialogue, row: Row, refuse: frozenset[str]) -> Dialogue:
    """The rewritten dialogue that an answer holds.

    Raises:
        Rejected: there is none, it breaks the format, or a check finds what is refused (`check:KIND`).
    """
    if row["error"] is not None:
        raise Rejected("no_answer", row["error"])
    if (row["completion_tokens"] or 0) >= row["answer_tokens"]:
        raise Rejected("cut_off", f"the answer was longer than {row['answer_tokens']} tokens")
    found = replace(read_transcript(row["text"], dialogue), source=SOURCE)
    for finding in check(found) if refuse else ():
        if finding.kind in refuse:
            place = f"turns[{finding.turn}], {finding.part}"
            raise Rejected(f"check:{finding.kind}", f"{finding.value[:80]}: {finding.why}", place)
    return found


def _completion(row: Row) -> Completion:
    return Completion(row["text"], row["prompt_tokens"], row["completion_tokens"], row["error"])


class _Results:
    """The two files of results. They replace those of the last run when they are whole, and not before."""

    def __init__(self, out: Path) -> None:
        self._dialogues = Writer(out)
        self._path = out / "rejected.jsonl"
        self._unfinished = out / ".rejected.jsonl.tmp"
        self._rejected = self._unfinished.open("w", encoding="utf-8")

    def accept(self, dialogue: Dialogue) -> None:
        self._dialogues.add(dialogue)

    def reject(self, row: Row, fault: Rejected) -> None:
        reason = {"id": row["id"], "kind": fault.kind, "where": fault.where, "what": fault.what}
        line = {**reason, "attempt": row["attempt"], "model": row["model"], "text": row["text"]}
        self._rejected.write(json.dumps(line, ensure_ascii=False) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        self._rejected.close()
        self._dialogues.__exit__(kind, *rest)
        if kind is None:
            self._unfinished.replace(self._path)
        else:
            self._unfinished.unlink(missing_ok=True)


# ── choosing ──────────────────────────────────────────────────────────────────────────────────────


def _choose(corpora: Path, splits: Sequence[str], limit: int | None) -> Iterator[Dialogue]:
    """The dialogues of the splits in order, or `limit` of them, which ids those are being decided by digest."""
    dialogues = (dialogue for split in splits for dialogue in sgd.load(corpora, split))
    if limit is None:
        yield from dialogues
        return
    chosen = set(nsmallest(limit, (dialogue.id for dialogue in dialogues), key=_digest))
    again = (dialogue for split in splits for dialogue in sgd.load(corpora, split))
    yield from (dialogue for dialogue in again if dialogue.id in chosen)


def _digest(id: str) -> bytes:
    return hashlib.sha256(id.encode()).digest()


def _waves(dialogues: Iterable[Dialogue]) -> Iterator[list[Dialogue]]:
    source = iter(dialogues)
    while wave := list(islice(source, WAVE)):
        yield wave
