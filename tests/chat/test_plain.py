"""The command as it is run, through pipes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.chat.booking import BOOK, DONE, OFFER, REFUSED, SEARCH, booked, write_script


def chat(
    folder: Path, said: str, *options: str, script: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    model = write_script(folder / "script.jsonl", "trip", *script) if script else "nano"
    command = [sys.executable, "-m", "coalm", "chat", model, "--session", "trip", *options]
    command += ["--desk", str(folder / "desk.db"), "--sessions", str(folder / "sessions.db")]
    return subprocess.run(command, input=said, capture_output=True, text=True, cwd=folder, timeout=60)


def test_a_booking_with_a_yes(tmp_path: Path) -> None:
    done = chat(tmp_path, "Italian?\nSeven, for two\ny\n/state\n", script=(SEARCH, OFFER, BOOK, DONE))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "\x1b" not in done.stdout
    assert lines[0] == "user: Italian?"
    assert (
        "confirm 6.0: book_restaurant(name='Bella Ferrante', day='tomorrow', time='19:00', people=2)" in lines
    )
    assert "allowed 6.0: you said so" in lines
    assert "answer: Your table is booked." in lines
    assert lines[-7:-3] == ["restaurant", "    area: centre", "    food: italian", "    name: Bella Ferrante"]
    assert booked(tmp_path / "desk.db") == [["Bella Ferrante", 19 * 60, 2, "guest"]]


def test_what_is_no_yes_is_a_no_and_is_not_swallowed(tmp_path: Path) -> None:
    texts = (SEARCH, OFFER, BOOK, REFUSED, "System: Goodbye.")
    done = chat(tmp_path, "Italian?\nSeven, for two\nnever mind\n", "--json", script=texts)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"event": "decided", "id": "6.0", "allowed": False, "why": "no y or n followed"} in events
    assert [event["text"] for event in events if event["event"] == "heard"][-1] == "never mind"
    assert events[-1] == {"event": "answer", "text": "Goodbye.", "error": None}
    assert booked(tmp_path / "desk.db") == []


def test_yes_is_told(tmp_path: Path) -> None:
    done = chat(tmp_path, "Seven, for two\n", "--yes", script=(BOOK, DONE))
    assert "allowed 2.0: --yes" in done.stdout
    assert len(booked(tmp_path / "desk.db")) == 1


def test_without_a_name_it_is_nano(tmp_path: Path) -> None:
    done = chat(tmp_path, "hello\n", "--max-steps", "1", "--max-tokens", "8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "user: hello"
