"""Human review of CRA dialogues (paper, Appendix D), in the browser: `coalm data review`.

    dialogues = draw(Path("runs/mixture"), 100)
    serve_review(dialogues, Path("runs/mixture/review"))        until it is stopped; it goes on where it was

The page shows thoughts, calls and all rows of observations, and takes the answers (`answers.py`). The standard
library serves it, to this machine alone, and it loads nothing from anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import blake2b
from heapq import nsmallest
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any

from coalm import archive
from coalm.cra.answers import NAME, Review, name_of, summarize_answers
from coalm.cra.findings import QUESTIONS
from coalm.cra.support import rows_of
from coalm.dialogue import Dialogue, Tool, ToolCall, Turn
from coalm.errors import DataError
from coalm.runs import log

LOOPBACK = "127.0.0.1"
LONGEST_ANSWER = 1 << 16  # bytes

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

    def place(key: tuple[str, str]) -> bytes:
        return blake2b(f"{seed}/{'/'.join(key)}".encode(), digest_size=16).digest()

    chosen = nsmallest(count, archive.read_keys(folder), key=place)
    if not chosen:
        raise DataError("no dialogues to review", where=folder)
    found = {(dialogue.source, dialogue.id): dialogue for dialogue in archive.read(folder, set(chosen))}
    return [found[key] for key in chosen]


def serve_review(
    dialogues: Sequence[Dialogue],
    out: Path,
    port: int = 8765,
    ready: Callable[[str], None] = lambda url: log(f"review at {url} (Ctrl-C stops it; answers are kept)"),
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
            log(f"{len(review.answers)} of {len(dialogues)} dialogues are judged: {out / NAME}")


# ── what the page shows ───────────────────────────────────────────────────────────────────────────


def _overview(review: Review) -> dict[str, Any]:
    return {
        "questions": [{"kind": kind, "title": title} for kind, title in QUESTIONS.items()],
        "dialogues": [
            {"name": name_of(one), "services": one.services, "answer": review.answers.get(name_of(one))}
            for one in review.dialogues
        ],
    }


def _view(dialogue: Dialogue) -> dict[str, Any]:
    return {
        "turns": [_turn(turn) for turn in dialogue.turns],
        "tools": [_tool(tool) for tool in dialogue.tools],
    }


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
            self._send_json(summarize_answers(review.answers.values()))
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
        """Refuse what other sites' pages send here, from their origin or by their own name for this machine."""
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
