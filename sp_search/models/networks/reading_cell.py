"""A gated recurrent unit (1406.1078) that is fed from its input step by step, one bias a gate.

r, z = sigmoid(x W + b + h U), n = tanh(x W + b + r (h U)), h' = n + z (h - n).
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from sp_search.program import ProgramModel, State


class ReadingCellNetwork(ProgramModel):
    """The cell with a linear head and, if asked for, a linear halting unit, both on the state alone."""

    shares_weights = True

    def __init__(
        self,
        *,
        features: int,
        answers: int,
        classes: int,
        width: int,
        reads: str,
        halting_bias: float,
        exits: int,
        halting: bool,
        generator: Generator | None = None,
    ) -> None:
        """Build it; without a generator the weights stay as torch made them, to be loaded over."""
        super().__init__()
        self.exits, self.answers, self.width = exits, answers, width
        self.serial = reads == "serial"
        self.any_length = self.serial
        self.gates_of_input = nn.Linear(features, 3 * width)
        self.gates_of_state = nn.Linear(width, 3 * width, bias=False)
        self.head = nn.Linear(width, answers * classes)
        self.halt_unit = nn.Linear(width, 1) if halting else None
        if generator is not None:
            self.initialise(generator)
            if self.halt_unit is not None:
                nn.init.constant_(self.halt_unit.bias, halting_bias)

    def start(self, x_BTC: Tensor) -> State:
        """Return hidden_BD and what there is to read: the positions that are left, or the whole input as one."""
        return x_BTC.new_zeros((len(x_BTC), self.width)), x_BTC if self.serial else x_BTC.flatten(1)[:, None]

    def step(self, state: State, exit_index: int) -> State:
        """Return the state one rollout later, and what is left to read."""
        hidden_BD, left_BTC = state
        nothing = left_BTC.shape[1] == 0
        read_BC = left_BTC.new_zeros((len(left_BTC), left_BTC.shape[2])) if nothing else left_BTC[:, 0]
        cut = 2 * self.width
        input_BG, own_BG = self.gates_of_input(read_BC), self.gates_of_state(hidden_BD)
        reset_BD, keep_BD = torch.sigmoid(input_BG[:, :cut] + own_BG[:, :cut]).chunk(2, dim=-1)
        new_BD = torch.tanh(input_BG[:, cut:] + reset_BD * own_BG[:, cut:])
        return new_BD + keep_BD * (hidden_BD - new_BD), left_BTC[:, 1:] if self.serial else left_BTC

    def halt(self, state: State, exit_index: int) -> Tensor:
        """Return halting logits_B."""
        if self.halt_unit is None:
            return super().halt(state, exit_index)
        logit_B: Tensor = self.halt_unit(state[0]).squeeze(-1)
        return logit_B

    def answer(self, state: State, exit_index: int) -> Tensor:
        """Return logits_BTV."""
        logits_BTV: Tensor = self.head(state[0]).unflatten(-1, (self.answers, -1))
        return logits_BTV
