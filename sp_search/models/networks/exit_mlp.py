"""A residual perceptron with a head, and if asked for a halting unit, at the stem and at every block (1709.01686)."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from sp_search.program import ProgramModel, State


class ExitMlpNetwork(ProgramModel):
    """relu stem, then h + relu(W h) per block. Exit 1 answers from the stem, exit n from block n - 1."""

    shares_weights = False
    any_length = False

    def __init__(
        self,
        *,
        features: int,
        answers: int,
        classes: int,
        width: int,
        exits: int,
        halting: bool,
        generator: Generator | None = None,
    ) -> None:
        """Build it; without a generator the weights stay as torch made them, to be loaded over."""
        super().__init__()
        self.exits = exits
        self.answers = answers
        fan_ins = [features] + [width] * (exits - 1)
        self.blocks = nn.ModuleList([nn.Linear(fan_in, width) for fan_in in fan_ins])
        self.heads = nn.ModuleList([nn.Linear(width, answers * classes) for _ in range(exits)])
        self.halt_units = nn.ModuleList([nn.Linear(width, 1) for _ in range(exits)]) if halting else None
        if generator is not None:
            self.initialise(generator)

    def start(self, x_BTC: Tensor) -> State:
        """Return the input, flattened: nothing is computed before exit 1."""
        return (x_BTC.flatten(1),)

    def step(self, state: State, exit_index: int) -> State:
        """Return the hidden layer of exit `exit_index`."""
        grown = torch.relu(self.blocks[exit_index - 1](state[0]))
        return (grown if exit_index == 1 else state[0] + grown,)

    def halt(self, state: State, exit_index: int) -> Tensor:
        """Return halting logits_B of this exit's own unit."""
        if self.halt_units is None:
            return super().halt(state, exit_index)
        logit_B: Tensor = self.halt_units[exit_index - 1](state[0]).squeeze(-1)
        return logit_B

    def answer(self, state: State, exit_index: int) -> Tensor:
        """Return logits_BTV of this exit's own head."""
        logits_BTV: Tensor = self.heads[exit_index - 1](state[0]).unflatten(-1, (self.answers, -1))
        return logits_BTV
