"""The answers of a human review: a sample of dialogues, four questions to each, a remark on every no.

Answers are lines of `answers.jsonl`. The last one to a dialogue counts, while the dialogue is the one that was
judged: after a change in it, it has to be judged again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from coalm.cra.findings import QUESTIONS
from coalm.cra.rates import Judgement, summarize, write_table
from coalm.dialogue import Dialogue
from coalm.errors import DataError
from coalm.runs import Journal

NAME = "answers.jsonl"
Row = dict[str, Any]


class Refused(ValueError):
    """An answer that is not taken, and why, for the reviewer to read."""


@dataclass(slots=True)
class Review:
    """A sample, and the answers to it so far by `name_of` dialogue.

    Raises:
        DataError: the answers in `out` cannot be read.
    """

    dialogues: Sequence[Dialogue]
    out: Path
    answers: dict[str, Row] = field(default_factory=dict)
    _journal: Journal = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._journal = Journal(self.out / NAME)
        self.answers = _current(_last_rows(self._journal), self.dialogues)

    def answer(self, found: Any) -> None:
        """Take `{"dialogue", "answers": {question: bool}, "remarks": {question: text}}`.

        Raises:
            Refused: it is not that, a question is open, or a no has no remark.
        """
        match found:
            case {"dialogue": str(name), "answers": dict(answers), "remarks": dict(remarks)}:
                row = {"dialogue": name, **_judge(answers, remarks)}
            case _:
                raise Refused("expected a dialogue, answers and remarks")
        dialogue = next((one for one in self.dialogues if name_of(one) == name), None)
        if dialogue is None:
            raise Refused(f"no dialogue {name!r} in this sample")
        row |= {"services": list(dialogue.services), "digest": _digest(dialogue)}
        with self._lock:
            self._journal.append(row)
            self.answers[name] = row

    def __enter__(self) -> Review:
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.close()


def name_of(dialogue: Dialogue) -> str:
    """`sgd/train/1_00000`: two sources may use the same ids."""
    return f"{dialogue.source}/{dialogue.id}"


def summarize_review(out: Path, dialogues: Sequence[Dialogue] | None = None) -> Row:
    """The table of Appendix D as data: rates per question and service (`rates.summarize`), and all remarks.

    With `dialogues`, of the answers to these as they are now; else of the last answer to every dialogue.

    Raises:
        DataError: nothing has been judged yet, or the file is broken.
    """
    rows: dict[str, Row] = {}
    if (out / NAME).exists():
        with Journal(out / NAME) as journal:
            rows = _last_rows(journal)
    if dialogues is not None:
        rows = _current(rows, dialogues)
    if not rows:
        raise DataError("nothing has been judged yet", where=out, hint="open the page with `coalm data review`")
    return summarize_answers(rows.values())


def summarize_answers(rows: Iterable[Mapping[str, Any]]) -> Row:
    """The same of answers at hand."""
    judgements: list[Judgement] = []
    remarks: list[Row] = []
    for row in rows:
        failed = [question for question in QUESTIONS if not row["answers"][question]]
        judgements.append(Judgement(row["dialogue"], tuple(row["services"]), frozenset(failed)))
        for question in failed:
            remark = row["remarks"].get(question, "")
            remarks.append({"dialogue": row["dialogue"], "question": question, "remark": remark})
    return {**summarize(judgements), "remarks": remarks}


def write_review(summary: Mapping[str, Any]) -> str:
    """A review's summary as Markdown: the table, then every remark with its dialogue."""
    lines = [write_table(summary)]
    if summary["remarks"]:
        lines += ["", "Remarks:", ""]
    for remark in summary["remarks"]:
        said = " ".join(remark["remark"].split())
        lines.append(f"- {remark['dialogue']}, {QUESTIONS[remark['question']].lower()}: {said}")
    return "\n".join(lines)


def _judge(answers: Mapping[str, Any], remarks: Mapping[str, Any]) -> Row:
    """The answers, and remarks where they are a no.

    Raises:
        Refused: a question is open, or a no has no remark.
    """
    said: dict[str, str] = {}
    for question, title in QUESTIONS.items():
        if not isinstance(answers.get(question), bool):
            raise Refused(f"{title}: not answered")
        if not answers[question]:
            said[question] = str(remarks.get(question) or "").strip()
            if not said[question]:
                raise Refused(f"{title}: a no needs a remark")
    return {"answers": {question: answers[question] for question in QUESTIONS}, "remarks": said}


def _last_rows(journal: Journal) -> dict[str, Row]:
    """The last answer to each dialogue.

    Raises:
        DataError: a line is no answer.
    """
    for number, row in enumerate(journal.rows, 1):
        match row:
            case {"dialogue": str(), "services": [*_], "answers": {**answers}, "remarks": {}, "digest": str()}:
                if answers.keys() >= QUESTIONS.keys():
                    continue
        raise DataError("not an answer of a review", where=f"{journal.path}:{number}")
    return {row["dialogue"]: row for row in journal.rows}


def _current(rows: Mapping[str, Row], dialogues: Sequence[Dialogue]) -> dict[str, Row]:
    """Answers to these dialogues, as they are."""
    digests = {name_of(dialogue): _digest(dialogue) for dialogue in dialogues}
    return {name: row for name, row in rows.items() if row["digest"] == digests.get(name)}


def _digest(dialogue: Dialogue) -> str:
    """Of all that is judged."""
    judged = [(turn.role, turn.text, turn.thought, turn.calls) for turn in dialogue.turns]
    return blake2b(repr(judged).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
