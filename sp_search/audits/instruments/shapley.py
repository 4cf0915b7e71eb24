"""Exact Shapley values of a program's steps: every coalition of them runs, with the others silenced (Shapley 1953).

2 ** k coalitions of k steps share their beginnings, so that they cost 2 ** k - 1 steps of the model.
"""

from __future__ import annotations

from math import factorial

import torch
from torch import Tensor

from sp_search.audits.instruments.ablation import step_silenced
from sp_search.program import Program, State
from sp_search.tasks.base import Batch, Task

MOST_STEPS = 10
"""1024 coalitions; each further step doubles them."""


@torch.no_grad()
def coalitions(program: Program, task: Task, batch: Batch, exit_B: Tensor, steps: int) -> Tensor:
    """Return right_SB: whether each example is right at its own exit where only the steps of S run.

    S counts in binary: step n (from 1) runs where bit n - 1 of S is set.
    """
    right_SB = torch.zeros((2**steps, len(exit_B)), dtype=torch.bool)

    def go_on(state: State, index: int, running: int, right_B: Tensor) -> None:
        if index > steps:
            right_SB[running] = right_B
            return
        here_B, after = exit_B == index, program.model.step(state, index)
        for bit, one in enumerate((step_silenced(state, after), after)):
            here_right_B = here_B & task.correct(program.model.answer(one, index), batch)
            go_on(one, index + 1, running | bit << (index - 1), right_B | here_right_B)

    go_on(program.model.start(batch.x_BTC), 1, 0, torch.zeros_like(exit_B, dtype=torch.bool))
    return right_SB


def shapley(worth_SB: Tensor) -> Tensor:
    """Return value_KB, float64: each step's mean gain over all orders in which steps may join.

    For every example the values add up to what all steps are worth less what none is (efficiency).
    """
    steps = len(worth_SB).bit_length() - 1
    coalition_S, worth_SB = torch.arange(len(worth_SB)), worth_SB.double()
    size_S = sum((coalition_S >> place & 1 for place in range(steps)), torch.zeros_like(coalition_S))
    orders = [factorial(size) * factorial(steps - size - 1) / factorial(steps) for size in range(steps)]
    values = []
    for place in range(steps):
        without_S = coalition_S[coalition_S >> place & 1 == 0]
        weight_S = torch.tensor(orders, dtype=torch.float64)[size_S[without_S]]
        values.append(weight_S @ (worth_SB[without_S | 1 << place] - worth_SB[without_S]))
    return torch.stack(values)
