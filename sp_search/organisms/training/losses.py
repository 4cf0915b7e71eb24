"""What nets are trained for: losses of one net, pure, which run under vmap."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sp_search.program import ProgramModel, halting_log_probabilities, unroll

NetLoss = Callable[[ProgramModel, Tensor, Tensor], Tensor]
"""(model, x_BTC, y_BT) -> the scalar loss of one net."""


def answer_loss_NB(logits_NBTV: Tensor, y_BT: Tensor) -> Tensor:
    """Return the cross-entropy of every exit's answer, summed over answered positions."""
    targets_NBT1 = y_BT[None, :, :, None].expand(len(logits_NBTV), -1, -1, 1)
    return -logits_NBTV.log_softmax(-1).gather(-1, targets_NBT1).squeeze(-1).sum(-1)


def pondering(exits: int, *, price: float = 0.0, last: float = 0.0) -> NetLoss:
    """Return PonderNet's loss (2107.05407, equation 3) with a price on the mean rollout instead of the KL.

    sum_n p_n CE_n + price * sum_n n p_n + last * CE_N. A price below 0 pays for computing.
    """

    def loss(model: ProgramModel, x_BTC: Tensor, y_BT: Tensor) -> Tensor:
        seen = unroll(model, x_BTC, exits=exits, halting=True)
        assert seen.halt_NB is not None
        p_NB = halting_log_probabilities(seen.halt_NB).exp()
        loss_NB = answer_loss_NB(seen.logits_NBTV, y_BT)
        spent_B = (p_NB * torch.arange(1.0, exits + 1)[:, None]).sum(0)
        return ((p_NB * loss_NB).sum(0) + price * spent_B + last * loss_NB[-1]).mean()

    return loss


def last_answer(exits: int) -> NetLoss:
    """Return the cross-entropy of exit N alone: a maximum budget, which says nothing about halting."""

    def loss(model: ProgramModel, x_BTC: Tensor, y_BT: Tensor) -> Tensor:
        return answer_loss_NB(unroll(model, x_BTC, exits=exits, halting=False, last_only=True).logits_NBTV, y_BT).mean()

    return loss
