"""Part `none`: no preference; the program answers at its last exit. With a `max` budget the cap itself is the prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from sp_search.pricing import HaltingRule
from sp_search.priors.base import SpeedPrior

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from sp_search.program import Exits


class NoPrior(SpeedPrior):
    """Task loss at exit N alone."""

    kind: Literal["none"] = "none"

    def needs_every_exit(self) -> bool:
        """Return False: the loss reads exit N."""
        return False

    def rule(self) -> HaltingRule:
        """Return the rule `last`."""
        return HaltingRule("last")

    def halting(self, exits: Exits) -> Tensor:
        """Return p_NB with all mass on exit N."""
        import torch

        count, batch = exits.logits_NBTV.shape[:2]
        last_N1 = torch.arange(count, device=exits.logits_NBTV.device)[:, None] == count - 1
        return last_N1.expand(count, batch).to(exits.logits_NBTV.dtype)

    def loss(
        self, exits: Exits, batch_loss: Callable[[Tensor], Tensor], state: dict[str, Any]
    ) -> tuple[Tensor, dict[str, Any]]:
        """Return the mean task loss at exit N."""
        return batch_loss(exits.logits_NBTV[-1]).mean(), state
