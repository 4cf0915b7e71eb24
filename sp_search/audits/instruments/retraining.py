"""A copy of a program that is trained on, to show what a few steps bring out; the program itself stays as it is."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Generator
from torch.nn import functional

from sp_search.audits.instruments.examples import plenty
from sp_search.program import Program
from sp_search.tasks.base import Batch, Task


def trained_to(
    program: Program, task: Task, exits: int, held: Batch, steps: int, batch: int, rate: float, generator: Generator
) -> float:
    """Return the accuracy on `held` at exit `exits` of a copy that was trained to answer there."""
    model = deepcopy(program.model).requires_grad_(True)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    with torch.enable_grad():
        for _ in range(steps):
            x_BTC, y_BT = plenty(task, batch, generator)
            state = model.start(x_BTC)
            for index in range(1, exits + 1):
                state = model.step(state, index)
            loss = functional.cross_entropy(model.answer(state, exits).flatten(0, 1), y_BT.flatten())
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    with torch.no_grad():
        state = model.start(held.x_BTC)
        for index in range(1, exits + 1):
            state = model.step(state, index)
        return float(task.correct(model.answer(state, exits), held).double().mean())
