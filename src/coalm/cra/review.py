"""Human review of CRA dialogues (paper, Appendix D): a random sample, four questions, a remark on every no.

    dialogues = draw(Path("runs/mixture"), 100)
    serve_review(dialogues, Path("runs/mixture/review"))        until it is stopped; it goes on where it was
    print(write_review(summarize_review(Path("runs/mixture/review"))))

The page is served to this machine alone, by the standard library, and loads nothing from anywhere. Answers are
lines of `answers.jsonl`; the last one for a dialogue counts, while the dialogue is the one that was judged.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from heapq import nsmallest
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any

from coalm import archive
from coalm.cra.findings import QUESTIONS
from coalm.cra.rates import Judgement, summarize, write_table
from coalm.cra.support import rows_of
from coalm.dialogue import Dialogue, Tool, ToolCall, Turn
from coalm.errors import DataError
from coalm.runs import Journal, log

LOOPBACK = "127.0.0.1"
LONGEST_ANSWER = 1 << 16  # bytes
ANSWERS = "answers.jsonl"

_FILES = {
    "/": ("review.html", "text/html; charset=utf-8"),
    "/review.css": ("review.css", "text/css; charset=utf-8"),
    "/review.js": ("review.js", "text/javascript; charset=utf-8"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def draw(folder: Path, count: int = 100, seed: int = 0) -> list[Dialogue]:
    """A random sample of a folder's dialogues, in random order; that of a larger count begins with it.

    Raises:
        DataError: the folder has no archive of dialogues, or none in it.
    """

    def place(id: str) -> bytes:
        return blake2b(f"{seed}/{id}".encode(), digest_size=16).digest()

    chosen = nsmallest(count, archive.read_ids(folder), key=place)
    if not chosen:
        raise DataError("no dialogues to review", where=folder)
    return sorted(archive.read(folder, set(chosen)), key=lambda dialogue: place(dialogue.id))


def serve_review(
    dialogues: Sequence[Dialogue],
    out: Path,
    port: int = 8765,
    ready: Callable[[str], None] = lambda url: log(f"review at {url} (Ctrl-C to stop; answers are kept)"),
) -> None:
    """Serve the page until it is interrupted; `ready` is told its address, port 0 takes a free one.

    Raises:
        DataError: the port is taken, or the answers in `out` cannot be read.
    """
    with Review(dialogues, out) as review, open_server(review, port) as server:
        ready(f"http://{LOOPBACK}:{server.server_port}/")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            log(f"{len(review.answers)} of {len(dialogues)} dialogues are judged, in {out / ANSWERS}")


def summarize_review(out: Path, dialogues: Sequence[Dialogue] | None = None) -> dict[str, Any]:
    """The table of Appendix D as data: rates per question and service (`rates.summarize`), and all remarks.

    With `dialogues`, only of answers to these as they are now; else of the last answer to every dialogue.

    Raises:
        DataError: nothing has been judged yet, or the file is broken.
    """
    rows: Mapping[str, Mapping[str, Any]] = {}
    if (out / ANSWERS).exists():
        with Journal(out / ANSWERS) as journal:
            rows = {row["dialogue"]: row for row in _valid(journal)}
    if dialogues is not None:
        digests = {dialogue.id: _digest(dialogue) for dialogue in dialogues}
        rows = {id: row for id, row in rows.items() if digests.get(id) == row["digest"]}
    if not rows:
        raise DataError("nothing has been judged yet", where=out, hint="open the page with `coalm data review`")
    return _summarize(rows)


def _valid(journal: Journal) -> list[dict[str, Any]]:
    """The journal's rows, if all of them are answers."""
    for number, row in enumerate(journal.rows, 1):
        match row:
            case {
                "dialogue": str(),
                "services": list(),
                "answers": dict(answers),
                "remarks": dict(),
                "digest": str(),
            }:
                if answers.keys() >= QUESTIONS.keys():
                    continue
        raise DataError("not an answer of a review", where=f"{journal.path}:{number}")
    return journal.rows


def _summarize(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    judgements = []
    remarks = []
    for row in rows.values():
        failed = [kind for kind in QUESTIONS if not row["answers"][kind]]
        judgements.append(Judgement(row["dialogue"], tuple(row["services"]), frozenset(failed)))
        remarks += [
            {"dialogue": row["dialogue"], "question": q, "remark": row["remarks"].get(q, "")} for q in failed
        ]
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


# ── answers ───────────────────────────────────────────────────────────────────────────────────────


class Refused(ValueError):
    """An answer that is not taken, and why, for the reviewer to read."""


@dataclass(slots=True)
class Review:
    """A sample, and the answers so far by dialogue, but for answers to what is not, or no longer, in it.

    Raises:
        DataError: the answers in `out` cannot be read.
    """

    dialogues: Sequence[Dialogue]
    out: Path
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    _journal: Journal = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _digests: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self._digests = {dialogue.id: _digest(dialogue) for dialogue in self.dialogues}
        self._journal = Journal(self.out / ANSWERS)
        for row in _valid(self._journal):
            if self._digests.get(row["dialogue"]) == row["digest"]:
                self.answers[row["dialogue"]] = row

    def answer(self, found: Any) -> None:
        """Take `{"dialogue", "answers": {question: bool}, "remarks": {question: text}}`.

        Raises:
            Refused: it is not that, a question is open, or a no has no remark.
        """
        match found:
            case {"dialogue": str(id), "answers": dict(answers), "remarks": dict(remarks)}:
                pass
            case _:
                raise Refused("expected a dialogue, answers and remarks")
        dialogue = next((one for one in self.dialogues if one.id == id), None)
        if dialogue is None:
            raise Refused(f"no dialogue {id!r} in this sample")
        for question, title in QUESTIONS.items():
            if not isinstance(answers.get(question), bool):
                raise Refused(f"{title}: not answered")
            remark = remarks.get(question, "")
            if not isinstance(remark, str) or (not answers[question] and not remark.strip()):
                raise Refused(f"{title}: a no needs a remark")
        row = {
            "dialogue": id,
            "services": list(dialogue.services),
            "answers": {question: answers[question] for question in QUESTIONS},
            "remarks": {question: remarks[question].strip() for question in QUESTIONS if not answers[question]},
            "digest": self._digests[id],
        }
        with self._lock:
            self._journal.append(row)
            self.answers[id] = row

    def __enter__(self) -> Review:
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.close()


def _digest(dialogue: Dialogue) -> str:
    """Of all that is judged."""
    return blake2b(json.dumps(_turns(dialogue)).encode(), digest_size=8).hexdigest()


# ── what the page shows ───────────────────────────────────────────────────────────────────────────


def _overview(review: Review) -> dict[str, Any]:
    return {
        "questions": [{"kind": kind, "title": title} for kind, title in QUESTIONS.items()],
        "dialogues": [
            {"id": one.id, "services": one.services, "answer": review.answers.get(one.id)}
            for one in review.dialogues
        ],
        "out": str(review.out / ANSWERS),
    }


def _view(dialogue: Dialogue) -> dict[str, Any]:
    return {"id": dialogue.id, "turns": _turns(dialogue), "tools": [_tool(tool) for tool in dialogue.tools]}


def _turns(dialogue: Dialogue) -> list[dict[str, Any]]:
    return [_turn(turn) for turn in dialogue.turns]


def _turn(turn: Turn) -> dict[str, Any]:
    seen = rows_of(replace(turn, results=()))  # what its text holds
    rows = [{str(name): _text(value) for name, value in row.items()} for row in rows_of(turn)]
    return {
        "role": turn.role,
        "thought": turn.thought,
        "text": "" if rows else turn.text,
        "calls": [_call(call) for call in turn.calls],
        "rows": rows,
        "shown": len(seen) or len(rows),
    }


def _call(call: ToolCall) -> dict[str, Any]:
    return {"name": call.name, "arguments": [[name, repr(value)] for name, value in call.arguments.items()]}


def _tool(tool: Tool) -> dict[str, Any]:
    parameters = [
        {
            "name": name,
            "about": str(schema.get("description", "")),
            "takes": ", ".join(map(str, schema["enum"])) if "enum" in schema else str(schema.get("type", "")),
            "required": name in tool.required,
        }
        for name, schema in tool.properties.items()
    ]
    return {"name": tool.name, "about": tool.description, "parameters": parameters}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# ── the server ────────────────────────────────────────────────────────────────────────────────────


def open_server(review: Review, port: int = 0) -> ThreadingHTTPServer:
    """A server on this machine's loopback, not yet serving.

    Raises:
        DataError: the port is taken.
    """

    class Handler(_Handler):
        pass

    Handler.review = review
    try:
        server = ThreadingHTTPServer((LOOPBACK, port), Handler)
    except (OSError, OverflowError) as error:
        raise DataError(
            f"cannot serve on port {port}: {error}", hint="give another --port, or 0 for any"
        ) from None
    server.daemon_threads = True
    return server


class _Handler(BaseHTTPRequestHandler):
    """Three files, three questions to the data, one answer to it."""

    review: Review

    def do_GET(self) -> None:
        if not self._is_ours():
            return
        review = self.review
        number = self.path.removeprefix("/api/dialogues/")
        if self.path in _FILES:
            name, kind = _FILES[self.path]
            self._send(resources.files("coalm.cra").joinpath("page", name).read_bytes(), kind)
        elif self.path == "/api/overview":
            self._send_json(_overview(review))
        elif self.path == "/api/summary":
            self._send_json(_summarize(review.answers))
        elif number.isdecimal() and int(number) < len(review.dialogues):
            self._send_json(_view(review.dialogues[int(number)]))
        else:
            self._send_json({"error": "not found"}, HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        if not self._is_ours():
            return
        length = self.headers.get("Content-Length", "")
        if self.path != "/api/answers":
            self._send_json({"error": "not found"}, HTTPStatus.NOT_FOUND)
            return
        if not length.isdecimal() or int(length) > LONGEST_ANSWER:
            self._send_json({"error": "the answer is too long"}, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        try:
            self.review.answer(json.loads(self.rfile.read(int(length))))
        except (ValueError, RecursionError) as error:
            self._send_json({"error": str(error)}, HTTPStatus.UNPROCESSABLE_ENTITY)
            return
        self._send_json({"answered": len(self.review.answers)})

    def _is_ours(self) -> bool:
        """Refuse what another site's page sends here, from its origin or by a name of its own for this machine."""
        port = self.connection.getsockname()[1]
        hosts = {f"{name}:{port}" for name in (LOOPBACK, "localhost")}
        origin = self.headers.get("Origin")
        if self.headers.get("Host") in hosts and (origin is None or origin.removeprefix("http://") in hosts):
            return True
        self._send_json({"error": "only from this machine's own page"}, HTTPStatus.FORBIDDEN)
        return False

    def _send_json(self, value: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(value, ensure_ascii=False).encode(), "application/json", status)

    def _send(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is for the address."""
