"""The four questions of the paper's Appendix D, asked of every step of a CRA dialogue.

    undefined      a function or parameter that is not in the list
    type           an argument that is not of the kind that its parameter takes
    hallucination  an argument that nothing said or observed so far supports
    reasoning      a thought that is empty or at odds with its step, and poor planning of calls

    for finding in check(dialogue): print(finding.why)

Works on any dialogue with thoughts and calls, whoever made it; where its turns are annotated, acts and results
are evidence too. A finding is a reason to look, and says where.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from coalm.cra.findings import QUESTIONS, Finding, Kind, Place
from coalm.cra.kinds import find_fault
from coalm.cra.planning import check_plan
from coalm.cra.rates import Judgement, summarize, write_table
from coalm.cra.reasoning import Tools, check_thought
from coalm.cra.support import Support
from coalm.dialogue import Dialogue, Tool
from coalm.errors import DataError, did_you_mean
from coalm.runs import Journal, write_json

TODAY = {"sgd": date(2019, 3, 1), "sgd-llm": date(2019, 3, 1)}
"""The day on which all conversations of a source take place, as the annotation of `tomorrow` shows."""

Progress = Callable[[int, int | None], None]


def check(dialogue: Dialogue) -> list[Finding]:
    """What is wrong with a dialogue, in the order of its turns."""
    tools = _tools_by_name(dialogue.tools)
    today = TODAY.get(dialogue.source)
    found = [*_check_calls(dialogue, tools, today), *check_plan(dialogue, tools, today)]
    for index, turn in enumerate(dialogue.turns):
        if turn.role == "assistant":
            found += check_thought(Place(dialogue, index), tools, today)
    return sorted(found, key=lambda finding: finding.turn)


def check_corpus(
    dialogues: Iterable[Dialogue], out: Path, progress: Progress = lambda done, total: None
) -> dict[str, Any]:
    """Check all dialogues; every finding is a line of `out/findings.jsonl`.

    Returns the rates (`rates.summarize`) with the number of calls, and of findings by question and rule, which
    are in `out/summary.json` too. `progress` is told (dialogues so far, None).

    Raises:
        DataError: there are none.
    """
    (out / "findings.jsonl").unlink(missing_ok=True)
    judgements: list[Judgement] = []
    rules: Counter[tuple[Kind, str]] = Counter()
    calls = 0
    with Journal(out / "findings.jsonl") as journal:
        for dialogue in dialogues:
            findings = check(dialogue)
            for finding in findings:
                journal.append({"source": dialogue.source, **finding.to_json()})
            rules.update((finding.kind, finding.rule) for finding in findings)
            kinds = frozenset(finding.kind for finding in findings)
            judgements.append(Judgement(dialogue.id, dialogue.services, kinds))
            progress(len(judgements), None)
            calls += sum(len(turn.calls) for turn in dialogue.turns)
    if not judgements:
        raise DataError("no dialogues to check", where=out)
    by_rule = {kind: {rule: n for (k, rule), n in sorted(rules.items()) if k == kind} for kind in QUESTIONS}
    summary = {**summarize(judgements), "calls": calls, "findings": by_rule}
    write_json(out / "summary.json", summary)
    return summary


def write_checks(summary: Mapping[str, Any]) -> str:
    """A summary as Markdown: the table of Appendix D, then the findings by rule."""
    lines = [write_table(summary), "", f"Findings in {summary['calls']:,} calls and all thoughts:", ""]
    for kind, found in summary["findings"].items():
        told = ", ".join(f"{count:,} {rule.replace('_', ' ')}" for rule, count in found.items())
        lines.append(f"- {QUESTIONS[kind]}: {told or 'none'}")
    return "\n".join(lines)


def _check_calls(dialogue: Dialogue, tools: Tools, today: date | None) -> Iterator[Finding]:
    """The first three questions, of every call."""
    support = Support(today)
    for index, turn in enumerate(dialogue.turns):
        place = Place(dialogue, index)
        for number in range(len(turn.calls)):
            yield from _check_call(place, number, tools, support)
        support.follow(turn)


def _check_call(place: Place, number: int, tools: Tools, support: Support) -> Iterator[Finding]:
    call = place.turn.calls[number]
    if call.name not in tools:
        near, found, _ = did_you_mean(call.name, tools).partition("? ")
        why = f"there is no function {call.name}" + (f"; {near}?" if found else "")
        yield place.name(number, "undefined", "unknown_function", why)
        return
    tool = min(tools[call.name], key=lambda tool: len(list(_check_arguments(place, number, tool))))
    faulty = list(_check_arguments(place, number, tool))
    yield from faulty
    wrong = {finding.start for finding in faulty}
    for name, value in call.arguments.items():
        if not support.holds(name, value, tool.properties.get(name) or {}):
            why = "nothing said or observed so far gives this value"
            unsupported = place.argument(number, name, "hallucination", "unsupported", why)
            if unsupported.start not in wrong:
                yield unsupported


def _check_arguments(place: Place, number: int, tool: Tool) -> Iterator[Finding]:
    """Arguments that the function does not take, or not like this."""
    for name, value in place.turn.calls[number].arguments.items():
        if name not in tool.properties:
            why = f"{tool.name} has no parameter {name}"
            yield place.argument(number, name, "undefined", "unknown_parameter", why)
        elif fault := find_fault(name, value, tool.properties[name]):
            yield place.argument(number, name, "type", "wrong_type", fault)


def _tools_by_name(tools: Sequence[Tool]) -> Tools:
    found: defaultdict[str, list[Tool]] = defaultdict(list)
    for tool in tools:
        found[tool.name].append(tool)
    return found
