"""A real `coalm serve` process on a free port, for as long as a block runs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    url: str
    log: Path

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    def rows(self) -> list[dict[str, Any]]:
        """What it has logged so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def stop(self) -> int:
        """Ask it to end; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def raw(self, data: bytes, seconds: float = 5) -> bytes:
        """All that it answers to these bytes, until it closes or `seconds` pass without a word."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            found = b""
            try:
                connection.sendall(data)
                while piece := connection.recv(1 << 16):
                    found += piece
            except (TimeoutError, ConnectionError):
                pass
            return found


@contextmanager
def serving(
    folder: Path, model: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """`coalm serve MODEL …`, ready to be asked."""
    log = folder / f"serve-{time.monotonic_ns()}.log"
    command = [
        sys.executable,
        "-m",
        "coalm",
        "serve",
        model,
        "--port",
        "0",
        "--family",
        "coalm",
        *arguments,
    ]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stderr=stream, env=os.environ | dict(environment or {}))
    try:
        yield Running(process, _listening(process, log), log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _listening(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if '"listening"' in line:
                return str(json.loads(line)["url"])
        time.sleep(0.02)
    raise AssertionError(f"the server did not start:\n{log.read_text()}")


def write_script(path: Path, texts: Mapping[str, Sequence[str]]) -> str:
    """A replay model with these answers, step by step, for each user."""
    rows = [
        {"item": item, "step": step, "text": text}
        for item, said in texts.items()
        for step, text in enumerate(said)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"replay:{path}"


WEATHER = {
    "type": "function",
    "function": {
        "name": "find_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {"name": "tell_time", "parameters": {"type": "object", "properties": {}}},
}
