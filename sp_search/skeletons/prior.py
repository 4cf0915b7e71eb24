"""A price that grows with the square of the rollouts: late answers are dear out of proportion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sp_search.priors.pondering import Pondering, mean_over_exits

if TYPE_CHECKING:
    from torch import Tensor

    from sp_search.program import Exits


class SquaredRollouts(Pondering):
    """L = task * (sum_n p_n L_n + supervision * mean_n L_n) + price * E[n^2]."""

    kind: Literal["squared_rollouts"] = "squared_rollouts"
    price: float = Field(0.01, ge=0, description="weight of the mean of the squared rollouts")

    def speed(self, log_p_NB: Tensor, exits: Exits, state: dict[str, Any]) -> Tensor:
        return self.price * mean_over_exits(log_p_NB, [float(n * n) for n in range(1, len(log_p_NB) + 1)])
