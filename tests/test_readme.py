"""The README's commands, as a newcomer types them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """The command lines of the block that is marked to be run."""
    block = re.search(r"<!-- run -->\n```sh\n(.*?)```", README, re.DOTALL)
    assert block
    return [line for line in block.group(1).splitlines() if line.startswith("coalm ")]


@pytest.mark.timeout(600)
def test_the_commands_run_as_they_stand(tmp_path: Path) -> None:
    (tmp_path / "src").symlink_to(ROOT / "src")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = commands()
    assert len(found) == 6
    for command in found:
        subprocess.run(command.split(), cwd=tmp_path, env=os.environ | {"PATH": path}, check=True, timeout=300)
    assert "<!doctype html>" in (tmp_path / "runs" / "report.html").read_text(encoding="utf-8").lower()


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if "://" not in target and not (ROOT / target).exists()] == []
