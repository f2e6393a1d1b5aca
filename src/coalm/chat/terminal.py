"""The chat for a person at a terminal: thoughts dimmed, calls and results in panels, words as they come."""

from __future__ import annotations

import contextlib
import json
from importlib import import_module

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from coalm.agent import (
    Answer,
    Asked,
    Called,
    Event,
    Forgot,
    Heard,
    Observed,
    Piece,
    Thought,
    Tracked,
    Unreadable,
)
from coalm.chat.conversation import Chat, state_text
from coalm.chat.plain import NO, YES
from coalm.chat.showing import call_text, clean, events_of
from coalm.errors import CoalmError

_RESULT_LINES = 24  # of a result that are shown


class TerminalChat:
    """Asks for words, shows what comes of them; `always` allows every call, and says so."""

    def __init__(self, console: Console, *, always: bool = False) -> None:
        self._console, self._always = console, always
        self._piece = ""  # the kind of the pieces that are being written
        self._told: set[str] = set()  # kinds that were written in pieces in this step

    def run(self, chat: Chat) -> None:
        """Until `/quit`, or the end of input (Ctrl-D). Ctrl-C stops an answer, and the chat goes on."""
        with contextlib.suppress(ImportError):
            import_module("readline")  # lines can be edited, and taken again with the arrow keys
        self._greet(chat)
        while True:
            try:
                line = self._console.input("[bold]> [/]").strip()
            except EOFError:
                self._console.print()
                break
            except KeyboardInterrupt:
                self._console.print("\n/quit leaves", style="dim")
                continue
            if not line:
                continue
            try:
                if line.startswith("/"):
                    told = chat.command(line)
                    if told.over:
                        break
                    self._console.print(Text(told.text))
                else:
                    self._turn(chat, line)
            except KeyboardInterrupt:
                self._console.print(
                    "\nstopped; what has happened so far stays in the conversation", style="dim"
                )
            except CoalmError as error:
                self._end_piece()
                self._console.print(Text(f"error: {clean(str(error))}", style="red"))
        self._console.print(Text(f"to go on: coalm chat --session {chat.id}", style="dim"))

    def allow(self, asked: Asked) -> bool:
        """Whether the person says yes; asked until it is one or the other. The end of input is a no."""
        if self._always:
            self._console.print("allowed: --yes", style="dim")
            return True
        while True:
            try:
                said = self._console.input("[bold yellow]allow this call? (y/n) [/]").strip().lower()
            except EOFError:
                self._console.print()
                return False
            if said in YES + NO:
                return said in YES

    def _greet(self, chat: Chat) -> None:
        head = f"{chat.agent.model.name}, conversation {chat.id}. /help lists the commands."
        self._console.print(Text(head, style="dim"))
        for event in events_of(chat.agent.turns):
            if isinstance(event, Heard):
                self._console.print(Text.assemble(("> ", "bold"), clean(event.text)))
            else:
                self._show(event)

    def _turn(self, chat: Chat, line: str) -> None:
        events = chat.say(line)
        last: Event | None = None
        try:
            while True:
                # A spinner would write over the question, and over text that is being written.
                spin = not isinstance(last, Asked | Piece)
                try:
                    with self._console.status("…") if spin else contextlib.nullcontext():
                        last = next(events)
                except StopIteration:
                    return
                self._show(last)
        finally:
            events.close()

    def _show(self, event: Event) -> None:
        if isinstance(event, Piece):
            self._show_piece(event)
            return
        self._end_piece()
        told = self._told
        if not isinstance(event, Thought):  # of an answer that follows at once, the pieces are told by now
            self._told = set()
        match event:
            case Thought(text) if "thought" not in told:
                self._console.print(Text(clean(text), style="dim italic"))
            case Called(id, name, arguments):
                self._panel(Text(call_text(name, arguments)), f"call {id}", "cyan")
            case Observed(id, _, text, failed, seconds):
                colour = "red" if failed else "green"
                after = f" after {seconds:.2f} s" if seconds else ""
                self._panel(Text(_pretty(text)), f"{'failed' if failed else 'result'} {id}{after}", colour)
            case Asked(id, name, arguments):
                self._panel(Text(call_text(name, arguments)), f"the model wants to make call {id}", "yellow")
            case Unreadable(text, error):
                self._panel(Text(clean(text), style="dim"), f"could not be read: {error}", "red")
            case Forgot(turns):
                line = f"the conversation is long: the model no longer sees its first {turns} turns"
                self._console.print(Text(line, style="dim"))
            case Tracked(state):
                self._panel(Text(state_text(state)), "state", "magenta")
            case Answer(text, error) if error or "answer" not in told:
                self._console.print(Text(clean(text), style="yellow" if error else ""))

    def _show_piece(self, piece: Piece) -> None:
        if self._piece != piece.kind:
            self._end_piece()
            self._piece = piece.kind
            self._told.add(piece.kind)
        style = "dim italic" if piece.kind == "thought" else ""
        self._console.print(Text(clean(piece.text), style=style), end="", soft_wrap=True)

    def _end_piece(self) -> None:
        """End the line of the pieces so far."""
        if self._piece:
            self._console.print()
        self._piece = ""

    def _panel(self, text: Text, title: str, colour: str) -> None:
        self._console.print(Panel(text, title=Text(title), title_align="left", border_style=colour))


def _pretty(text: str) -> str:
    """A result's JSON over several lines, where it is JSON, up to a number of them."""
    with contextlib.suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), ensure_ascii=False, indent=1)
    lines = clean(text).split("\n")
    more = [f"… {len(lines) - _RESULT_LINES} more lines"] if len(lines) > _RESULT_LINES + 1 else []
    return "\n".join((lines[:_RESULT_LINES] if more else lines) + more)
