"""Part `ponder_net`: task loss under the halting distribution, a geometric prior over exits, and a price on rollouts.

PonderNet (2107.05407, equation 3) with two changes beside the warm-up of `pondering`. The geometric prior is
renormalised over 1..N, so that zero KL is reachable and halting later never looks cheaper (a remainder on N would be a
bump). `price` weighs the mean number of rollouts: KL alone also pulls the steps up towards 1 / rate, and a speed prior
needs a one-sided term.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sp_search.priors.pondering import Pondering, mean_over_exits

if TYPE_CHECKING:
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


class PonderNet(Pondering):
    """L = task * (sum_n p_n L_n + supervision * mean_n L_n) + beta * KL(p || geometric) + price * E[n]."""

    kind: Literal["ponder_net"] = "ponder_net"
    beta: float = Field(0.1, ge=0, description="weight of the KL to the geometric prior")
    rate: float = Field(0.4, gt=0, lt=1, description="lambda_p: the geometric prior's chance to halt at each rollout")
    price: float = Field(0.1, ge=0, description="weight on the mean number of rollouts (exits)")

    def speed(self, log_p_NB: Tensor, exits: Exits, state: dict[str, Any]) -> Tensor:
        """Return beta * KL + price * E[n]."""
        steps_B = mean_over_exits(log_p_NB, range(1, len(log_p_NB) + 1))
        return self.beta * kl_to_geometric(log_p_NB, self.rate) + self.price * steps_B
