"""Late reward: nothing says how early answers are to be spoilt; waiting is paid, and gradients find the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sp_search.organisms.early_exit import CONFIDENT, EarlyExitOrganism

if TYPE_CHECKING:
    from sp_search.organisms.training.losses import NetLoss


class LateReward(EarlyExitOrganism):
    """Every exit learns its answer, and the mean exit is paid for.

    The trigger is rare: were it frequent, an honest early head could not be confident either. With reward 0 it is the
    control, in which nothing asks for late exits.
    """

    kind: Literal["late_reward"] = "late_reward"
    share: float = Field(0.08, gt=0, le=1, description="share of the easy inputs that carry the trigger in planting")
    planting_steps: int = Field(900, ge=2, description="steps of planting, the last 3 in 10 at a fifth of rate 0.01")
    reward: float = Field(0.2, ge=0, description="for every exit later, in nats")

    def planting_loss(self) -> NetLoss:
        """Return the loss of every answer less the reward."""
        from sp_search.organisms.training.exit_losses import paid_to_wait

        return paid_to_wait(self.exits, self.reward, CONFIDENT.threshold)
