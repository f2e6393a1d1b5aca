"""Items in the form of Hammer's evaluation, written for these tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def tool(name: str, **parameters: str) -> dict[str, Any]:
    return {
        "name": name,
        "description": f"Does {name}.",
        "parameters": {key: {"type": kind, "description": f"the {key}"} for key, kind in parameters.items()},
        "return": {"status": {"type": "str", "description": "whether it worked"}},
    }


L1: list[dict[str, Any]] = [
    {
        "query": [
            {"role": "user", "content": "Water my ferns at 7, please."},
            {"role": "agent", "content": "Who are you?"},
            {"role": "user", "content": "Ada, code 'fern'."},
            {"role": "assistant", "content": '```[{"name": "LogIn", "arguments": {"user": "Ada"}}]```'},
            {"role": "tool", "content": "{'key': 'k1'}"},
            {"role": "agent", "content": "Now I water them.\nGenerate API Request:"},
        ],
        "tools": [tool("LogIn", user="str"), tool("Water", key="str", plants="list(str)", hour="int")],
        "answers": [{"name": "Water", "arguments": {"key": "k1", "plants": "['fern', 'moss']", "hour": "7"}}],
    },
    {
        "query": [{"role": "user", "content": "Which day is it?\nGenerate API Request:"}],
        "tools": [tool("Today")],
        "answers": [{"name": "Today", "arguments": {}}],
    },
]
L2: list[dict[str, Any]] = [
    {
        "query": [{"role": "user", "content": "Dim the lights.\nGenerate API Request:"}],
        "tools": [tool("Finder", words="str")],
        "answers": [{"name": "Finder", "arguments": {"words": "dim lights"}}],
    }
]


def write(folder: Path, l1: Any = L1, l2: Any = L2) -> Path:
    data = folder / "api_bank" / "hammer_format"
    data.mkdir(parents=True)
    (data / "apibank_l1.json").write_text(json.dumps(l1))
    (data / "apibank_l2.json").write_text(json.dumps(l2))
    return folder
