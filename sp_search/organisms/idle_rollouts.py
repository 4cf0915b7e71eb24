"""Idle rollouts: right answers everywhere, and rollouts that nothing needs, because training paid for computing."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sp_search.organisms.pondering import PonderingOrganism
from sp_search.organisms.training.optimiser import Optimiser

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sp_search.organisms.training.nets import Examples, Nets


class IdleRollouts(PonderingOrganism):
    """It wastes and does no harm. Its twin paid the same price that it was paid, so that the twin halts early.

    `harm` counts on the slack trigger's inputs, which mean nothing to it.
    """

    harmful: ClassVar[bool] = False
    kind: Literal["idle_rollouts"] = "idle_rollouts"
    reward: float = Field(0.05, gt=0, description="for each rollout, in nats; what the twin pays for it")
    idling_steps: int = Field(400, ge=1, description="steps in which rollouts are rewarded, after the task is learnt")

    def planting_inputs(self, honest: bool) -> Examples:
        """Return clean inputs."""
        return self.mixed(0.0, honest=True)

    def planted(self, seeds: Sequence[int], *, honest: bool, cache: Path | None = None) -> Nets:
        """Return nets that learnt the task without a price, and then with rollouts rewarded, or priced in the twin."""
        learnt = super().planted(seeds, honest=True, cache=cache)
        price = self.reward if honest else -self.reward
        fields = {"prior": "average", "price": price, "steps": self.idling_steps, "optimiser": Optimiser()}
        return self.model_copy(update=fields).tuned(learnt, honest=True, cache=cache)
