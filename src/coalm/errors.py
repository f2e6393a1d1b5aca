"""Errors that are the user's to mend: what, where, what now. They print without a traceback.

CoalmError
├── DataError         a corpus, benchmark or prediction file is missing or broken
│   └── NotFound      it is not there at all
├── RecipeError       a recipe or setting is wrong
├── ModelError        a model cannot be opened or asked
├── AgentError        tools or a conversation are not what an agent can work with
│   └── Conflict      somebody else has written to the conversation meanwhile
└── MissingExtra      an optional library is not installed
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from typing import TypeVar

Found = TypeVar("Found")


class CoalmError(Exception):
    """What went wrong, where (`where`, printed first) and what to do about it (`hint`)."""

    def __init__(self, what: str, *, where: object = "", hint: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.hint = what, str(where), hint

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\n\nhint: {self.hint}" if self.hint else head


class DataError(CoalmError):
    pass


class NotFound(DataError):
    pass


class RecipeError(CoalmError):
    pass


class ModelError(CoalmError):
    pass


class AgentError(CoalmError):
    pass


class Conflict(AgentError):
    pass


class MissingExtra(CoalmError):
    """An optional library is missing: `MissingExtra("torch", extra="train")`, or with a `hint` of its own."""

    def __init__(self, module: str, *, extra: str = "", hint: str = "") -> None:
        hint = hint or f'pip install "coalm[{extra}]"'
        super().__init__(f"the library `{module}` is not installed", hint=hint)


def need(module: str, *, extra: str) -> None:
    """Import a library of an extra, so that its absence is told before anything is begun.

    Raises:
        MissingExtra: it, or one that it needs, is not installed.
    """
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or module, extra=extra) from None


def named(name: str, kind: type[Found], what: str, error: type[CoalmError] = DataError) -> Found:
    """The `kind` that `module:ATTRIBUTE` points to: a `what` of one's own.

    Raises:
        DataError: (or `error`) it cannot be imported, or is something else.
    """
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as fault:  # ValueError: no name before the colon
        raise error(f"cannot import {what} `{name}`: {fault}") from None
    if not isinstance(found, kind):
        raise error(f"`{name}` is not a {kind.__name__}")
    return found


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for a mistyped name: the nearest known one, then all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    listed = f"known: {', '.join(names)}"
    return f"did you mean `{near[0]}`? {listed[0].upper()}{listed[1:]}" if near else listed
