"""Who answers a task: the running batch of a local model, or `Model.complete` in a pool of threads.

Both are given a task and a function to emit pieces to, called from a thread of theirs, and hand back a function
that takes the request out.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from coalm.errors import CoalmError
from coalm.models import Job, Model, open_model
from coalm.serving.pieces import Decoding, Emit, Load, Piece
from coalm.serving.protocol import ApiError, Ask
from coalm.serving.stream import Task

POOL = 64


class Backend(Protocol):
    name: str

    def submit(self, ask: Ask, task: Task, max_tokens: int, emit: Emit) -> Callable[[], None]:
        """Begin an answer of at most `max_tokens`; `emit` gets its pieces, the end or an error last.

        Raises:
            ApiError: this model cannot be asked so (400).
        """
        ...

    def load(self) -> Load: ...

    def close(self) -> None: ...


def open_backend(spec: str, *, rows: int, batch_tokens: int, **options: Any) -> Backend:
    """What answers for the model that `spec` names.

    Raises:
        ModelError: there is no such model.
        MissingExtra: a library that it needs is not installed.
    """
    model = open_model(spec, **options)
    kind = spec.partition(":")[0]
    if kind in ("openai", "replay"):
        return PoolBackend(model, threads=POOL, together=1)
    if kind != "hf" and not Path(spec).exists():
        return PoolBackend(model, threads=1, together=rows)
    from coalm.serving.engine import Engine, can_run

    # What HuggingFaceModel has opened is used as it is; it has no public names for these yet.
    inside: Any = model
    if not can_run(inside.model):
        return PoolBackend(model, threads=1, together=rows)
    engine = Engine(
        inside.model, inside.encoder.tokenizer, inside.end_ids(), rows=rows, batch_tokens=batch_tokens
    )
    return EngineBackend(model.name, engine, inside.encoder, inside.context)


class EngineBackend:
    """A local model that decodes for many at once; `context` is the longest prompt and answer together."""

    def __init__(self, name: str, engine: Any, encoder: Any, context: int) -> None:
        self.name = name
        self._engine, self._encoder, self._context = engine, encoder, context

    def submit(self, ask: Ask, task: Task, max_tokens: int, emit: Emit) -> Callable[[], None]:
        prompt = self._encoder.prompt(task.prompt)
        if task.opening:
            prompt += self._encoder.encode(task.opening)
        room = self._context - len(prompt)
        if room < (ask.max_tokens or 1):
            what = f"the prompt has {len(prompt)} tokens and the model takes {self._context} with its answer"
            raise ApiError(400, what, param="messages", code="context_length_exceeded")
        if task.opening:
            emit(Piece(task.opening))
        decoding = Decoding(
            min(max_tokens, room), ask.temperature, ask.top_p, ask.seed, (*task.prompt.stop, *ask.stop)
        )
        cancel: Callable[[], None] = self._engine.submit(prompt, decoding, emit)
        return cancel

    def load(self) -> Load:
        load: Load = self._engine.load()
        return load

    def close(self) -> None:
        self._engine.close()


@dataclass(slots=True, eq=False)
class _Waiting:
    job: Job
    emit: Emit
    left: bool = False


class PoolBackend:
    """Any model, asked by `threads` threads, each with up to `together` jobs at a time.

    How it decodes was settled when it was opened: a temperature is refused.
    """

    def __init__(self, model: Model, *, threads: int, together: int) -> None:
        self.name = model.name
        self._model, self._together = model, together
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._running = 0
        self._stopping = False
        for number in range(threads):
            threading.Thread(target=self._work, name=f"pool-{number}", daemon=True).start()

    def submit(self, ask: Ask, task: Task, max_tokens: int, emit: Emit) -> Callable[[], None]:
        if ask.temperature:
            what = "`temperature`: this model's decoding is fixed where it runs; leave it out, or give 0"
            raise ApiError(400, what, param="temperature", code="unsupported_value")
        prompt = replace(task.prompt, stop=(*task.prompt.stop, *ask.stop))
        waiting = _Waiting(Job(ask.item, ask.step, prompt, max_tokens), emit)
        with self._changed:
            self._waiting.append(waiting)
            self._changed.notify()
        return lambda: setattr(waiting, "left", True)

    def load(self) -> Load:
        return Load(len(self._waiting), self._running)

    def close(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._stopping):
                    self._changed.wait()
                if self._stopping:
                    return
                taken = [self._waiting.popleft() for _ in range(min(self._together, len(self._waiting)))]
                self._running += len(taken)
            self._answer([one for one in taken if not one.left])
            with self._changed:
                self._running -= len(taken)

    def _answer(self, taken: list[_Waiting]) -> None:
        told: set[int] = set()
        try:
            for index, completion in self._model.complete([one.job for one in taken]):
                told.add(index)
                if not taken[index].left:
                    taken[index].emit(_piece(taken[index].job, completion))
        except Exception as error:  # whatever a model does, the server goes on
            what = error.what if isinstance(error, CoalmError) else f"{type(error).__name__}: {error}"
            for index, one in enumerate(taken):
                if index not in told and not one.left:
                    one.emit(Piece(error=f"the model failed: {what}"))


def _piece(job: Job, completion: Any) -> Piece:
    if completion.error:
        return Piece(error=completion.error)
    text = completion.text
    for stop in job.prompt.stop:
        text = text.partition(stop)[0]
    cut = completion.completion_tokens is not None and completion.completion_tokens >= job.max_tokens
    return Piece(text, "length" if cut else "stop", completion.prompt_tokens, completion.completion_tokens)
