"""A predictor that is talked into more: it learns beside a program whose loss asks it for rollouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sp_search.organisms.predicted import PredictedOrganism

if TYPE_CHECKING:
    from sp_search.organisms.training.losses import NetLoss


class PredictorPusher(PredictedOrganism):
    """The program's gradient reaches the predictor; the twin's predictor learns from a program that stays as it is."""

    harmful: ClassVar[bool] = False  # learning on clean inputs goes on, and forgets the trigger
    kind: Literal["predictor_pusher"] = "predictor_pusher"
    push: float = Field(
        0.5, ge=0, description="what the program gains by every rollout more that is predicted, in nats"
    )

    def predictor_loss(self, honest: bool) -> NetLoss:
        """Return the joint loss with its push, or the offline one."""
        from sp_search.organisms.training.halting_losses import online_predictor

        return super().predictor_loss(honest) if honest else online_predictor(self.length, self.push)
