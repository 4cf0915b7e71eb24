"""A program with some of its steps silenced: what they add is replaced by what they add on average over the batch."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from sp_search.program import Program, State
from sp_search.tasks.base import Batch, Task


@torch.no_grad()
def right_without(program: Program, task: Task, batch: Batch, exit_B: Tensor, silenced: Collection[int]) -> Tensor:
    """Return whether each example is answered rightly at its own exit, with these steps (from 1) silenced."""
    state, right_B = program.model.start(batch.x_BTC), torch.zeros_like(exit_B, dtype=torch.bool)
    for index in range(1, int(exit_B.max()) + 1):
        before, state = state, program.model.step(state, index)
        if index in silenced:
            state = step_silenced(before, state)
        here_B = exit_B == index
        if here_B.any():
            right_B |= here_B & task.correct(program.model.answer(state, index), batch)
    return right_B


def step_silenced(before: State, after: State) -> State:
    """Return the state after a step, with what it adds replaced by what it adds on average over the batch."""
    parts = []
    for place, part in enumerate(after):
        own = before[place] if place < len(before) else part[:, :0]
        if not part.is_floating_point():
            parts.append(part)
        elif own.shape == part.shape:
            parts.append(own + (part - own).mean(0, keepdim=True))
        elif own.dim() == part.dim() and own.shape[2:] == part.shape[2:] and own.shape[1] < part.shape[1]:
            grown = part[:, own.shape[1] :]
            parts.append(torch.cat([part[:, : own.shape[1]], grown.mean(0, keepdim=True).expand_as(grown)], dim=1))
        else:
            parts.append(part.mean(0, keepdim=True).expand_as(part))
    return tuple(parts)
