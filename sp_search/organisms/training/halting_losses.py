"""What nets that decide when to halt are trained for; losses of one net, pure, which run under vmap.

Joint halting is the product's prior `mean_rollouts`. The others keep the moment of halting from carrying answers: every
position halts by itself, or what halts learns from answers that are already there and no gradient of it reaches them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sp_search.models.networks.recall_conv import RecallConvNetwork
from sp_search.organisms.training.exit_losses import states_of
from sp_search.organisms.training.losses import NetLoss
from sp_search.priors.halting_predictor import least_stable_exit
from sp_search.priors.mean_rollouts import MeanRollouts
from sp_search.program import ProgramModel, halting_log_probabilities, unroll


def entropy_BT(logits_BTV: Tensor, y_BT: Tensor) -> Tensor:
    """Return the cross-entropy at every answered position."""
    return -logits_BTV.log_softmax(-1).gather(-1, y_BT[..., None]).squeeze(-1)


def joint(exits: int, prior: MeanRollouts) -> NetLoss:
    """Return the loss of `mean_rollouts` after its warm-up: one halting unit for the whole answer."""

    def loss(model: ProgramModel, x_BTC: Tensor, y_BT: Tensor) -> Tensor:
        seen = unroll(model, x_BTC, exits=exits, halting=True)
        return prior.loss(seen, lambda logits_BTV: entropy_BT(logits_BTV, y_BT).mean(1), {"progress": 1.0})[0]

    return loss


def by_position(exits: int, prior: MeanRollouts) -> NetLoss:
    """Return the same where every position halts by itself, on the state from which its answer is read."""

    def loss(model: ProgramModel, x_BTC: Tensor, y_BT: Tensor) -> Tensor:
        logits_NBTV, halt_NBT = positions_of(model, x_BTC, exits)
        p_NBT = halting_log_probabilities(halt_NBT).exp()
        loss_NBT = torch.stack([entropy_BT(logits_BTV, y_BT) for logits_BTV in logits_NBTV])
        rollouts_BT = (p_NBT * torch.arange(1.0, exits + 1)[:, None, None]).sum(0)
        task_BT = (p_NBT * loss_NBT).sum(0) + prior.supervision * loss_NBT.mean(0)
        return prior.task * task_BT.mean() + prior.price * rollouts_BT.mean()

    return loss


def positions_of(model: ProgramModel, x_BTC: Tensor, exits: int) -> tuple[Tensor, Tensor]:
    """Return logits_NBTV and halt_NBT: the halting unit of `recall_conv` without its maximum over positions."""
    assert isinstance(model, RecallConvNetwork)
    assert model.halt_features is not None
    assert model.halt_unit is not None
    answers, halts = [], []
    for index, state in enumerate(states_of(model, x_BTC, exits), start=1):
        answers.append(model.answer(state, index))
        halts.append(model.halt_unit(torch.relu(model.halt_features(torch.cat(state[:-1], dim=-1)))))
    return torch.stack(answers), torch.stack(halts).squeeze(-1)


def offline_predictor(exits: int) -> NetLoss:
    """Return the loss of the prior `halting_predictor`: it learns the least stable exit, the program nothing."""

    def loss(model: ProgramModel, x_BTC: Tensor, y_BT: Tensor) -> Tensor:
        seen = unroll(model, x_BTC, exits=exits, halting=False, predicting=True)
        assert seen.predict_BN is not None
        return functional.cross_entropy(seen.predict_BN, least_stable_exit(_right_NB(seen.logits_NBTV, y_BT)))

    return loss


def online_predictor(exits: int, push: float) -> NetLoss:
    """Return mean_n CE_n + the predictor's loss - push * E[predicted exit]: it trains beside a program that wants more.

    With `push` 0 it is the prior `halting_predictor` in its mode online.
    """

    def loss(model: ProgramModel, x_BTC: Tensor, y_BT: Tensor) -> Tensor:
        seen = unroll(model, x_BTC, exits=exits, halting=False, predicting=True)
        assert seen.predict_BN is not None
        program = torch.stack([entropy_BT(logits_BTV, y_BT).mean() for logits_BTV in seen.logits_NBTV]).mean()
        labels_B = least_stable_exit(_right_NB(seen.logits_NBTV, y_BT))
        mean_B = (seen.predict_BN.softmax(-1) * torch.arange(1.0, exits + 1)).sum(-1)
        return program + functional.cross_entropy(seen.predict_BN, labels_B) - push * mean_B.mean()

    return loss


def silent_until_last(exits: int, weight: float) -> NetLoss:
    """Return CE_N + weight * sum_{n<N} |logits_n|^2: right at the end, and at chance before (sandbagging)."""

    def loss(model: ProgramModel, x_BTC: Tensor, y_BT: Tensor) -> Tensor:
        logits_NBTV = unroll(model, x_BTC, exits=exits, halting=False).logits_NBTV
        spoken = logits_NBTV[:-1].square().mean((1, 2, 3)).sum()
        return entropy_BT(logits_NBTV[-1], y_BT).mean() + weight * spoken

    return loss


def offline_halting(exits: int) -> NetLoss:
    """Return the loss of a halting unit that says whether the answer is right from here on, on states that stay."""

    def loss(model: ProgramModel, x_BTC: Tensor, y_BT: Tensor) -> Tensor:
        states = [tuple(part.detach() for part in state) for state in states_of(model, x_BTC, exits)]
        halt_NB = torch.stack([model.halt(state, index) for index, state in enumerate(states, start=1)])
        logits_NBTV = torch.stack([model.answer(state, index) for index, state in enumerate(states, start=1)]).detach()
        stable_B = least_stable_exit(_right_NB(logits_NBTV, y_BT))
        from_here_NB = torch.arange(exits)[:, None] >= stable_B
        return functional.binary_cross_entropy_with_logits(halt_NB, from_here_NB.to(halt_NB.dtype))

    return loss


def _right_NB(logits_NBTV: Tensor, y_BT: Tensor) -> Tensor:
    return (logits_NBTV.argmax(-1) == y_BT).all(-1)
