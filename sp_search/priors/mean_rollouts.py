"""Part `mean_rollouts`: task loss under the halting distribution plus a price on mean rollouts (Proposal 2B).

It is `ponder_net` without a geometric prior: nothing but the price speaks about halting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sp_search.priors.pondering import Pondering, mean_over_exits

if TYPE_CHECKING:
    from torch import Tensor

    from sp_search.program import Exits


class MeanRollouts(Pondering):
    """L = task * (sum_n p_n L_n + supervision * mean_n L_n) + price * E[n], after a warm-up on all exits alike."""

    kind: Literal["mean_rollouts"] = "mean_rollouts"
    task: float = Field(3.0, gt=0, description="weight of the task loss once halting trains")
    price: float = Field(0.1, ge=0, description="weight on the mean number of rollouts (exits)")

    def speed(self, log_p_NB: Tensor, exits: Exits, state: dict[str, Any]) -> Tensor:
        """Return price * E[n]."""
        return self.price * mean_over_exits(log_p_NB, range(1, len(log_p_NB) + 1))
