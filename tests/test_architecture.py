"""The rules of the house, read from the imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "coalm"

# What each part may import; nothing else of ours. Nouns (see below) are open to all.
NOUNS = {"calls", "dialogue", "errors", "files", "runs"}
ALLOWED = {
    "prompts": set(),
    "sources": set(),
    "families": {"prompts"},
    "templates": set(),
    "tokens": {"templates"},
    "memory": set(),
    "models": {"memory", "tokens"},
    "progress": set(),
    "archive": set(),
    "cra": {"sources", "archive", "models", "prompts"},
    "sandbox": set(),
    "shuffle": set(),
    "known_corpora": set(),
    "card": {"known_corpora", "tokens"},
    "pictures": set(),
    "corpora": {"sources", "families", "cra", "card", "known_corpora"},
    "mixture": {"corpora", "card", "pictures", "archive", "shuffle", "tokens"},
    "push": set(),
    "show": {"mixture", "tokens"},
    "training": {"memory", "mixture", "card", "tokens", "progress", "recipes"},
    "benchmarks": {"sources", "cra", "families", "models", "prompts", "retrieval", "sandbox"},
    "evaluate": {"benchmarks", "families", "models", "progress", "prompts"},
    "report": {"benchmarks"},
    "retrieval": set(),
    "agent": {"families", "models", "retrieval"},
    "runbooks": {"benchmarks", "evaluate", "families", "models", "training"},
    "overlap": {"benchmarks", "card", "mixture"},
    "demo": {"corpora", "mixture", "training", "evaluate", "report", "progress", "tokens"},
    "guests": {"agent", "card", "corpora", "cra", "families"},
    "serving": {"families", "models", "tokens", "prompts"},
    "chat": {"agent", "families", "models"},
    "arguments": set(),
    "cli_data": {
        *("arguments", "corpora", "mixture", "show", "archive", "cra", "sources", "push"),
        *("tokens", "progress", "overlap", "card"),
    },
    "__main__": {"cli"},
    "nano": {"cli", "benchmarks", "mixture", "tokens", "training"},
    "cli": {
        *("arguments", "cli_data", "training", "evaluate", "report", "runbooks"),
        *("serving", "chat", "demo"),
    },
}
HEAVY = {"torch", "transformers", "peft", "pyarrow", "jieba", "rich", "numpy", "tokenizers", "jinja2"}


def modules() -> list[Path]:
    found = sorted(PACKAGE.rglob("*.py"))
    assert len(found) > 30
    return found


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Parts of our package that a file imports, at any depth of its code."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "coalm":
            names = node.module.split(".")[1:]
            parts |= {names[0]} if names else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            parts |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("coalm.")}
    return parts - {"__version__"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path: Path) -> None:
    name = part(path)
    if name == "__init__":
        assert imported(path) == set()
        return
    allowed = NOUNS if name in NOUNS else NOUNS | ALLOWED[name] | {name}
    assert imported(path) <= allowed


def test_training_and_benchmarks_are_strangers() -> None:
    assert "benchmarks" not in ALLOWED["training"]
    assert "training" not in ALLOWED["benchmarks"]


@pytest.mark.parametrize("module", ["coalm", "coalm.cli"])
def test_start_up_loads_nothing_heavy(module: str) -> None:
    program = f"import sys, {module}; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not HEAVY & set(loaded.stdout.split())


@pytest.mark.parametrize("name", ["multiwoz", "apibank", "bfcl", "snips", "sgd", "statistics"])
def test_scoring_needs_no_model(name: str) -> None:
    """Verdicts are reached without torch, transformers or a model."""
    program = f"import sys, coalm.benchmarks.{name}; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "coalm.models.hf"} & set(loaded.stdout.split())


def test_no_registration_by_side_effect_and_no_drawers() -> None:
    names = {path.name for path in modules()}
    assert not {"utils.py", "helpers.py", "common.py", "misc.py"} & names


def test_model_output_is_never_evaluated() -> None:
    for path in modules():
        if part(path) == "sandbox":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            assert called not in {"eval", "exec", "compile", "__import__"}, f"{path}: {called}"
