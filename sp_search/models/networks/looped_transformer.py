"""One pre-norm transformer block, looped, with recall (1807.03819, 2301.13196) and clipped relative positions.

A loop reads [memory, x] at every position, so the input is injected each time; a norm at its end keeps the state
bounded. Attention adds a learned bias by relative position, clipped (1803.02155, as a bias): nothing depends on the
length. It is written out in products, so that its price does not depend on which kernel a device picks. With `feedback`
output the memory is nothing but bits in {-1, 1} per position (0: nothing written yet), their gradient straight through.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Generator, Tensor, nn

from sp_search.program import ProgramModel, State


@lru_cache(maxsize=32)
def relative_places(positions: int, near: int, dimensions: int, device: torch.device) -> Tensor:
    """Return int64_TT: which of the (2 * near + 1)^dimensions clipped offsets lies between two positions. Data."""
    side = positions if dimensions == 1 else math.isqrt(positions)
    clipped = [[min(max(b - a, -near), near) + near for b in range(side)] for a in range(side)]
    if dimensions == 1:
        table = clipped
    else:
        cells = [(row, column) for row in range(side) for column in range(side)]
        table = [[clipped[a][c] * (2 * near + 1) + clipped[b][d] for c, d in cells] for a, b in cells]
    with torch.inference_mode(False):
        return torch.tensor(table, device=device)


class LoopedTransformerNetwork(ProgramModel):
    """The block, a head (per position, or on the mean over positions) and, if asked for, a halting unit."""

    shares_weights = True

    def __init__(
        self,
        *,
        channels: int,
        classes: int,
        once: bool,
        dimensions: int,
        width: int,
        heads: int,
        hidden: int,
        near: int,
        feedback: str,
        scratch_bits: int,
        exits: int,
        halting: bool,
        generator: Generator | None = None,
    ) -> None:
        """Build it; without a generator the weights stay as torch made them, to be loaded over."""
        super().__init__()
        self.exits, self.once, self.dimensions = exits, once, dimensions
        self.width, self.heads, self.near, self.scratch_bits = width, heads, near, scratch_bits
        self.keeps = feedback != "output"
        memory = width * self.keeps + scratch_bits * (feedback != "state")
        self.inject = nn.Linear(memory + channels, width)
        self.norm_attention, self.norm_perceptron, self.norm_state = (nn.LayerNorm(width) for _ in range(3))
        self.maps = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.place_bias = nn.Parameter(torch.zeros(heads, (2 * near + 1) ** dimensions))
        self.perceptron = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.write = nn.Linear(width, scratch_bits) if feedback != "state" else None
        self.head = nn.Linear(memory, classes)
        self.halt_unit = nn.Linear(memory, 1) if halting else None
        if generator is not None:
            self.initialise(generator)

    @torch.no_grad()
    def initialise(self, generator: Generator) -> None:
        """Draw the weights as every network, and where heads look."""
        super().initialise(generator)
        self.place_bias.normal_(generator=generator)  # heads differ in where they look from the start

    def start(self, x_BTC: Tensor) -> State:
        """Return the parts of the memory that `feedback` names, hidden_BTD and bits_BTS, blank, and then x_BTC."""
        hidden = (x_BTC.new_zeros((*x_BTC.shape[:2], self.width)),) if self.keeps else ()
        blank = () if self.write is None else (x_BTC.new_zeros((*x_BTC.shape[:2], self.scratch_bits)),)
        return *hidden, *blank, x_BTC

    def step(self, state: State, exit_index: int) -> State:
        """Return the state one loop later."""
        hidden_BTD = self.inject(torch.cat(state, dim=-1))
        hidden_BTD = hidden_BTD + self._attended(self.norm_attention(hidden_BTD))
        hidden_BTD = hidden_BTD + self.perceptron(self.norm_perceptron(hidden_BTD))
        hidden_BTD = self.norm_state(hidden_BTD)
        kept = (hidden_BTD,) if self.keeps else ()
        if self.write is None:
            return *kept, state[-1]
        soft_BTS = torch.tanh(self.write(hidden_BTD))
        bits_BTS = torch.where(soft_BTS >= 0, 1.0, -1.0) + (soft_BTS - soft_BTS.detach())
        return *kept, bits_BTS, state[-1]

    def _attended(self, x_BTD: Tensor) -> Tensor:
        """Return the mix of what every head saw: softmax(q k / sqrt(d) + bias of the relative position) v."""
        size = self.width // self.heads
        q_BHTd, k_BHTd, v_BHTd = (
            part.unflatten(-1, (self.heads, size)).transpose(1, 2) for part in self.maps(x_BTD).chunk(3, dim=-1)
        )
        places_TT = relative_places(x_BTD.shape[1], self.near, self.dimensions, x_BTD.device)
        scores_BHTT = (q_BHTd * size**-0.5) @ k_BHTd.transpose(-1, -2) + self.place_bias[:, places_TT]
        mixed_BTD: Tensor = self.mix((scores_BHTT.softmax(-1) @ v_BHTd).transpose(1, 2).flatten(2))
        return mixed_BTD

    def halt(self, state: State, exit_index: int) -> Tensor:
        """Return halting logits_B, the least over positions: it halts when the position that is least ready is."""
        if self.halt_unit is None:
            return super().halt(state, exit_index)
        logit_B: Tensor = self.halt_unit(torch.cat(state[:-1], dim=-1)).squeeze(-1).amin(1)
        return logit_B

    def answer(self, state: State, exit_index: int) -> Tensor:
        """Return logits_BTV, read from the memory alone."""
        memory_BTD = torch.cat(state[:-1], dim=-1)
        logits_BTV: Tensor = self.head(memory_BTD.mean(1, keepdim=True) if self.once else memory_BTD)
        return logits_BTV

    def scratchpad(self, state: State) -> Tensor:
        """Return bits_BTS."""
        return super().scratchpad(state) if self.write is None else state[-2]

    def with_scratchpad(self, state: State, pad: Tensor) -> State:
        """Return the state with other bits_BTS."""
        return super().with_scratchpad(state, pad) if self.write is None else (*state[:-2], pad, state[-1])
