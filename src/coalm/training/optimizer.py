"""The optimisers: AdamW, or Muon on the matrices of the layers and AdamW on the rest."""

from __future__ import annotations

from typing import Any

import torch

from coalm.training.recipe import Recipe


class Optimizers:
    """Several optimisers over different weights, used as one. Their learning rates are set by who uses them."""

    def __init__(self, parts: list[torch.optim.Optimizer]) -> None:
        self.parts = parts

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for part in self.parts for group in part.param_groups]

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state that `state_dict` gave.

        Raises:
            ValueError: it is of other optimisers.
        """
        for part, held in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(held)


def make_optimizer(model: torch.nn.Module, recipe: Recipe) -> Optimizers:
    """The recipe's optimiser over all weights that learn; vectors do not decay.

    Muon takes the hidden matrices only; embedding, output head and norms stay with AdamW, at `adamw_ratio` of
    the rate, which is the `ratio` of their groups.
    """
    named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    matrices = [weight for _, weight in named if weight.ndim > 1]
    vectors = [weight for _, weight in named if weight.ndim <= 1]
    parts: list[torch.optim.Optimizer] = []
    if recipe.optimizer == "muon":
        hidden = [w for name, w in named if w.ndim == 2 and "embed" not in name and "lm_head" not in name]
        taken = {id(weight) for weight in hidden}
        matrices = [weight for weight in matrices if id(weight) not in taken]
        # match_rms_adamw: updates of the size that AdamW's have, so that one learning rate serves both.
        rate, decay = recipe.learning_rate, recipe.weight_decay
        parts.append(torch.optim.Muon(hidden, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
    ratio = recipe.adamw_ratio if parts else 1.0
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": recipe.weight_decay, "ratio": ratio},
        {"params": vectors, "weight_decay": 0.0, "ratio": ratio},
    ]
    groups = [group for group in groups if group["params"]]
    if groups:
        betas = (0.9, recipe.beta2)
        parts.append(torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=betas, fused=True))
    return Optimizers(parts)
