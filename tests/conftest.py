"""Fixtures for all tests. Tests on the real corpora are skipped, with a reason, where these are not at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real corpora and oracles that may lie beside the checkout."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the real corpora (../shared) are not here; see docs/data.md")
    return SHARED
