"""Part `mean_rollouts`: task loss under the halting distribution plus a price on mean rollouts (Proposal 2B).

It is `ponder_net` without a geometric prior: nothing but the price speaks about halting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sp_search.pricing import HaltingRule
from sp_search.priors.base import SpeedPrior

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from sp_search.priors.ponder_net import PonderNet
    from sp_search.program import Exits


class MeanRollouts(SpeedPrior):
    """L = task * (sum_n p_n L_n + supervision * mean_n L_n) + price * E[n], after a warm-up on all exits alike."""

    kind: Literal["mean_rollouts"] = "mean_rollouts"
    price: float = Field(0.1, ge=0, description="weight on the mean number of rollouts (exits)")
    task: float = Field(3.0, gt=0, description="weight of the task loss once halting trains")
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
        """Return the recipe of `ponder_net`."""
        return self._without_kl().train_defaults()

    def halting(self, exits: Exits) -> Tensor:
        """Return p_NB."""
        return self._without_kl().halting(exits)

    def loss(
        self, exits: Exits, batch_loss: Callable[[Tensor], Tensor], state: dict[str, Any]
    ) -> tuple[Tensor, dict[str, Any]]:
        """Return the scalar loss; while `progress` is below `warmup` it is the mean task loss over all exits."""
        return self._without_kl().loss(exits, batch_loss, state)

    def _without_kl(self) -> PonderNet:
        from sp_search.priors.ponder_net import PonderNet

        return PonderNet(
            beta=0.0, rate=0.5, price=self.price, task=self.task, supervision=self.supervision, warmup=self.warmup
        )
