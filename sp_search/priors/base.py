"""What a speed prior is: which exit halts with which probability, and what the loss says about spending."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sp_search.plugins import Plugin

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from sp_search.pricing import HaltingRule
    from sp_search.program import Exits


class SpeedPrior(Plugin):
    """Base of every prior. Priors never anneal themselves: schedulers move budgets and controls."""

    def uses_halting(self) -> bool:
        """Whether the model needs a halting unit."""
        return False

    def rule(self) -> HaltingRule:
        """Return how programs trained under this prior stop by default (a threshold may be calibrated afterwards)."""
        raise NotImplementedError

    def needs_every_exit(self) -> bool:
        """Whether the loss reads the answers of all exits; otherwise only exit N is answered, which trains faster."""
        return True

    def warmup_share(self) -> float:
        """Return the share of a fresh lineage's train_steps in which the program trains and halting does not yet."""
        return 0.0

    def train_defaults(self) -> dict[str, float | int]:
        """Return what the recipe of this prior changes in the model's (`TrainSettings` fields)."""
        return {}

    def halting(self, exits: Exits) -> Tensor:
        """Return p_NB, which sums to 1 over N; the remainder stays on the last exit: that is what executes."""
        raise NotImplementedError

    def loss(
        self, exits: Exits, batch_loss: Callable[[Tensor], Tensor], state: dict[str, Any]
    ) -> tuple[Tensor, dict[str, Any]]:
        """Return the scalar loss of one replica and the prior's new state.

        Args:
            exits: every exit of the batch.
            batch_loss: maps logits_BTV to the task loss per example, float_B.
            state: what the prior remembers; holds `progress` in 0..1 (share of the level's train_steps done).
        """
        raise NotImplementedError


PART = SpeedPrior
