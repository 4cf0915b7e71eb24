"""How a step of training follows its gradient; without torch, so that it can be a field of an organism."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sp_search.records import Record

if TYPE_CHECKING:
    from torch import Tensor

    from sp_search.train.population import Gradients, Population


class Optimiser(Record):
    """How a step follows the gradient, which is first clipped to norm `clip`."""

    kind: Literal["adam", "adamw", "sgd"] = "adam"
    rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0, description="of adamw: weights shrink by rate * weight_decay a step")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    clip: float = Field(1.0, gt=0)

    def stepped(self, population: Population, found: Gradients) -> Population:
        """Return the population after one step."""
        from dataclasses import replace

        from sp_search.train.population import adam

        if self.kind == "sgd":
            norm_R1 = found.gradient_RP.norm(dim=1, keepdim=True)
            clipped_RP = found.gradient_RP * (self.clip / (norm_R1 + 1e-6)).clamp(max=1.0)
            first_RP = population.first_RP * self.momentum + clipped_RP
            weights_RP = population.weights_RP - self.rate * first_RP * found.used_P
            return replace(population, weights_RP=weights_RP, first_RP=first_RP)
        moved = adam(population, found.gradient_RP, found.used_P, self.rate, self.clip)
        if self.kind == "adam":
            return moved
        kept: Tensor = 1.0 - self.rate * self.weight_decay * found.used_P  # 1711.05101
        return replace(moved, weights_RP=moved.weights_RP - (1.0 - kept) * population.weights_RP)
