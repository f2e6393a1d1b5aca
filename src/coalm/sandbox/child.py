"""The sandbox's child: it imports the setup's module, and forks a process for each session.

The child itself never runs a statement, and a session's process never forks. Each talks to the parent over a
socket of its own; standard input and output lead nowhere.
"""

from __future__ import annotations

import builtins
import functools
import gc
import importlib
import importlib.machinery
import io
import json
import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, NoReturn

from coalm.sandbox import lockdown
from coalm.sandbox.wire import ORDER_BYTES, pack, receive, send, write

MAX_MESSAGE = 2000
SAME_TEXT = {type(None), bool, int, float, str}
PRELOADED = (
    *("collections", "copy", "datetime", "decimal", "fractions", "functools", "itertools", "json", "math"),
    *("operator", "random", "re", "statistics", "string", "time", "typing"),
)
"""What a statement may import: there are no files to import more from."""

Setup = Callable[..., Mapping[str, Any]]

_in_session = False
"""Whether this process has given up its rights: until then no text becomes code."""


def main(descriptor: int) -> None:
    """Serve the parent at the other end of `descriptor` until it goes away."""
    control = socket.socket(fileno=descriptor)
    hello = receive(control)
    limits = hello["limits"]
    try:
        setup = _load(hello["setup"])
    except Exception as error:
        send(control, {"error": f"{type(error).__name__}: {error}"})
        return
    for name in PRELOADED:
        importlib.import_module(name)
    confinement = lockdown.confine()
    send(control, {"protections": confinement.protections})
    gc.freeze()
    _serve(control, setup, limits, confinement)


def _load(setup: str) -> Setup:
    """The function `package.module:function`. Packages between the first and the module stay unexecuted:
    those of a benchmark would load all of it."""
    path, _, function = setup.partition(":")
    parts = path.split(".")
    package = importlib.import_module(parts[0])
    for depth in range(2, len(parts)):
        name = ".".join(parts[:depth])
        if name not in sys.modules:
            spec = importlib.machinery.PathFinder.find_spec(name, package.__path__)
            if spec is None or spec.submodule_search_locations is None:
                raise ModuleNotFoundError(f"no package called {name}")
            sys.modules[name] = ModuleType(name)
            sys.modules[name].__path__ = list(spec.submodule_search_locations)
        package = sys.modules[name]
    found: Setup = getattr(importlib.import_module(path), function)
    return found


def _serve(
    control: socket.socket, setup: Setup, limits: Mapping[str, Any], confinement: lockdown.Confinement
) -> None:
    """Fork and kill sessions, as the parent orders."""
    running: dict[int, bytes] = {}
    while True:
        order, descriptors, _, _ = socket.recv_fds(control, ORDER_BYTES, 1)
        _reap(running)
        if len(order) != ORDER_BYTES:
            break
        number = order[1:]
        if order[:1] == b"k":
            _kill(process for process, session in running.items() if session == number)
            continue
        process = os.fork()
        if process == 0:
            control.close()
            _session(socket.socket(fileno=descriptors[0]), setup, limits, confinement)
        os.close(descriptors[0])
        running[process] = number
    _kill(running)


def _reap(running: dict[int, bytes]) -> None:
    """Forget the processes that have ended: their numbers may be given to others from now on."""
    while running and (ended := os.waitpid(-1, os.WNOHANG)[0]):
        running.pop(ended, None)


def _kill(processes: Iterable[int]) -> None:
    for process in processes:
        os.kill(process, signal.SIGKILL)


# ── in a session's process ────────────────────────────────────────────────────────────────────────


def _session(
    connection: socket.socket, setup: Setup, limits: Mapping[str, Any], confinement: lockdown.Confinement
) -> NoReturn:
    """Give up all rights, then do as the parent asks until it goes away."""
    global _in_session
    try:
        lockdown.give_up(connection.fileno(), limits, confinement)
        sys.stdout = sys.stderr = _Nowhere()
        _in_session = True
        random.seed(0)
        space: dict[str, Any] = {"__builtins__": builtins, "__name__": "__main__"}
        helpers: dict[str, Any] = {}

        def begin(arguments: Mapping[str, Any]) -> None:
            for name, value in setup(**arguments).items():
                (helpers if name.startswith("_") else space)[name] = value

        answer = functools.partial(_answer, connection, limits["value_kb"] << 10)
        while True:
            match receive(connection):
                case {"token": token, "open": arguments}:
                    answer(token, begin, arguments)
                case {"token": token, "run": statements, "expressions": expressions}:
                    for statement in statements:
                        answer(token, _run, statement, space, expressions)
                case {"token": token, "call": name, "arguments": arguments}:
                    answer(token, _call, helpers, name, arguments)
    finally:
        os._exit(0)


def _answer(connection: socket.socket, most: int, token: str, action: Callable[..., Any], *given: Any) -> None:
    """Send what comes of `action(*given)`, a value or an exception, in at most `most` bytes."""
    reply: dict[str, Any] = {"token": token, "error": None}
    try:
        value = action(*given)
        text = None if type(value) in SAME_TEXT else str(value)
        body = json.dumps({**reply, "value": pack(value), "text": text, "message": ""})
        if len(body) > most:
            message = f"{len(body)} bytes, where {most} are allowed"
            body = json.dumps({**reply, "error": "ValueTooLarge", "text": None, "message": message})
    except BaseException as error:
        name = type(error).__name__
        body = json.dumps({**reply, "error": name, "text": None, "message": _message(error)})
    write(connection, body.encode("ascii"))


def _message(error: BaseException) -> str:
    try:
        return str(error)[:MAX_MESSAGE]
    except BaseException:
        return ""


def _run(statement: str, space: dict[str, Any], expression: bool) -> Any:
    """The value of an expression; None of statements, which are refused where an `expression` is wanted.

    Raises:
        RuntimeError: this is not a session's process.
    """
    if not _in_session:
        raise RuntimeError("text becomes code in a session's process only")
    try:
        code = compile(statement.lstrip(" \t"), "<string>", "eval")
    except SyntaxError:
        if expression:
            raise
        # What this process is for. It has no rights left (`lockdown.give_up`) and nothing of ours to reach.
        exec(compile(statement, "<string>", "exec"), space)  # in a session's process only: checked on entry
        return None
    return eval(code, space)  # in a session's process only: checked on entry


def evaluate(text: str) -> Any:
    """The value of an expression, for a trusted function that is given code to call.

    Raises:
        RuntimeError: this is not a session's process.
    """
    return _run(text, {"__builtins__": builtins}, expression=True)


def _call(helpers: Mapping[str, Any], name: str, arguments: Mapping[str, Any]) -> Any:
    return helpers[name](**arguments)


class _Nowhere(io.TextIOBase):
    """Takes what is printed, and keeps nothing of it."""

    def write(self, text: str) -> int:
        return len(text)
