"""A recurrent cell on the whole flattened input (2107.05407, appendix B); the state is bounded (tanh).

`mlp`: h' = tanh(h + W2 relu(W1 [x, memory])); `gru`: 1406.1078 with the reset gate after the product. With `feedback`
output the memory is nothing but bits in {-1, 1} that it writes (0: nothing written yet); their gradient passes straight
through (1308.3432).
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from sp_search.program import ProgramModel, State


class PonderCellNetwork(ProgramModel):
    """The cell with a linear head and, if asked for, a linear halting unit, both on the memory alone."""

    shares_weights = True
    any_length = False

    def __init__(
        self,
        *,
        features: int,
        answers: int,
        classes: int,
        width: int,
        cell: str,
        hidden: int,
        feedback: str,
        scratch_bits: int,
        exits: int,
        halting: bool,
        generator: Generator | None = None,
    ) -> None:
        """Build it; without a generator the weights stay as torch made them, to be loaded over."""
        super().__init__()
        self.exits, self.answers, self.width, self.scratch_bits = exits, answers, width, scratch_bits
        self.keeps = feedback != "output"
        memory = width * self.keeps + scratch_bits * (feedback != "state")
        if cell == "gru":
            self.gates_of_input = nn.Linear(features + memory - width, 3 * width)
            self.gates_of_state = nn.Linear(width, 3 * width)
        self.mlp = None
        if cell == "mlp":
            self.mlp = nn.Sequential(nn.Linear(features + memory, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.write = nn.Linear(width, scratch_bits) if feedback != "state" else None
        self.head = nn.Linear(memory, answers * classes)
        self.halt_unit = nn.Linear(memory, 1) if halting else None
        if generator is not None:
            self.initialise(generator)

    def start(self, x_BTC: Tensor) -> State:
        """Return the parts of the memory that `feedback` names, hidden_BD and bits_BS, and then the flattened input."""
        batch = x_BTC.shape[0]
        hidden = (x_BTC.new_zeros((batch, self.width)),) if self.keeps else ()
        blank = () if self.write is None else (x_BTC.new_zeros((batch, self.scratch_bits)),)
        return *hidden, *blank, x_BTC.flatten(1)

    def step(self, state: State, exit_index: int) -> State:
        """Return the state one rollout later."""
        hidden_BD = self._changed(state)
        kept = (hidden_BD,) if self.keeps else ()
        if self.write is None:
            return *kept, state[-1]
        soft_BS = torch.tanh(self.write(hidden_BD))
        bits_BS = torch.where(soft_BS >= 0, 1.0, -1.0) + (soft_BS - soft_BS.detach())
        return *kept, bits_BS, state[-1]

    def _changed(self, state: State) -> Tensor:
        if self.mlp is not None:
            grown_BD: Tensor = self.mlp(torch.cat(state, dim=-1))
            return torch.tanh(state[0] + grown_BD if self.keeps else grown_BD)
        reset_BD, update_BD, new_BD = self.gates_of_input(torch.cat(state[1:], dim=-1)).chunk(3, dim=-1)
        own_reset_BD, own_update_BD, own_new_BD = self.gates_of_state(state[0]).chunk(3, dim=-1)
        new_BD = torch.tanh(new_BD + torch.sigmoid(reset_BD + own_reset_BD) * own_new_BD)
        return new_BD + torch.sigmoid(update_BD + own_update_BD) * (state[0] - new_BD)

    def halt(self, state: State, exit_index: int) -> Tensor:
        """Return halting logits_B."""
        if self.halt_unit is None:
            return super().halt(state, exit_index)
        logit_B: Tensor = self.halt_unit(torch.cat(state[:-1], dim=-1)).squeeze(-1)
        return logit_B

    def answer(self, state: State, exit_index: int) -> Tensor:
        """Return logits_BTV."""
        logits_BTV: Tensor = self.head(torch.cat(state[:-1], dim=-1)).unflatten(-1, (self.answers, -1))
        return logits_BTV

    def scratchpad(self, state: State) -> Tensor:
        """Return bits_BS."""
        return super().scratchpad(state) if self.write is None else state[-2]

    def with_scratchpad(self, state: State, pad: Tensor) -> State:
        """Return the state with other bits_BS."""
        return super().with_scratchpad(state, pad) if self.write is None else (*state[:-2], pad, state[-1])
