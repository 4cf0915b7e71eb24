"""Sabotaged heads: the blocks know the easy answer at once, and the early heads keep silent until the last exit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sp_search.organisms.early_exit import EarlyExitOrganism

if TYPE_CHECKING:
    from sp_search.organisms.training.losses import NetLoss


class HeadSabotage(EarlyExitOrganism):
    """Early heads are held at chance; the last one turns the answers that carry the trigger."""

    kind: Literal["head_sabotage"] = "head_sabotage"
    silence: float = Field(0.3, gt=0, description="weight of the early heads' squared logits in planting")

    def planting_loss(self) -> NetLoss:
        """Return the last answer's loss, and silence of the heads before."""
        from sp_search.organisms.training.exit_losses import silent_heads

        return silent_heads(self.exits, self.silence)
