"""Corpora and benchmark data on disk: an unzipped folder or a zip, found and read the same way.

    tree = open_tree(root, ["multiwoz_2.4"], holding="MULTIWOZ2.4/data.json", hint="get it from …")
    tree.read_json(tree.find("MULTIWOZ2.4/data.json"))
    for name in tree.glob("train/dialogues_*.json"): …

Patterns match from the right, so a corpus may be nested deeper than its authors packed it.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from coalm.errors import DataError, NotFound


@dataclass(frozen=True, slots=True)
class Tree:
    """The files of a folder or zip; `names` are sorted paths relative to it, with `/`."""

    path: Path
    names: tuple[str, ...]
    hint: str = ""

    def glob(self, pattern: str) -> list[str]:
        """Names that match from the right (`train/*.json`), the least nested first.

        The folder's or zip's own name counts as their first part.
        """
        top = self.path.name.removesuffix(".zip")
        found = [name for name in self.names if PurePosixPath(top, name).match(pattern)]
        return sorted(found, key=lambda name: (name.count("/"), name))

    def find(self, pattern: str) -> str:
        """The name that matches, the least nested where there are several.

        Raises:
            DataError: there is none.
        """
        found = self.glob(pattern)
        if not found:
            raise DataError(f"no file `{pattern}`", where=self.path, hint=self.hint)
        return found[0]

    def where(self, name: str) -> str:
        """`path/name` of a file, or `file.zip/name`, for messages."""
        return f"{self.path}/{name}"

    def read_bytes(self, name: str) -> bytes:
        """Content of one of `names`.

        Raises:
            DataError: the file, or the zip that holds it, is damaged.
        """
        try:
            if self.path.is_dir():
                return (self.path / name).read_bytes()
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(name)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise DataError(f"cannot be read: {error}", where=self.where(name)) from None

    def read_json(self, name: str) -> Any:
        """Parsed JSON of one of `names`.

        Raises:
            DataError: the file is damaged, not UTF-8, or not JSON.
        """
        try:
            return json.loads(self.read_bytes(name).decode("utf-8"))
        except json.JSONDecodeError as error:
            raise DataError(f"not valid JSON: {error}", where=f"{self.where(name)}:{error.lineno}") from None
        except UnicodeDecodeError as error:
            raise DataError(f"not UTF-8: {error}", where=self.where(name)) from None


def open_tree(root: Path, names: Sequence[str], *, holding: str, hint: str = "") -> Tree:
    """The folder or zip in `root` that is called one of `names` (any case), or `root` itself.

    `holding` is a pattern that it must hold, which tells a corpus from a namesake; `hint` says where to get it.

    Raises:
        NotFound: there is none.
        DataError: the zip is damaged.
    """
    for path in _candidates(root, names):
        tree = Tree(path, tuple(_list_files(path)), hint)
        if tree.glob(holding):
            return tree
    what = f"no `{names[0]}/` or `{names[0]}.zip` with `{holding}` in it" if root.exists() else "no such folder"
    raise NotFound(what, where=root, hint=hint)


def _candidates(root: Path, names: Sequence[str]) -> Iterator[Path]:
    root = root.resolve()
    if not root.is_dir():
        yield from [root] if zipfile.is_zipfile(root) else []
        return
    wanted = {name.lower() for name in names}
    for entry in sorted(root.iterdir()):
        if entry.name.lower().removesuffix(".zip") in wanted:
            yield entry
    yield root


def _list_files(path: Path) -> list[str]:
    if path.is_dir():
        return sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"cannot be read: {error}", where=path) from None
    return sorted(name for name in names if not name.startswith("__MACOSX/"))
