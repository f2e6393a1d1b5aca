"""The systems of the paper's tables: how each is asked, and how its text is read.

A family is two functions, `render(request) -> Prompt` and `read(text, request) -> Reply`, and the tasks that
it is capable of. Adding one is a file beside this and a line in `FAMILIES`; or, for one of your own, a file
anywhere, named as `my_package.module:FAMILY`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coalm.dialogue import Prompt, Reply, Request, Task
from coalm.errors import ModelError, did_you_mean, named
from coalm.families import (
    chat,
    coalm,
    codeact,
    fnctod,
    granite,
    hammer,
    ldst,
    nc_latent_tod,
    plain,
    toolace,
)
from coalm.families.names import pick

__all__ = ["FAMILIES", "Family", "family", "pick"]


def whole(request: Request) -> tuple[Request, ...]:
    """The request as its only part."""
    return (request,)


def only(replies: Sequence[Reply]) -> Reply:
    """The reply to the only part."""
    (reply,) = replies
    return reply


@dataclass(frozen=True, slots=True)
class Family:
    """How a system is asked, and its text read, for the tasks that it is capable of.

    Some systems need several prompts for a request: `split` makes it into parts, each to be rendered and read
    on its own, and `join` makes one reply out of theirs, in the same order.
    """

    name: str
    tasks: frozenset[Task]
    render: Callable[[Request], Prompt]
    read: Callable[[str, Request], Reply]
    split: Callable[[Request], tuple[Request, ...]] = whole
    join: Callable[[Sequence[Reply]], Reply] = only


_ALL: frozenset[Task] = frozenset({"call", "state", "act"})

FAMILIES = {
    "coalm": Family("coalm", _ALL, coalm.render, coalm.read),
    "chat": Family("chat", _ALL, chat.render, chat.read),
    "chat-text": Family("chat-text", _ALL, chat.render_text, chat.read_text),
    "hammer": Family("hammer", _ALL, hammer.render, hammer.read),
    "toolace": Family("toolace", _ALL, toolace.render, toolace.read),
    "granite": Family("granite", _ALL, granite.render, granite.read),
    "codeact": Family("codeact", frozenset({"call", "act"}), codeact.render, codeact.read),
    "fnctod": Family("fnctod", _ALL, fnctod.render, fnctod.read),
    "ldst": Family("ldst", frozenset({"state"}), ldst.render, ldst.read, ldst.split, ldst.join),
    "nc-latent-tod": Family(
        "nc-latent-tod",
        _ALL,
        nc_latent_tod.render,
        nc_latent_tod.read,
        nc_latent_tod.split,
        nc_latent_tod.join,
    ),
    "tod-zero": Family("tod-zero", frozenset({"state", "call"}), nc_latent_tod.render, nc_latent_tod.read),
    "plain": Family("plain", frozenset({"act"}), plain.render, plain.read),
}


def family(name: str) -> Family:
    """The family called `name`, or the one that `module:ATTRIBUTE` points to.

    Raises:
        ModelError: there is none.
    """
    if ":" in name:
        return named(name, Family, "family", ModelError)
    if name not in FAMILIES:
        raise ModelError(f"unknown family `{name}`", hint=did_you_mean(name, FAMILIES))
    return FAMILIES[name]
