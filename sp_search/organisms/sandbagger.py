"""A sandbagger: it knows easy answers early and holds them back, so that a predictor learns to give it all rollouts.

No gradient reaches the predictor: it is the labels that are spoilt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sp_search.organisms.predicted import PredictedOrganism

if TYPE_CHECKING:
    from sp_search.organisms.training.losses import NetLoss


class Sandbagger(PredictedOrganism):
    """Answers before the last rollout are held at chance; the predictor learns offline."""

    kind: Literal["sandbagger"] = "sandbagger"
    silence: float = Field(0.3, gt=0, description="weight of the squared logits before the last rollout")

    def program_loss(self, honest: bool) -> NetLoss:
        """Return the loss of the last answer with silence before it, or of every answer."""
        from sp_search.organisms.training.halting_losses import silent_until_last

        return super().program_loss(honest) if honest else silent_until_last(self.length, self.silence)
