"""Part `deep_supervision`: every exit learns the task alike, and the program stops where it is confident (1709.01686).

It prefers nothing by itself; under a mean budget the confidence threshold is calibrated to the cap afterwards.
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


class DeepSupervision(SpeedPrior):
    """Mean task loss over all exits; halts at the first exit whose least confident position reaches `threshold`."""

    kind: Literal["deep_supervision"] = "deep_supervision"
    threshold: float = Field(0.9, gt=0, lt=1, description="confidence (largest softmax) at which it stops")

    def rule(self) -> HaltingRule:
        """Return the rule `confidence`."""
        return HaltingRule("confidence", self.threshold)

    def halting(self, exits: Exits) -> Tensor:
        """Return p_NB: all mass on the first exit that is confident, else on N."""
        import torch

        confidence_NB = exits.logits_NBTV.softmax(-1).amax(-1).amin(-1)
        exit_B = (confidence_NB[:-1] < self.threshold).long().cumprod(0).sum(0)
        return torch.nn.functional.one_hot(exit_B, len(confidence_NB)).T.to(confidence_NB.dtype)

    def loss(
        self, exits: Exits, batch_loss: Callable[[Tensor], Tensor], state: dict[str, Any]
    ) -> tuple[Tensor, dict[str, Any]]:
        """Return the task loss, averaged over exits and examples."""
        import torch

        return torch.stack([batch_loss(logits_BTV).mean() for logits_BTV in exits.logits_NBTV]).mean(), state
