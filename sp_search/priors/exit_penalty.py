"""Part `exit_penalty`: a halting distribution over exits with a penalty on later outputs (Proposal 3).

The penalty is `strength` times the mean of the cumulative FLOPs, in units of the mean exit (exit N costs N), so that a
cheap head early and a wide layer late are told apart where counting exits would not. A scheduler may move the strength
(`state["strength"]`); the post's way is down, until performance is satisfactory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sp_search.priors.pondering import Pondering, in_exits, mean_over_exits

if TYPE_CHECKING:
    from torch import Tensor

    from sp_search.program import Exits


class ExitPenalty(Pondering):
    """L = task * (sum_n p_n L_n + supervision * mean_n L_n) + strength * sum_n p_n N flops_n / flops_N."""

    kind: Literal["exit_penalty"] = "exit_penalty"
    strength: float = Field(0.1, ge=0, description="weight of the mean cumulative FLOPs, in units of the mean exit")

    def controls(self) -> tuple[str, ...]:
        """Return the strength."""
        return ("strength",)

    def speed(self, log_p_NB: Tensor, exits: Exits, state: dict[str, Any]) -> Tensor:
        """Return strength * E[relative cost]."""
        cost_B: Tensor = state.get("strength", self.strength) * mean_over_exits(log_p_NB, in_exits(exits.flops_N))
        return cost_B
