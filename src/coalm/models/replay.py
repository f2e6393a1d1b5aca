"""A model with a script: `replay:FILE` answers by item id and step, so order across items never matters.

The file holds JSON lines: `{"item": "l1-3", "step": 0, "text": "…"}`, or the predictions of an earlier run
(`{"id": …, "steps": [{"text": …}, …]}`), which replays that run without its model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from coalm.errors import DataError, ModelError
from coalm.models import Completion, Job
from coalm.runs import read_json_lines


class ReplayModel:
    """Answers from a file; an item or step that is not in it is an error.

    Raises:
        DataError: the file is missing, or a line is of neither form.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"replay:{path.name}"
        self._path = path
        self._texts: dict[tuple[str, int], str] = {}
        for number, row in read_json_lines(path):
            match row:
                case {"item": str(item), "step": int(step), "text": str(text)}:
                    self._texts[item, step] = text
                case {"id": str(item), "steps": list(steps)}:
                    self._texts |= {(item, index): step["text"] for index, step in enumerate(steps)}
                case _:
                    raise DataError("expected item, step and text, or id and steps", where=f"{path}:{number}")

    def complete(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Completion]]:
        """Yield `(index in jobs, completion)` in the order of the jobs.

        Raises:
            ModelError: the script has no line for a job.
        """
        for index, job in enumerate(jobs):
            text = self._texts.get((job.item, job.step))
            if text is None:
                raise ModelError(f"the script has no step {job.step} of item {job.item}", where=self._path)
            yield index, Completion(text)
