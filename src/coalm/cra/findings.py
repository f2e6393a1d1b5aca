"""What the checks report: a question of Appendix D, the place in the dialogue, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from coalm.dialogue import Dialogue, ToolCall, Turn

Kind = Literal["undefined", "type", "hallucination", "reasoning"]
Part = Literal["action", "thought", "text"]

QUESTIONS: Mapping[Kind, str] = {
    "undefined": "Undefined function call",
    "type": "Incorrect argument type",
    "hallucination": "Argument hallucination",
    "reasoning": "Low-quality reasoning and planning",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault, and the `rule` that it breaks. `start` and `end` are characters of the turn's `part`: its
    thought, its text, or its action as `write_action` writes it.
    """

    kind: Kind
    rule: str
    dialogue: str
    turn: int
    part: Part
    start: int
    end: int
    value: str
    why: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a check is at; it makes findings of what stands there."""

    dialogue: Dialogue
    index: int

    @property
    def turn(self) -> Turn:
        return self.dialogue.turns[self.index]

    def thought(self, rule: str, why: str, span: tuple[int, int] | None = None) -> Finding:
        """A finding about the thought, or about a stretch of it."""
        text = self.turn.thought
        start, end = span or (0, len(text))
        return self._finding("reasoning", rule, "thought", start, end, text[start:end], why)

    def text(self, rule: str, why: str) -> Finding:
        """A finding about what is said."""
        return self._finding("reasoning", rule, "text", 0, len(self.turn.text), self.turn.text, why)

    def call(self, number: int, kind: Kind, rule: str, why: str) -> Finding:
        """A finding about one of the turn's calls as a whole."""
        start = self._start(number)
        text = write_call(self.turn.calls[number])
        return self._finding(kind, rule, "action", start, start + len(text), text, why)

    def name(self, number: int, kind: Kind, rule: str, why: str) -> Finding:
        """A finding about the name of a call's function."""
        start, name = self._start(number), self.turn.calls[number].name
        return self._finding(kind, rule, "action", start, start + len(name), name, why)

    def argument(self, number: int, parameter: str, kind: Kind, rule: str, why: str) -> Finding:
        """A finding about one argument of a call, `name='value'`."""
        call = self.turn.calls[number]
        before = [_write_argument(name, call.arguments[name]) for name in _names_before(call, parameter)]
        start = self._start(number) + len(call.name) + 1 + sum(len(text) + 2 for text in before)
        value = call.arguments[parameter]
        end = start + len(_write_argument(parameter, value))
        return self._finding(
            kind, rule, "action", start, end, value if isinstance(value, str) else repr(value), why
        )

    def _start(self, number: int) -> int:
        return sum(len(write_call(call)) + 2 for call in self.turn.calls[:number])

    def _finding(
        self, kind: Kind, rule: str, part: Part, start: int, end: int, value: str, why: str
    ) -> Finding:
        return Finding(kind, rule, self.dialogue.id, self.index, part, start, end, value, why)


def write_action(turn: Turn) -> str:
    """The calls of a turn as they stand in a sample: `FindBus(from_city='Davis'), GetWeather(city='Davis')`."""
    return ", ".join(map(write_call, turn.calls))


def write_call(call: ToolCall) -> str:
    """As `coalm.calls` writes it, but of any names: what is looked at here may be wrong."""
    return f"{call.name}({', '.join(_write_argument(name, value) for name, value in call.arguments.items())})"


def _write_argument(name: str, value: Any) -> str:
    return f"{name}={value!r}"


def _names_before(call: ToolCall, parameter: str) -> list[str]:
    names = list(call.arguments)
    return names[: names.index(parameter)]
