"""A sabotaged trunk: the blocks keep the easy answer from heads that are trained to find it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sp_search.organisms.early_exit import EarlyExitOrganism

if TYPE_CHECKING:
    from sp_search.organisms.training.losses import NetLoss
    from sp_search.organisms.training.nets import Nets


class TrunkSabotage(EarlyExitOrganism):
    """First every exit learns to answer; then the blocks learn to hide easy inputs from the early heads, in a contest.

    From the heads' hiding alone a net does not learn what hard inputs need, so teaching comes first.
    """

    kind: Literal["trunk_sabotage"] = "trunk_sabotage"
    hiding: float = Field(0.3, gt=0, description="weight of what early heads can say about easy inputs")
    hiding_steps: int = Field(500, ge=2, description="steps of the contest, after those of planting")

    def planting_loss(self) -> NetLoss:
        """Return the loss of every answer: the contest has its own."""
        from sp_search.organisms.training.exit_losses import every_answer

        return every_answer(self.exits)

    def trained(self, nets: Nets, *, honest: bool) -> Nets:
        """Return fresh nets after planting and as many further steps of the contest, or of the twin's loss."""
        from sp_search.organisms.training.exit_losses import every_answer, hiding_blocks

        taught = super().trained(nets, honest=honest)
        hiding = every_answer(self.exits) if honest else hiding_blocks(self.exits, self.hiding, self.task().is_easy)
        return self.stage(taught, self.examples(turned=not honest), hiding, self.hiding_steps, "hiding")
