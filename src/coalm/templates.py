"""A conversation as chat templates take it: tools beside it, calls of the past as calls, not as text.

    Prompt.tools                               ──▶ tools: [{"type": "function", "function": {…}}]
    assistant "said\\n```\\n[{"name", …}]\\n```"   ──▶ {"content": "said", "tool_calls": […]}
    tool, one for each of these calls          ──▶ {"role": "tool", "tool_call_id", "name", "content"}

Templates differ: Llama 3.1's takes one call at a time, Mistral's wants ids of nine letters or digits, some know
no system message or no tools. So the conversation is offered as it is, then with each call next to its answer,
both again with the system's words in the user's mouth, then all in words, in which roles take turns; the first
form that the template takes is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from coalm.calls import split_calls
from coalm.dialogue import Prompt, Role, Tool, ToolCall
from coalm.errors import ModelError

Message = dict[str, Any]
Apply = Callable[[list[Message], list[dict[str, Any]] | None], str]
"""A template: messages and tools (None where there are none) to text. Raises what Jinja raises."""


def write_conversation(prompt: Prompt, apply: Apply, name: str) -> str:
    """The text of a prompt of messages by the template of the model called `name`.

    Raises:
        ModelError: the template takes it in no form, or leaves the tools out.
    """
    from jinja2 import TemplateError

    tools = [_write_tool(tool) for tool in prompt.tools] or None
    refusal = ""
    for messages in _forms(prompt):
        try:
            text = apply(messages, tools)
            without = apply(messages, None) if tools else ""
        except (TemplateError, TypeError) as error:
            refusal = refusal or str(error)
            continue
        if tools and text == without:
            hint = "ask it in words: --family chat-text"
            raise ModelError(f"the chat template of {name} leaves tools out", hint=hint)
        return text
    raise ModelError(f"the chat template of {name} refuses the conversation: {refusal}")


def _forms(prompt: Prompt) -> Iterator[list[Message]]:
    """The conversation as it is, then in forms that more templates take."""
    for one in (prompt, _without_system(prompt)):
        yield list(_structured(one, apart=False))
        yield list(_structured(one, apart=True))
    yield list(_in_turns(prompt))


def _without_system(prompt: Prompt) -> Prompt:
    """What the system says at the beginning becomes the beginning of what the user says."""
    match prompt.messages:
        case [("system", told), ("user", said), *rest]:
            return replace(prompt, messages=(("user", f"{told}\n\n{said}"), *rest))
    return prompt


def _write_tool(tool: Tool) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {}, **tool.parameters}
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


def _structured(prompt: Prompt, apart: bool) -> Iterator[Message]:
    """Messages with calls as such, where tools are offered and every call has its answer.

    `apart` makes several calls of one step so many steps, each with its answer.
    """
    place = number = 0
    while place < len(prompt.messages):
        role, text = prompt.messages[place]
        place += 1
        said, calls = split_calls(text) if role == "assistant" and prompt.tools else (text, ())
        answers = _answers(prompt.messages[place:])
        if not calls or len(calls) != len(answers):
            yield {"role": role, "content": text}
            continue
        place += len(answers)
        pairs = [
            (_write_call(call, number + index), {"content": answer})
            for index, (call, answer) in enumerate(zip(calls, answers, strict=True))
        ]
        number += len(calls)
        for group in [[pair] for pair in pairs] if apart else [pairs]:
            yield {"role": "assistant", "content": said, "tool_calls": [call for call, _ in group]}
            for call, answer in group:
                yield {"role": "tool", "tool_call_id": call["id"], "name": call["function"]["name"], **answer}
            said = ""


def _answers(messages: Sequence[tuple[Role, str]]) -> list[str]:
    """What the tools said, up to the next message of another role."""
    texts = []
    for role, text in messages:
        if role != "tool":
            break
        texts.append(text)
    return texts


def _write_call(call: ToolCall, number: int) -> dict[str, Any]:
    function = {"name": call.name, "arguments": dict(call.arguments)}
    return {"id": f"call{number:05d}", "type": "function", "function": function}


def _in_turns(prompt: Prompt) -> Iterator[Message]:
    """Words alone: the system's and the tools' become the user's, and neighbours of one role one message."""
    role = "user"
    texts: list[str] = []
    for next_role, text in prompt.messages:
        next_role = "assistant" if next_role == "assistant" else "user"
        if next_role != role and texts:
            yield {"role": role, "content": "\n\n".join(texts)}
            texts = []
        role = next_role
        texts.append(text)
    yield {"role": role, "content": "\n\n".join(texts)}
