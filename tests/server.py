"""A real OpenAI-compatible server on the loopback, with a script for how it answers, fails, stalls or lies.

    with serve(lambda request: Answer("hello") if request.count > 1 else Fail(503)) as server:
        open_model(f"openai:m@{server.url}")

A script is given each request and returns what happens to it; `server.requests` keeps them all.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request; `count` says the how-manieth it is with this prompt, from 1."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    count: int
    time: float

    @property
    def prompt(self) -> str:
        return str(self.body["prompt"] if "prompt" in self.body else self.body["messages"][-1]["content"])


@dataclass(frozen=True)
class Answer:
    """A completion, after `delay` seconds."""

    text: str | None
    prompt_tokens: int = 100
    completion_tokens: int = 10
    delay: float = 0.0
    usage: bool = True
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Fail:
    """A status with an error; `body` overrides OpenAI's form of it."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    code: str = ""
    message: str = "scripted"
    body: bytes | None = None


@dataclass(frozen=True)
class Stall:
    """Nothing for `seconds`; with `trickle`, a body that comes in single bytes and never ends."""

    seconds: float
    trickle: bool = False


@dataclass(frozen=True)
class Garbage:
    """Status 200 with this body; `promised` bytes are announced, which may be more than there are."""

    body: bytes
    promised: int | None = None


@dataclass(frozen=True)
class HangUp:
    """The connection is closed, without a word or after an answer that lets one think it stays open."""

    after_answer: Answer | None = None


Behaviour = Answer | Fail | Stall | Garbage | HangUp
Script = Callable[[Asked], Behaviour]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        self.requests: list[Asked] = []
        self.connections = 0
        self.in_flight = self.most_in_flight = 0
        self._counts: Counter[str] = Counter()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def note(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> Asked:
        with self.lock:
            asked = Asked(path, body, headers, 0, time.monotonic())
            self._counts[asked.prompt] += 1
            asked = Asked(path, body, headers, self._counts[asked.prompt], asked.time)
            self.requests.append(asked)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        return asked

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away in the middle are part of the script."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = self.server.note(self.path, body, dict(self.headers))
        try:
            self._behave(self.server.script(asked), asked)
        finally:
            with self.server.lock:
                self.server.in_flight -= 1

    def _behave(self, behaviour: Behaviour, asked: Asked) -> None:
        match behaviour:
            case Answer():
                time.sleep(behaviour.delay)
                self._send(200, completion(behaviour, asked))
            case Fail(status, headers, code, message, body):
                error = {"error": {"message": message, "type": "scripted", "code": code or None}}
                self._send(status, json.dumps(error).encode() if body is None else body, headers)
            case Stall(seconds, trickle):
                self._stall(seconds, trickle)
            case Garbage(body, promised):
                self._send(200, body, promised=promised)
            case HangUp(answer):
                if answer is not None:
                    self._send(200, completion(answer, asked))
                self.close_connection = True

    def _send(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, promised: int | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) if promised is None else promised))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.close_connection or promised is not None

    def _stall(self, seconds: float, trickle: bool) -> None:
        end = time.monotonic() + seconds
        if trickle:
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
        while time.monotonic() < end:
            if trickle:
                self.wfile.write(b" ")
            time.sleep(0.02)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: test output is for tests."""


def completion(answer: Answer, asked: Asked) -> bytes:
    """The body of a chat completion, or of a plain one, as asked."""
    plain = {"text": answer.text}
    chat = {"message": {"role": "assistant", "content": answer.text}}
    choice = {"index": 0, "finish_reason": "stop"} | (plain if "prompt" in asked.body else chat)
    row: dict[str, Any] = {"object": "chat.completion", "choices": [choice | answer.extra]}
    if answer.usage:
        row["usage"] = {
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "total_tokens": answer.prompt_tokens + answer.completion_tokens,
        }
    return json.dumps(row).encode()


@contextmanager
def serve(script: Script) -> Iterator[Server]:
    """The server, for as long as the block runs."""
    server = Server(script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
