"""The model that comes with the package: small, found by its name, and trained."""

from __future__ import annotations

import json

from coalm.dialogue import Prompt
from coalm.models import Job, open_model
from coalm.models.hf import HuggingFaceModel
from coalm.nano import LARGEST
from coalm.tokens import NANO, Encoder, locate


def test_it_fits_the_package() -> None:
    facts = json.loads((NANO / "packed.json").read_text())
    assert (NANO / "model.safetensors").stat().st_size == facts["bytes"] <= LARGEST
    assert facts["agreement"] > 0.97  # with the weights that were trained, before they were rounded
    config = json.loads((NANO / "config.json").read_text())
    assert config["max_position_embeddings"] == 4096
    assert "coalm" in (NANO / "README.md").read_text().lower()


def test_its_name_opens_it_anywhere() -> None:
    assert locate("nano") == str(NANO)
    assert locate("nano/model") == "nano/model"
    model = open_model("nano")
    assert isinstance(model, HuggingFaceModel)
    assert model.name == "hf:nano"
    assert model.end_ids() == [Encoder.load("nano").end_id]
    ((_, answer),) = model.complete([Job("one", 0, Prompt(text="Hello"), max_tokens=4)])
    assert answer.completion_tokens
