"""A gated recurrent unit (1406.1078) that is fed from its input step by step, one bias a gate.

r, z = sigmoid(x W + b + h U), n = tanh(x W + b + r (h U)), h' = n + z (h - n). With `feedback` output h' is rounded to
bits in {-1, 1} before anything reads it (0: nothing written yet); their gradient passes straight through (1308.3432).
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
        feedback: str = "state",
        episode: int = 1,
        generator: Generator | None = None,
    ) -> None:
        """Build it; without a generator the weights stay as torch made them, to be loaded over."""
        super().__init__()
        self.exits, self.answers, self.width = exits, answers, width
        self.serial = reads == "serial"
        self.any_length = self.serial
        self.writes, self.episode = feedback == "output", episode
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
        hidden_BD = x_BTC.new_zeros((x_BTC.shape[0], self.width)) if self.episode == 1 else self._left_behind(x_BTC)
        return hidden_BD, x_BTC if self.serial else x_BTC.flatten(1)[:, None]

    def step(self, state: State, exit_index: int) -> State:
        """Return the state one rollout later, and what is left to read."""
        hidden_BD, left_BTC = state
        nothing = left_BTC.shape[1] == 0
        read_BC = left_BTC.new_zeros((left_BTC.shape[0], left_BTC.shape[2])) if nothing else left_BTC[:, 0]
        cut = 2 * self.width
        input_BG, own_BG = self.gates_of_input(read_BC), self.gates_of_state(hidden_BD)
        reset_BD, keep_BD = torch.sigmoid(input_BG[:, :cut] + own_BG[:, :cut]).chunk(2, dim=-1)
        new_BD = torch.tanh(input_BG[:, cut:] + reset_BD * own_BG[:, cut:])
        hidden_BD = new_BD + keep_BD * (hidden_BD - new_BD)
        if self.writes:
            hidden_BD = torch.where(hidden_BD >= 0, 1.0, -1.0) + (hidden_BD - hidden_BD.detach())
        return hidden_BD, left_BTC[:, 1:] if self.serial else left_BTC

    def _left_behind(self, x_BTC: Tensor) -> Tensor:
        """Return hidden_BD in which every row begins: rows are inputs in order of arrival, in episodes of that many.

        A row begins as the one before it in its episode halted, which is run here to know how; the first one blank.
        """
        count = x_BTC.shape[0]
        padded_BTC = torch.cat([x_BTC, x_BTC.new_zeros((self.episode - 1, *x_BTC.shape[1:]))])
        earlier = [padded_BTC[place : place + count : self.episode] for place in range(self.episode - 1)]
        begun = [x_BTC.new_zeros((earlier[0].shape[0], self.width))]
        for own_BTC in earlier:
            begun.append(self._halted(begun[-1], own_BTC))
        row_B = torch.arange(count, device=x_BTC.device)  # of a slice, no tracer knows that it is as long as the batch
        return torch.stack(begun, 1).flatten(0, 1)[row_B]

    def _halted(self, hidden_BD: Tensor, x_BTC: Tensor) -> Tensor:
        """Return the hidden_BD at the exit where the probability of having halted reaches .5, or at the last.

        Its gradient is that of the mean state under the probabilities of halting.
        """
        state: State = (hidden_BD, x_BTC if self.serial else x_BTC.flatten(1)[:, None])
        running_B1 = x_BTC.new_ones((x_BTC.shape[0], 1))
        halted_BD = mean_BD = torch.zeros_like(hidden_BD)
        for index in range(1, self.exits + 1):
            state = self.step(state, index)
            halted_BD = torch.where(running_B1 > 0.5, state[0], halted_BD)
            p_B1 = running_B1
            if index < self.exits and self.halt_unit is not None:
                p_B1 = running_B1 * torch.sigmoid(self.halt(state, index))[:, None]
            elif index < self.exits:
                p_B1 = torch.zeros_like(running_B1)
            running_B1 = running_B1 - p_B1
            mean_BD = mean_BD + p_B1 * state[0]
        return mean_BD + (halted_BD - mean_BD).detach()

    def scratchpad(self, state: State) -> Tensor:
        """Return bits_BD."""
        return state[0] if self.writes else super().scratchpad(state)

    def with_scratchpad(self, state: State, pad: Tensor) -> State:
        """Return the state with other bits_BD."""
        return (pad, *state[1:]) if self.writes else super().with_scratchpad(state, pad)

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
