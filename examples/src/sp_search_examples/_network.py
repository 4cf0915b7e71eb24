"""The network: an exported program carries this file, so it imports torch and sp_search.program alone."""

import torch
from torch import Generator, Tensor, nn

from sp_search.program import ProgramModel, State


class ReaderNetwork(ProgramModel):
    """h' = tanh(W [h, x_n]); the state is h and, unchanged, x. An exported program gives no generator, but weights."""

    shares_weights = True

    def __init__(
        self, *, channels: int, answers: int, classes: int, width: int, exits: int, halting: bool,
        generator: Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.exits, self.answers, self.width = exits, answers, width
        self.cell = nn.Linear(width + channels, width)
        self.head = nn.Linear(width, answers * classes)
        self.halt_unit = nn.Linear(width, 1) if halting else None
        if generator is not None:
            self.initialise(generator)

    def start(self, x_BTC: Tensor) -> State:
        return x_BTC.new_zeros((len(x_BTC), self.width)), x_BTC

    def step(self, state: State, exit_index: int) -> State:
        hidden_BD, x_BTC = state
        read_BC = x_BTC[:, (exit_index - 1) % x_BTC.shape[1]]
        return torch.tanh(self.cell(torch.cat([hidden_BD, read_BC], dim=-1))), x_BTC

    def halt(self, state: State, exit_index: int) -> Tensor:
        logit_B: Tensor = self.halt_unit(state[0]).squeeze(-1) if self.halt_unit else super().halt(state, exit_index)
        return logit_B

    def answer(self, state: State, exit_index: int) -> Tensor:
        logits_BTV: Tensor = self.head(state[0]).unflatten(-1, (self.answers, -1))
        return logits_BTV
