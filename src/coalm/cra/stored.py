"""What the `llm` engine has made, as a corpus like any other: `sgd-llm/` among the corpora, or the folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from coalm import archive
from coalm.dialogue import Dialogue
from coalm.errors import DataError
from coalm.files import Tree, open_tree

NAMES = ("sgd-llm",)
HINT = "make it with `coalm data cra`, and put its folder in the corpora folder as sgd-llm/"


def load(root: Path, split: str = "train") -> Iterator[Dialogue]:
    """Yield the dialogues that were made of a split, in the corpus' order.

    Raises:
        DataError: no such folder, it is zipped, or its file is broken.
    """
    tree, name = find(root)
    if not tree.path.is_dir():
        raise DataError("an archive of dialogues is read from a folder", where=tree.path, hint="unzip it")
    for dialogue in archive.read((tree.path / name).parent):
        if dialogue.id.startswith(f"{split}/"):
            yield dialogue


def find(root: Path) -> tuple[Tree, str]:
    """Where the folder lies, and its file of dialogues.

    Raises:
        DataError: there is none.
    """
    tree = open_tree(root, NAMES, holding=archive.NAME, hint=HINT)
    return tree, tree.find(archive.NAME)
