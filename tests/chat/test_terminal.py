"""The chat at a real terminal: a booking with a yes, kill -9 and resume, /undo and /state."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.chat.booking import BOOK, DONE, OFFER, SEARCH, booked, write_script

pty = pytest.importorskip("pty")
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Terminal:
    """A program with a terminal of its own."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._master, slave = pty.openpty()
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "110", "LINES": "40"}
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)
        self.raw = ""

    def expect(self, text: str, seconds: float = 20.0) -> str:
        """Wait until the program has written `text`; returns what it wrote up to there, without codes."""
        deadline = time.monotonic() + seconds
        while text not in (shown := _CODES.sub("", self.raw)):
            if not select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"{text!r} did not come:\n{shown}")
            try:
                self.raw += os.read(self._master, 65536).decode("utf-8", "replace")
            except OSError:
                raise AssertionError(f"it ended without {text!r}:\n{shown}") from None
        self.raw = ""
        return shown

    def type(self, line: str) -> None:
        os.write(self._master, f"{line}\n".encode())

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self._master)


def test_a_booking_survives_a_kill(tmp_path: Path) -> None:
    model = write_script(tmp_path / "script.jsonl", "trip", SEARCH, OFFER, BOOK, DONE)
    command = [sys.executable, "-m", "coalm", "chat", model, "--session", "trip"]
    terminal = Terminal(command, tmp_path)
    try:
        terminal.expect("> ")
        terminal.type("Italian food?")
        shown = terminal.expect("When?")
        assert "search_restaurants(area='centre', food='italian')" in shown
        assert '"found": 1' in shown
        terminal.process.send_signal(signal.SIGKILL)
    finally:
        terminal.close()
    again = Terminal(command, tmp_path)
    try:
        shown = again.expect("When?")  # told again from the file
        assert "> Italian food?" in shown
        again.type("Seven, for two")
        assert "book_restaurant(name='Bella Ferrante'" in again.expect("(y/n)")
        assert booked(tmp_path / "runs/chat/desk.db") == []
        again.type("perhaps")
        again.expect("(y/n)")
        again.type("y")
        again.expect("Your table is booked.")
        assert booked(tmp_path / "runs/chat/desk.db") == [["Bella Ferrante", 19 * 60, 2, "guest"]]
        again.type("/state")
        again.expect("time: 19:00")
        again.type("/undo")
        again.expect("taken back: Seven, for two")
        again.type("/state")
        assert "time: 19:00" not in again.expect("food: italian")
        again.type("/tabel")
        again.expect("no command `/tabel`")
        again.type("/save holiday")
        again.expect("as holiday")
        again.type("/quit")
        again.expect("coalm chat --session holiday")
        assert again.process.wait(10) == 0
    finally:
        again.close()
