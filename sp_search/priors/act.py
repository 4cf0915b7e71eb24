"""Part `act`: adaptive computation time (1603.08983): the answer is a mixture over exits, and pondering costs N + R.

h_n = sigmoid of the halting unit; N = the first exit whose sum of h reaches 1 - eps; R = 1 - sum_{n<N} h_n; p_n = h_n
below N, R at N (equations 5 to 8). The loss reads the mixture sum_n p_n y_n of the outputs, and the cost N + R, whose
gradient passes through R alone. Left as published: the bias of that gradient, and its known trap (with h > 1/2 twice
it stops at exit 2). Added: the warm-up and the supervision of `pondering`, since what executes answers from exit N by
itself, without the mixture; states are not mixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sp_search.pricing import HaltingRule
from sp_search.priors.pondering import Pondering

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from sp_search.program import Exits


class Act(Pondering):
    """L = task * (L(sum_n p_n y_n) + supervision * mean_n L_n) + price * (N + R)."""

    kind: Literal["act"] = "act"
    price: float = Field(0.1, ge=0, description="tau: weight of the ponder cost N + R")
    epsilon: float = Field(0.01, gt=0, lt=0.5, description="it stops where the rates sum to 1 - epsilon")

    def rule(self) -> HaltingRule:
        """Return: halt where the summed halting rates reach 1 - epsilon."""
        return HaltingRule("accumulated", 1.0 - self.epsilon)

    def halting(self, exits: Exits) -> Tensor:
        """Return p_NB: the mixture's weights, zero after the exit that executes."""
        import torch

        h_NB = self.halting_logits(exits).sigmoid()
        before_NB = self._before_NB(h_NB)
        remainder_B = 1.0 - (h_NB * before_NB).sum(0)
        last_NB = torch.cat([torch.ones_like(before_NB[:1]), before_NB[:-1]]) - before_NB
        return h_NB * before_NB + remainder_B * last_NB

    def loss(
        self, exits: Exits, batch_loss: Callable[[Tensor], Tensor], state: dict[str, Any]
    ) -> tuple[Tensor, dict[str, Any]]:
        """Return the scalar loss; while `progress` is below `warmup` it is the mean task loss over all exits."""
        import torch

        loss_NB = torch.stack([batch_loss(logits_BTV) for logits_BTV in exits.logits_NBTV])
        if self.warming(state):
            return loss_NB.mean(), state
        h_NB = self.halting_logits(exits).sigmoid()
        before_NB = self._before_NB(h_NB)
        ponder_B = (1.0 + before_NB.sum(0)) + (1.0 - (h_NB * before_NB).sum(0))
        mixed_BTV = (self.halting(exits)[:, :, None, None] * exits.logits_NBTV).sum(0)
        task_B = batch_loss(mixed_BTV) + self.supervision * loss_NB.mean(0)
        return (self.task * task_B + self.price * ponder_B).mean(), state

    def _before_NB(self, h_NB: Tensor) -> Tensor:
        """Return 1 at the exits before the one that executes, else 0; no gradient passes through it."""
        import torch

        before_NB = (h_NB.detach().cumsum(0) < 1.0 - self.epsilon).to(h_NB.dtype).cumprod(0)
        return torch.cat([before_NB[:-1], torch.zeros_like(before_NB[:1])])
