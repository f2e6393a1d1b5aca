"""Prompt texts, one file each, and the few lines that fill them.

A text holds `{{name}}` where something is to be put. `--prompts DIR` names a folder whose files are
taken instead of ours, for released checkpoints that were trained on other words.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from coalm.errors import DataError, did_you_mean

_HERE = Path(__file__).parent
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_folders: list[Path] = [_HERE]


def use_folder(folder: Path) -> None:
    """Look for prompt texts in `folder` first. Files there are named as ours are: `coalm/act.txt`."""
    if not folder.is_dir():
        raise DataError("no such folder of prompts", where=folder)
    known = {str(path.relative_to(_HERE)) for path in _HERE.rglob("*.txt")}
    for path in folder.rglob("*.txt"):
        if str(path.relative_to(folder)) not in known:
            name = str(path.relative_to(folder))
            raise DataError(f"no prompt is called {name}", where=folder, hint=did_you_mean(name, known))
    _folders.insert(0, folder)
    template.cache_clear()


@cache
def template(name: str) -> str:
    """The text of `name` (`coalm/act`), without the newline that ends the file."""
    for folder in _folders:
        path = folder / f"{name}.txt"
        if path.is_file():
            return path.read_text(encoding="utf-8").removesuffix("\n")
    raise FileNotFoundError(f"{name}.txt")


def fill(name: str, **values: str) -> str:
    """The text of `name` with every `{{key}}` replaced; all keys of the text must be given, and no others."""
    text = template(name)
    wanted = set(_PLACEHOLDER.findall(text))
    if wanted != set(values):
        raise ValueError(f"prompt {name} wants {sorted(wanted)}, got {sorted(values)}")
    return _PLACEHOLDER.sub(lambda match: values[match.group(1)], text)
