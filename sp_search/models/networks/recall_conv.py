"""A recurrent causal convolution with recall and a bounded (tanh) state (after 2102.11011 and 2202.05826).

One rollout reads [h, x] by channel (recall). The state is bounded, so it converges instead of drifting away when it is
unrolled further than it was trained. A small convolution is written as shift + Linear: twice as fast here under vmap.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from sp_search.program import ProgramModel, State


def causal_windows(x_BTD: Tensor, kernel: int) -> Tensor:
    """Return, at every position, the channels of it and of the kernel - 1 positions before it: (B, T, kernel * D)."""
    positions = x_BTD.shape[1]
    padded = nn.functional.pad(x_BTD, (0, 0, kernel - 1, 0))
    return torch.cat([padded[:, shift : shift + positions] for shift in range(kernel)], dim=-1)


class RecallConvNetwork(ProgramModel):
    """tanh(conv(relu(conv([h, x])))) per rollout, with a head per position and, if asked for, one halting unit."""

    shares_weights = True

    def __init__(
        self,
        *,
        channels: int,
        classes: int,
        width: int,
        layers: int,
        kernel: int,
        exits: int,
        halting: bool,
        generator: Generator | None = None,
    ) -> None:
        """Build it; without a generator the weights stay as torch made them, to be loaded over."""
        super().__init__()
        self.exits = exits
        self.kernel = kernel
        self.embed = nn.Linear(channels, width)
        inner = [nn.Linear(kernel * width, width) for _ in range(layers - 1)]
        self.cell = nn.ModuleList([nn.Linear(kernel * (width + channels), width), *inner])
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, classes))
        self.halt_features = nn.Linear(width, width) if halting else None
        self.halt_unit = nn.Linear(width, 1) if halting else None
        if generator is not None:
            self._initialise(generator)

    @torch.no_grad()
    def _initialise(self, generator: Generator) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                bound = 1.7 / layer.in_features**0.5
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.zero_()
        if self.halt_unit is not None:
            self.halt_unit.bias.fill_(-1.0)

    def start(self, x_BTC: Tensor) -> State:
        """Return (h_BTD, x_BTC)."""
        return torch.tanh(self.embed(x_BTC)), x_BTC

    def step(self, state: State, exit_index: int) -> State:
        """Return the state one rollout later."""
        hidden, x_BTC = state
        hidden = torch.cat((hidden, x_BTC), dim=-1)
        for layer in self.cell[:-1]:
            hidden = torch.relu(layer(causal_windows(hidden, self.kernel)))
        return torch.tanh(self.cell[-1](causal_windows(hidden, self.kernel))), x_BTC

    def halt(self, state: State, exit_index: int) -> Tensor:
        """Return halting logits_B, linear in the maximum over positions: a global signal that no reach bounds."""
        if self.halt_features is None or self.halt_unit is None:
            return super().halt(state, exit_index)
        logit_B: Tensor = self.halt_unit(torch.relu(self.halt_features(state[0])).amax(dim=1)).squeeze(-1)
        return logit_B

    def answer(self, state: State, exit_index: int) -> Tensor:
        """Return logits_BTV."""
        logits_BTV: Tensor = self.head(state[0])
        return logits_BTV

    def reach(self) -> int | None:
        """Return the positions that information moves per rollout."""
        return len(self.cell) * (self.kernel - 1)
