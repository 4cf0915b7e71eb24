"""Convolutions with weights of their own at every block, an exit after each (1709.01686; residual blocks: 1512.03385).

A small convolution is written as shift + Linear: faster than a convolution under vmap, one form for lines and squares.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Generator, Tensor, nn

from sp_search.program import ProgramModel, State


def windows(x_BTD: Tensor, kernel: int, *, causal: bool, dimensions: int) -> Tensor:
    """Return the channels that every position sees: (B, T, kernel ** dimensions * D), zeros beyond the border.

    On a line a causal window ends at its position; every other window has its position in the middle. On a square, T
    counts its cells row by row.
    """
    before = kernel - 1 if causal else kernel // 2
    after = kernel - 1 - before
    if dimensions == 1:
        padded = nn.functional.pad(x_BTD, (0, 0, before, after))
        return torch.cat([padded[:, shift : shift + x_BTD.shape[1]] for shift in range(kernel)], dim=-1)
    examples, positions, width = x_BTD.shape
    side = round(positions**0.5)
    padded = nn.functional.pad(x_BTD.reshape(examples, side, side, width), (0, 0, before, after, before, after))
    seen = [padded[:, row : row + side, column : column + side] for row, column in product(range(kernel), repeat=2)]
    return torch.cat(seen, dim=-1).flatten(1, 2)


class ExitConvNetwork(ProgramModel):
    """h + relu(conv_n(h)) in block n, whose exit has a head and, if asked for, a halting unit of its own."""

    shares_weights = False

    def __init__(
        self,
        *,
        channels: int,
        answers: int,
        classes: int,
        width: int,
        kernel: int,
        causal: bool,
        dimensions: int,
        readout: str,
        exits: int,
        halting: bool,
        generator: Generator | None = None,
    ) -> None:
        """Build it; without a generator the weights stay as torch made them, to be loaded over."""
        super().__init__()
        self.exits, self.answers, self.readout = exits, answers, readout
        self.kernel, self.causal, self.dimensions = kernel, causal, dimensions
        self.embed = nn.Linear(channels, width)
        self.blocks = nn.ModuleList([nn.Linear(kernel**dimensions * width, width) for _ in range(exits)])
        per_place = classes if readout == "position" else answers * classes
        self.heads = nn.ModuleList([nn.Linear(width, per_place) for _ in range(exits)])
        self.halt_features = nn.ModuleList([nn.Linear(width, width) for _ in range(exits)]) if halting else None
        self.halt_units = nn.ModuleList([nn.Linear(width, 1) for _ in range(exits)]) if halting else None
        if generator is not None:
            self.initialise(generator)

    def start(self, x_BTC: Tensor) -> State:
        """Return h_BTD."""
        return (torch.relu(self.embed(x_BTC)),)

    def step(self, state: State, exit_index: int) -> State:
        """Return h_BTD after block `exit_index`."""
        (hidden_BTD,) = state
        seen = windows(hidden_BTD, self.kernel, causal=self.causal, dimensions=self.dimensions)
        return (hidden_BTD + torch.relu(self.blocks[exit_index - 1](seen)),)

    def _read(self, state: State) -> Tensor:
        """Return what head and halting unit see: all positions, the last (one answer), or their mean."""
        (hidden_BTD,) = state
        if self.readout == "mean":
            return hidden_BTD.mean(dim=1, keepdim=True)
        return hidden_BTD[:, -self.answers :]

    def halt(self, state: State, exit_index: int) -> Tensor:
        """Return halting logits_B of this exit's own unit, linear in the maximum over the positions that are read."""
        if self.halt_features is None or self.halt_units is None:
            return super().halt(state, exit_index)
        features_BD = torch.relu(self.halt_features[exit_index - 1](self._read(state))).amax(dim=1)
        logit_B: Tensor = self.halt_units[exit_index - 1](features_BD).squeeze(-1)
        return logit_B

    def answer(self, state: State, exit_index: int) -> Tensor:
        """Return logits_BTV of this exit's own head."""
        logits: Tensor = self.heads[exit_index - 1](self._read(state))
        if self.readout != "position":
            logits = logits.squeeze(1).unflatten(-1, (self.answers, -1))  # type: ignore[no-untyped-call]
        return logits

    def reach(self) -> int | None:
        """Return the positions that information moves per block, or None where the readout sees them all."""
        if self.readout == "mean":
            return None
        return self.kernel - 1 if self.causal else self.kernel // 2
