"""`coalm train` as one of several processes; it looks first whether the model is sharded, or whole."""

from __future__ import annotations

import os
import sys
from typing import Any

from torch.distributed.tensor import DTensor

from coalm import cli
from coalm.training import trainer

make_optimizer = trainer.make_optimizer


def look_and_make_optimizer(model: Any, recipe: Any) -> Any:
    weights = list(model.parameters())
    if recipe.parallel == "ddp":
        assert not any(isinstance(weight, DTensor) for weight in weights)
        return make_optimizer(model, recipe)
    assert all(isinstance(weight, DTensor) for weight in weights)
    here, all_of_them = sum(weight.to_local().numel() for weight in weights), sum(w.numel() for w in weights)
    assert here < 0.6 * all_of_them, f"{here} of {all_of_them}"
    return make_optimizer(model, recipe)


if __name__ == "__main__":
    if int(os.environ["WORLD_SIZE"]) > 1:
        trainer.make_optimizer = look_and_make_optimizer
    sys.exit(cli.main())
