"""A recurrent convolution with recall and a bounded (tanh) state (after 2102.11011 and 2202.05826).

One rollout reads [memory, x] by channel (recall). The state is bounded, so it converges instead of drifting away when
it is unrolled further than it was trained. On a line a convolution is written as shift + Linear, twice as fast on a CPU
under vmap; on a grid it is torch's own, three times as fast there. With `feedback` output the memory is nothing but
bits in {-1, 1} that each position writes (0: nothing written yet); their gradient passes straight through (1308.3432).
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn

from sp_search.program import ProgramModel, State


def windows(x_BTD: Tensor, kernel: int, *, before: int) -> Tensor:
    """Return, at every position of a line, the channels from `before` positions back on: (B, T, kernel * D)."""
    positions = x_BTD.shape[1]
    padded = nn.functional.pad(x_BTD, (0, 0, before, kernel - 1 - before))
    return torch.cat([padded[:, shift : shift + positions] for shift in range(kernel)], dim=-1)


def grid_convolution(x_BDYX: Tensor, layer: nn.Module, kernel: int) -> Tensor:
    """Return the convolution whose weight is a matrix (width, kernel * kernel * D), place by place and row by row."""
    assert isinstance(layer, nn.Linear)
    maps = layer.weight.reshape(-1, kernel, kernel, x_BDYX.shape[1]).permute(0, 3, 1, 2)
    return nn.functional.conv2d(x_BDYX, maps, layer.bias, padding=kernel // 2)


class RecallConvNetwork(ProgramModel):
    """tanh(conv(relu(conv([memory, x])))) per rollout, with a head per position and, if asked for, one halting unit."""

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
        dimensions: int = 1,
        causal: bool = True,
        feedback: str = "state",
        scratch_bits: int = 8,
        generator: Generator | None = None,
    ) -> None:
        """Build it; without a generator the weights stay as torch made them, to be loaded over."""
        super().__init__()
        self.exits, self.kernel, self.dimensions, self.causal = exits, kernel, dimensions, causal
        self.feedback, self.scratch_bits = feedback, scratch_bits
        memory = width * (feedback != "output") + scratch_bits * (feedback != "state")
        self.embed = nn.Linear(channels, width) if feedback != "output" else None
        fan_ins, window = [memory + channels] + [width] * (layers - 1), kernel**dimensions
        self.cell = nn.ModuleList([nn.Linear(window * fan_in, width) for fan_in in fan_ins])
        self.write = nn.Linear(width, scratch_bits) if feedback != "state" else None
        self.head = nn.Sequential(nn.Linear(memory, width), nn.ReLU(), nn.Linear(width, classes))
        self.halt_features = nn.Linear(memory, width) if halting else None
        self.halt_unit = nn.Linear(width, 1) if halting else None
        if generator is not None:
            self.initialise(generator)

    def start(self, x_BTC: Tensor) -> State:
        """Return the parts of the memory that `feedback` names, hidden_BTD and bits_BTS, and then x_BTC."""
        blank_BTS = x_BTC.new_zeros((*x_BTC.shape[:2], self.scratch_bits))
        hidden = () if self.embed is None else (torch.tanh(self.embed(x_BTC)),)
        return *hidden, *((blank_BTS,) if self.write is not None else ()), x_BTC

    def step(self, state: State, exit_index: int) -> State:
        """Return the state one rollout later."""
        hidden = torch.tanh(self._convolved(torch.cat(state, dim=-1)))
        kept = () if self.embed is None else (hidden,)
        if self.write is None:
            return *kept, state[-1]
        soft_BTS = torch.tanh(self.write(hidden))
        bits_BTS = torch.where(soft_BTS >= 0, 1.0, -1.0) + (soft_BTS - soft_BTS.detach())
        return *kept, bits_BTS, state[-1]

    def halt(self, state: State, exit_index: int) -> Tensor:
        """Return halting logits_B, linear in the maximum over positions: a global signal that no reach bounds."""
        if self.halt_features is None or self.halt_unit is None:
            return super().halt(state, exit_index)
        features_BTD = torch.relu(self.halt_features(torch.cat(state[:-1], dim=-1)))
        logit_B: Tensor = self.halt_unit(features_BTD.amax(dim=1)).squeeze(-1)
        return logit_B

    def answer(self, state: State, exit_index: int) -> Tensor:
        """Return logits_BTV, read from the memory alone."""
        logits_BTV: Tensor = self.head(torch.cat(state[:-1], dim=-1))
        return logits_BTV

    def scratchpad(self, state: State) -> Tensor:
        """Return bits_BTS."""
        return super().scratchpad(state) if self.write is None else state[-2]

    def with_scratchpad(self, state: State, pad: Tensor) -> State:
        """Return the state with other bits_BTS."""
        return super().with_scratchpad(state, pad) if self.write is None else (*state[:-2], pad, state[-1])

    def reach(self) -> int | None:
        """Return the positions that information moves per rollout."""
        return len(self.cell) * (self.kernel - 1 if self.causal else self.kernel // 2)

    def _convolved(self, x_BTD: Tensor) -> Tensor:
        """Return what the cell's convolutions make of the positions, with relu between them."""
        if self.dimensions == 2:
            side = math.isqrt(x_BTD.shape[1])
            maps_BDYX = x_BTD.reshape(x_BTD.shape[0], side, side, x_BTD.shape[-1]).movedim(-1, 1)
            for layer in self.cell[:-1]:
                maps_BDYX = torch.relu(grid_convolution(maps_BDYX, layer, self.kernel))
            maps_BDYX = grid_convolution(maps_BDYX, self.cell[-1], self.kernel)
            return maps_BDYX.flatten(2).movedim(1, -1)
        before = self.kernel - 1 if self.causal else self.kernel // 2
        for layer in self.cell[:-1]:
            x_BTD = torch.relu(layer(windows(x_BTD, self.kernel, before=before)))
        last_BTD: Tensor = self.cell[-1](windows(x_BTD, self.kernel, before=before))
        return last_BTD
