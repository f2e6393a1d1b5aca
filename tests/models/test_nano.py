"""What the name `nano` stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from coalm import tokens
from coalm.errors import ModelError
from coalm.models import open_model
from coalm.tokens import locate
from tests.models.tiny import save_llama


def test_it_is_the_packaged_model_before_that_of_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "package"
    monkeypatch.setattr(tokens, "NANO", (package, tokens.NANO[1]))
    with pytest.raises(ModelError, match="make demo"):
        open_model("nano")
    demo = save_llama(tmp_path / "runs" / "demo" / "model")
    assert Path(locate("nano")).resolve() == demo.resolve()
    assert open_model("nano", dtype="float32").name == "hf:nano"
    package.mkdir()
    (package / "config.json").write_text("{}")
    assert locate("nano") == str(package)
