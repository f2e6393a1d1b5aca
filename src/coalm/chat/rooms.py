"""Conversations that pages look at. A turn runs on a thread of its own, so it goes on where a page is reloaded.

room = rooms.open("")            a new one, or by id
room.say("A table for two")      returns at once
for view in room.views(): …      what is to be seen, as often as it changes, until the turn is over
room.decide("4.0", True)
"""

from __future__ import annotations

import contextlib
import copy
import threading
import time
from collections import OrderedDict
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from coalm.agent import Asked, Event, Sessions, Tracked
from coalm.chat.conversation import Chat, Settings, load_or_create
from coalm.chat.showing import events_of
from coalm.chat.steps import Message, Steps
from coalm.chat.toolsets import Toolset
from coalm.dialogue import State
from coalm.errors import AgentError, CoalmError
from coalm.models import Model

MOST_ROOMS = 200  # that are kept in memory; others are opened again from their file
_PAUSE = 0.04  # seconds between two views of a text that is being written


@dataclass(frozen=True, slots=True)
class View:
    """What a page shows; `asked` is the call that waits for a decision."""

    messages: list[Message]
    state: State
    asked: Asked | None
    busy: bool


class Room:
    """A conversation, what is to be seen of it, and the thread that leads it on."""

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        self._changed = threading.Condition()
        self._version = 0
        self._busy = self._stopping = False
        self._asked: Asked | None = None
        self._state: State = {}
        self._show_all()

    def say(self, text: str) -> None:
        """Say something, unless the room is busy.

        Raises:
            AgentError: it is.
        """
        with self._changed:
            if self._busy:
                raise AgentError("the agent is still busy with what was said before", where=self.chat.id)
            self._busy, self._stopping = True, False
        threading.Thread(target=self._work, args=(text,), name="coalm-room", daemon=True).start()

    def decide(self, id: str, allow: bool) -> None:
        """Allow or refuse the call `id`, if that is the one that waits; a late click decides nothing."""
        with contextlib.suppress(AgentError):
            self.chat.agent.decide(id, allow)

    def stop(self) -> None:
        """End the turn after what is under way; a call that waits for a decision is refused."""
        with self._changed:
            self._stopping = True
            asked = self._asked
        if asked:
            self.decide(asked.id, False)

    def undo(self) -> str:
        """Take the last words back, and return them.

        Raises:
            AgentError: there are none, or the room is busy.
        """
        words = self.chat.agent.undo()
        self._show_all()
        return words

    def view(self) -> View:
        with self._changed:
            return View(copy.deepcopy(self._steps.messages), self._state, self._asked, self._busy)

    def views(self) -> Iterator[View]:
        """What is to be seen, now and after each change; the last view is of a room that is not busy."""
        while True:
            with self._changed:
                seen = self._version
            view = self.view()
            yield view
            if not view.busy:
                return
            time.sleep(_PAUSE)
            with self._changed:
                while self._version == seen:
                    self._changed.wait()

    def _work(self, text: str) -> None:
        failure = ""
        events: Generator[Event, None, None] = self.chat.say(text)
        try:
            for event in events:
                with self._changed:
                    self._steps.add(event)
                    self._asked = event if isinstance(event, Asked) else None
                    self._track(event)
                    self._tell()
                    if self._stopping and not self._asked:
                        break
            if self.chat.track == "lazy" and not self._stopping:
                self._state = self.chat.state()
        except CoalmError as error:
            failure = str(error)
        except Exception as error:  # the page must not wait forever
            failure = f"{type(error).__name__}: {error}"
        finally:
            with contextlib.suppress(Exception):
                events.close()
            with self._changed:
                self._asked, self._busy = None, False
                if failure or self._stopping:
                    self._steps.fail(failure or "Stopped. What has happened so far stays in the conversation.")
                self._tell()

    def _track(self, event: Event | None = None) -> None:
        if self.chat.track == "calls":
            self._state = self.chat.state()
        elif isinstance(event, Tracked):
            self._state = event.state

    def _show_all(self) -> None:
        with self._changed:
            self._steps = Steps()
            for event in events_of(self.chat.agent.turns):
                self._steps.add(event)
            self._track()
            self._tell()

    def _tell(self) -> None:
        self._version += 1
        self._changed.notify_all()


class Rooms:
    """All rooms of a page's server. Where `guest` is empty, each conversation books in a name of its own."""

    def __init__(
        self, model: Model, toolset: Toolset, sessions: Sessions, settings: Settings, guest: str = "guest"
    ) -> None:
        self.model, self.toolset = model, toolset
        self._sessions, self._settings, self._guest = sessions, settings, guest
        self._rooms: OrderedDict[str, Room] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, id: str) -> Room:
        """The room of a conversation; a new one where there is none of this id, or no id.

        Raises:
            DataError: the conversation cannot be read.
        """
        with self._lock:
            room = self._rooms.get(id)
            if room is None:
                room = Room(self._chat(id))
                self._rooms[room.chat.id] = room
            self._rooms.move_to_end(room.chat.id)
            idle = [key for key, other in self._rooms.items() if other is not room and not other.view().busy]
            for key in idle[: max(0, len(self._rooms) - MOST_ROOMS)]:
                del self._rooms[key]
            return room

    def _chat(self, id: str) -> Chat:
        session = load_or_create(self._sessions, id)
        guest = self._guest or session.id
        return Chat(self.model, self.toolset, self._sessions, self._settings, session=session.id, guest=guest)
