"""A tool parser for vLLM: `--tool-parser-plugin …/vllm_plugin.py --tool-call-parser coalm`.

vLLM loads this file by its path; the package has to be installed where vLLM is. What it reads is read by the
family `coalm`, as everywhere: a call becomes `tool_calls`, `System:` becomes content, the thought is left out.
Written against vLLM's documented `ToolParser`: 0.9 and later, whose modules have moved twice since.
"""

from __future__ import annotations

import importlib.util
import json
import re
import secrets
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

from coalm.dialogue import Request
from coalm.families import family
from coalm.serving.stream import Answer, StreamReader

# A first word that is whole, or too long, and no label.
_UNLABELLED = re.compile(r"\s*(?!(?:Thought|Action|Observation|System|User):)(?:\w+[^\w:]|\w{12}|[^\w\s])")

_PARSERS = (
    "vllm.tool_parsers.abstract_tool_parser",
    "vllm.entrypoints.openai.tool_parsers.abstract_tool_parser",
)
_MESSAGES = ("vllm.entrypoints.openai.engine.protocol", "vllm.entrypoints.openai.protocol")


class Extracted(NamedTuple):
    """What a text says: content, or calls as (name, arguments as JSON)."""

    content: str | None
    calls: list[tuple[str, str]]


def extract(text: str) -> Extracted:
    """Calls and content of a whole text. One that cannot be read is content as it stands."""
    reply = family("coalm").read(text, Request("act", ()))
    if reply.error:
        return Extracted(text, [])
    try:
        calls = [
            (call.name, json.dumps(call.arguments, ensure_ascii=False, allow_nan=False)) for call in reply.calls
        ]
    except ValueError:
        return Extracted(text, [])
    return Extracted(reply.response or None, calls)


class Growing:
    """A text as it grows: what of it may be shown, and the calls that are there.

    Calls are handed out as soon as they can be read; text that begins with no label is shown as it is.
    """

    def __init__(self) -> None:
        self._reader = StreamReader(_as_answer, plain=False, hold=False)
        self._shown = 0
        self.calls: list[tuple[str, str]] = []

    def feed(self, text: str) -> tuple[str, list[tuple[str, str]]]:
        """New content and new calls, given all of the text so far."""
        if _UNLABELLED.match(text):
            new, self._shown = text[self._shown :], len(text)
            return new, []
        calls = extract(text).calls
        if len(calls) > len(self.calls):
            new_calls = calls[len(self.calls) :]
            self.calls = calls
            return "", new_calls
        return "".join(delta.get("content", "") for delta in self._reader.feed(text)), []


def _as_answer(text: str) -> Answer:
    content, calls = extract(text)
    return Answer(content, "", [{"function": {"name": name}} for name, _ in calls])


def make_parser() -> Any:
    """The parser class, registered with vLLM as `coalm`."""
    base = _first(_PARSERS)
    messages = _first(_MESSAGES)

    class CoalmToolParser(base.ToolParser):  # type: ignore[misc, name-defined]
        # (Its base is only known where vLLM is, which has no types for us.)
        # Constrained decoding would force plain JSON, which the model was not trained on.
        supports_required_and_named = False

        def adjust_request(self, request: Any) -> Any:
            return request

        def extract_tool_calls(self, model_output: str, request: Any) -> Any:
            content, calls = extract(model_output)
            made = [
                messages.ToolCall(function=messages.FunctionCall(name=name, arguments=arguments))
                for name, arguments in calls
            ]
            return messages.ExtractedToolCallInformation(
                tools_called=bool(made), tool_calls=made, content=content
            )

        def extract_tool_calls_streaming(
            self,
            previous_text: str,
            current_text: str,
            delta_text: str,
            previous_token_ids: Sequence[int],
            current_token_ids: Sequence[int],
            delta_token_ids: Sequence[int],
            request: Any,
        ) -> Any:
            self._growing = getattr(self, "_growing", None) or Growing()
            content, calls = self._growing.feed(current_text)
            if not calls:
                return messages.DeltaMessage(content=content) if content else None
            known = self._growing.calls
            # vLLM looks at these when the text has ended.
            self.prev_tool_call_arr = [
                {"name": name, "arguments": json.loads(arguments)} for name, arguments in known
            ]
            self.streamed_args_for_tool = [arguments for _, arguments in known]
            self.current_tool_id = len(known) - 1
            deltas = [
                messages.DeltaToolCall(
                    index=index,
                    id=f"call_{secrets.token_hex(12)}",
                    type="function",
                    function=messages.DeltaFunctionCall(name=name, arguments=arguments),
                )
                for index, (name, arguments) in enumerate(calls, len(known) - len(calls))
            ]
            return messages.DeltaMessage(tool_calls=deltas)

    base.ToolParserManager.register_module(name="coalm", force=True, module=CoalmToolParser)
    return CoalmToolParser


def _first(names: Sequence[str]) -> Any:
    """The first of these modules that there is."""
    for name in names:
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            last = error
    raise last


if importlib.util.find_spec("vllm"):
    make_parser()
