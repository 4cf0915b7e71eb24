"""Part `mean_budget`: E[cost] <= cap as a constraint, held by dual ascent instead of by a price that has to be guessed.

The Lagrangian of the post's P(C): min over weights, max over m >= 0 of task + m (E[cost] - cap). Each lineage remembers
its own multiplier, m <- max(0, m + rate * (E[cost] - cap)) after every step (Arrow, Hurwicz and Uzawa 1958). It begins
above zero, since a price that grows from nothing comes too late for a halting unit. With `method: threshold` it stays
there, and the cap is kept by the calibration of the halting threshold alone, which a mean budget does in any case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sp_search.priors.pondering import Pondering, mean_over_exits

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from sp_search.program import Exits


class MeanBudget(Pondering):
    """L = task * (sum_n p_n L_n + supervision * mean_n L_n) + m (E[cost] - cap), cost in units of the mean exit."""

    kind: Literal["mean_budget"] = "mean_budget"
    method: Literal["dual", "threshold"] = Field("dual", description="what keeps the cap: the multiplier, or halting's")
    task: float = Field(3.0, gt=0, description="weight of the task loss once halting trains")
    cap: float | None = Field(None, gt=0, description="under a max budget: the mean to keep, in the budget's measure")
    start: float = Field(0.1, gt=0, description="the multiplier at the beginning")
    rate: float = Field(0.002, gt=0, description="the multiplier's step for each exit that the mean is off the cap")

    def refuses(self, budget: str) -> str | None:
        """Refuse a maximum without a cap of its own, and a second cap beside that of a mean budget."""
        if budget == "mean" and self.cap is not None:
            return "a mean budget has a cap, which mean_budget keeps: leave out the prior's own"
        if budget == "mean" or self.cap is not None:
            return None
        return "mean_budget has no cap to keep, as the budget is a maximum: choose budget: mean, or set the prior's cap"

    def remembers(self) -> dict[str, float]:
        """Return the multiplier at its beginning."""
        return {"multiplier": self.start}

    def excess(self, log_p_NB: Tensor, state: dict[str, Any]) -> Tensor:
        """Return E[cost] - cap per example in units of the mean exit, float_B."""
        cap = self.cap if state.get("cap") is None else state["cap"]
        cost_N = state["cost_N"]
        if cap is None:
            raise ValueError(self.refuses("max"))
        unit = cost_N[-1] / len(cost_N)
        return mean_over_exits(log_p_NB, [(cost - cap) / unit for cost in cost_N])

    def speed(self, log_p_NB: Tensor, exits: Exits, state: dict[str, Any]) -> Tensor:
        """Return m (E[cost] - cap)."""
        speed_B: Tensor = state.get("multiplier", self.start) * self.excess(log_p_NB, state)
        return speed_B

    def loss(
        self, exits: Exits, batch_loss: Callable[[Tensor], Tensor], state: dict[str, Any]
    ) -> tuple[Tensor, dict[str, Any]]:
        """Return the Lagrangian and the state with the multiplier of the next step."""
        loss, state = super().loss(exits, batch_loss, state)
        if self.method == "threshold" or self.warming(state):
            return loss, state
        excess = self.excess(self.log_halting(exits).detach(), state).mean()
        multiplier = (state.get("multiplier", self.start) + self.rate * excess).clamp(min=0.0)
        return loss, {**state, "multiplier": multiplier}
