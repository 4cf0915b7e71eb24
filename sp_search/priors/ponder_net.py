"""Part `ponder_net`: task loss under the halting distribution, a geometric prior over exits, and a price on rollouts.

PonderNet (2107.05407, equation 3) with three changes. The geometric prior is renormalised over 1..N, so that zero KL is
reachable and halting later never looks cheaper (a remainder on N would be a bump). `price` weighs the mean
number of rollouts: KL alone also pulls the steps up towards 1 / rate, a speed prior needs a one-sided term. Training
first warms up on all exits alike; then halting and price act at full strength at once: a price that is ramped up from
zero finds the halting unit saturated at "later is safer" and has no gradient left (measured).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sp_search.pricing import HaltingRule
from sp_search.priors.base import SpeedPrior

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from sp_search.program import Exits


def geometric_log_N(rate: float, exits: int) -> list[float]:
    """Return log p_G(n) for n = 1..N, with p_G(n) proportional to (1 - rate)^(n - 1), renormalised over 1..N."""
    from math import log, log1p

    mass = 1.0 - (1.0 - rate) ** exits
    return [log(rate) + index * log1p(-rate) - log(mass) for index in range(exits)]


def kl_to_geometric(log_p_NB: Tensor, rate: float) -> Tensor:
    """Return KL(p || p_G) per example, float_B: at least 0, and 0 exactly where p is the renormalised geometric law."""
    log_prior_N1 = log_p_NB.new_tensor(geometric_log_N(rate, len(log_p_NB)))[:, None]
    kl_B: Tensor = (log_p_NB.exp() * (log_p_NB - log_prior_N1)).sum(0)
    return kl_B


class PonderNet(SpeedPrior):
    """L = task * (sum_n p_n L_n + supervision * mean_n L_n) + beta * KL(p || geometric) + price * E[n]."""

    kind: Literal["ponder_net"] = "ponder_net"
    beta: float = Field(0.1, ge=0, description="weight of the KL to the geometric prior")
    rate: float = Field(0.4, gt=0, lt=1, description="lambda_p: the geometric prior's chance to halt at each rollout")
    price: float = Field(0.1, ge=0, description="weight on the mean number of rollouts (exits)")
    task: float = Field(5.0, gt=0, description="weight of the task loss once halting trains")
    supervision: float = Field(0.3, ge=0, description="weight of the plain mean over all exits, relative to the task's")
    warmup: float = Field(0.4, ge=0, lt=1, description="share of train_steps that trains all exits, without halting")

    def uses_halting(self) -> bool:
        """Return True."""
        return True

    def warmup_share(self) -> float:
        """Return `warmup`."""
        return self.warmup

    def rule(self) -> HaltingRule:
        """Return: halt where the cumulative halting probability reaches one half."""
        return HaltingRule("quantile", 0.5)

    def train_defaults(self) -> dict[str, float | int]:
        """Return the recipe measured on addition: smaller steps, warmed up, that decay once halting trains."""
        return {"steps": 700, "learning_rate": 4e-3, "warmup_steps": 50, "decay_from": self.warmup, "decay_to": 0.1}

    def halting(self, exits: Exits) -> Tensor:
        """Return p_NB."""
        return self._log_halting(exits).exp()

    def loss(
        self, exits: Exits, batch_loss: Callable[[Tensor], Tensor], state: dict[str, Any]
    ) -> tuple[Tensor, dict[str, Any]]:
        """Return the scalar loss; while `progress` is below `warmup` it is the mean task loss over all exits."""
        import torch

        loss_NB = torch.stack([batch_loss(logits_BTV) for logits_BTV in exits.logits_NBTV])
        if state.get("progress", 1.0) < self.warmup:
            return loss_NB.mean(), state
        log_p_NB = self._log_halting(exits)
        p_NB = log_p_NB.exp()
        rollouts_N1 = torch.arange(1, len(p_NB) + 1, device=p_NB.device, dtype=p_NB.dtype)[:, None]
        task_B = (p_NB * loss_NB).sum(0) + self.supervision * loss_NB.mean(0)
        speed_B = self.beta * kl_to_geometric(log_p_NB, self.rate) + self.price * (p_NB * rollouts_N1).sum(0)
        return (self.task * task_B + speed_B).mean(), state

    def _log_halting(self, exits: Exits) -> Tensor:
        from sp_search.program import halting_log_probabilities

        if exits.halt_NB is None:
            raise ValueError("ponder_net needs a model that is built with halting=True")
        return halting_log_probabilities(exits.halt_NB)
