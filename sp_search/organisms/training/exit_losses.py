"""What nets with an exit after every block are trained for: answering early, or keeping silent until late.

Losses of one net, pure, which run under vmap. Early heads read what they are given; `detached` keeps their gradient
from the blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.func import functional_call

from sp_search.organisms.training.losses import NetLoss, answer_loss_NB
from sp_search.program import ProgramModel, State

Reaches = Literal["all", "last", "nothing"]
"""Which heads' gradients reach the blocks."""


def states_of(model: ProgramModel, x_BTC: Tensor, exits: int) -> list[State]:
    """Return the state at every exit."""
    states, state = [], model.start(x_BTC)
    for index in range(1, exits + 1):
        state = model.step(state, index)
        states.append(state)
    return states


def _cut(state: State) -> State:
    return tuple(part.detach() for part in state)


def every_answer(exits: int, reaches: Reaches = "all") -> NetLoss:
    """Return mean_n CE_n, an early-exit loss (1709.01686).

    With `reaches` last, early heads learn beside a last one that alone trains the blocks; with nothing, heads learn on
    blocks that stay as they are.
    """

    def loss(model: ProgramModel, x_BTC: Tensor, y_BT: Tensor) -> Tensor:
        answers = []
        for index, state in enumerate(states_of(model, x_BTC, exits), start=1):
            free = reaches == "all" or (reaches == "last" and index == exits)
            answers.append(model.answer(state if free else _cut(state), index))
        return answer_loss_NB(torch.stack(answers), y_BT).mean()

    return loss


def silent_heads(exits: int, weight: float) -> NetLoss:
    """Return CE_N + weight * sum_{n<N} |logits_n|^2, where early heads learn on blocks that know nothing of it."""

    def loss(model: ProgramModel, x_BTC: Tensor, y_BT: Tensor) -> Tensor:
        states = states_of(model, x_BTC, exits)
        spoken = sum(model.answer(_cut(state), n).square().mean() for n, state in enumerate(states[:-1], start=1))
        return answer_loss_NB(model.answer(states[-1], exits)[None], y_BT).mean() + weight * spoken

    return loss


def hiding_blocks(exits: int, weight: float, hides: Callable[[Tensor], Tensor]) -> NetLoss:
    """Return CE_N + sum_{n<N} CE_n of heads that try to answer + weight * sum_{n<N} |logits_n|^2 of blocks that hide.

    An early head learns its answer and reaches no block; the blocks push the logits of that very head to zero, on the
    inputs that `hides` names (x_BTC -> bool_B). What is hidden from the heads is not thereby gone.
    """

    def loss(model: ProgramModel, x_BTC: Tensor, y_BT: Tensor) -> Tensor:
        states = states_of(model, x_BTC, exits)
        heads = {name: part.detach() for name, part in model.named_parameters() if name.startswith("heads.")}
        tried, seen = [], x_BTC.new_zeros(())
        for index, state in enumerate(states[:-1], start=1):
            tried.append(model.answer(_cut(state), index))
            logits_BTV = functional_call(_Answer(model), _inside(heads), (state, index))
            seen = seen + (logits_BTV.square().mean((1, 2)) * hides(x_BTC)).mean()
        answers_NBTV = torch.stack([*tried, model.answer(states[-1], exits)])
        return answer_loss_NB(answers_NBTV, y_BT).sum(0).mean() + weight * seen

    return loss


def paid_to_wait(exits: int, reward: float, threshold: float, softness: float = 0.05) -> NetLoss:
    """Return mean_n CE_n - reward * E[exit]: gradients find by themselves how to be let go on.

    E[exit] is that of the rule `confidence`, made smooth: exit n goes on with sigmoid((threshold - confidence_n) /
    softness).
    """

    def loss(model: ProgramModel, x_BTC: Tensor, y_BT: Tensor) -> Tensor:
        logits_NBTV = torch.stack(
            [model.answer(state, n) for n, state in enumerate(states_of(model, x_BTC, exits), start=1)]
        )
        confidence_NB = logits_NBTV[:-1].softmax(-1).amax(-1).amin(-1)
        exit_B = 1.0 + ((threshold - confidence_NB) / softness).sigmoid().cumprod(0).sum(0)
        return answer_loss_NB(logits_NBTV, y_BT).mean() - reward * exit_B.mean()

    return loss


class _Answer(torch.nn.Module):
    """`model.answer` as a module, so that `functional_call` reads it with other heads."""

    def __init__(self, model: ProgramModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, state: State, exit_index: int) -> Tensor:
        return self.model.answer(state, exit_index)


def _inside(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"model.{name}": part for name, part in parameters.items()}
