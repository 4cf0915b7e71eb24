"""What the priors with a halting unit share: the task loss under p, a warm-up, and a term that speaks about spending.

L = task * (sum_n p_n L_n + supervision * mean_n L_n) + speed(p). Training first warms up on all exits alike; then
halting and the speed term act at full strength at once: a price that is ramped up from zero finds the halting unit
saturated at "later is safer" and has no gradient left (measured on addition).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from sp_search.pricing import HaltingRule
from sp_search.priors.base import SpeedPrior

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from sp_search.program import Exits


def mean_over_exits(log_p_NB: Tensor, value_N: Sequence[float]) -> Tensor:
    """Return sum_n p_n value_n per example, float_B."""
    mean_B: Tensor = (log_p_NB.exp() * log_p_NB.new_tensor(value_N)[:, None]).sum(0)
    return mean_B


def in_exits(value_N: Sequence[float]) -> list[float]:
    """Return cumulative values in units of the mean exit, so that exit N is worth N whatever the measure."""
    return [value * len(value_N) / value_N[-1] for value in value_N]


class Pondering(SpeedPrior):
    """Base of the priors whose halting unit is trained; a subclass says what spending costs (`speed`)."""

    task: float = Field(5.0, gt=0, description="weight of the task loss once halting trains")
    supervision: float = Field(0.3, ge=0, description="weight of the plain mean over all exits, relative to the task's")
    warmup: float = Field(0.4, ge=0, lt=1, description="share of train_steps that trains all exits, without halting")

    def speed(self, log_p_NB: Tensor, exits: Exits, state: dict[str, Any]) -> Tensor:
        """Return what this halting distribution costs beside the task, float_B; later never costs less."""
        raise NotImplementedError

    def uses_halting(self) -> bool:
        """Return True."""
        return True

    def warmup_share(self) -> float:
        """Return `warmup`."""
        return self.warmup

    def warming(self, state: dict[str, Any]) -> bool:
        """Whether this step belongs to the warm-up, in which halting does not train."""
        return bool(state.get("progress", 1.0) < self.warmup)

    def rule(self) -> HaltingRule:
        """Return: halt where the cumulative halting probability reaches one half."""
        return HaltingRule("quantile", 0.5)

    def train_defaults(self) -> dict[str, float | int]:
        """Return the recipe measured on addition: smaller steps, warmed up, that decay once halting trains."""
        return {"steps": 700, "learning_rate": 4e-3, "warmup_steps": 50, "decay_from": self.warmup, "decay_to": 0.1}

    def halting(self, exits: Exits) -> Tensor:
        """Return p_NB."""
        return self.log_halting(exits).exp()

    def loss(
        self, exits: Exits, batch_loss: Callable[[Tensor], Tensor], state: dict[str, Any]
    ) -> tuple[Tensor, dict[str, Any]]:
        """Return the scalar loss; while `progress` is below `warmup` it is the mean task loss over all exits."""
        import torch

        loss_NB = torch.stack([batch_loss(logits_BTV) for logits_BTV in exits.logits_NBTV])
        if self.warming(state):
            return loss_NB.mean(), state
        log_p_NB = self.log_halting(exits)
        task_B = (log_p_NB.exp() * loss_NB).sum(0) + self.supervision * loss_NB.mean(0)
        return (self.task * task_B + self.speed(log_p_NB, exits, state)).mean(), state

    def log_halting(self, exits: Exits) -> Tensor:
        """Return log p_NB."""
        from sp_search.program import halting_log_probabilities

        return halting_log_probabilities(self.halting_logits(exits))

    def halting_logits(self, exits: Exits) -> Tensor:
        """Return halt_NB, or say what is missing."""
        if exits.halt_NB is None:
            raise ValueError(f"{self.kind_name()} needs a model that is built with halting=True")
        return exits.halt_NB
