"""A perceptron whose groups of units read those before them (after slimmable, 1812.08928, and MatFormer, 2310.07707).

Its weights are block lower triangular, so what a narrower exit has computed is a part of every wider one and is never
computed again; in the networks of those papers the narrow units change when wider ones join, and all is computed anew.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from sp_search.program import ProgramModel, State

Cell = tuple[int, int]
"""A group of units (from 1) in a layer (from 1)."""


class NestedNetwork(ProgramModel):
    """Exit n answers from groups 1..g of layer l, (g, l) its last cell; step n computes its cells and none before."""

    shares_weights = False
    any_length = False

    def __init__(
        self,
        *,
        features: int,
        answers: int,
        classes: int,
        widths: list[int],
        cells: list[list[list[int]]],
        exits: int,
        halting: bool,
        generator: Generator | None = None,
    ) -> None:
        """Build it; `cells[n]` are those that exit n + 1 adds, as [group, layer], `widths` count the units up to each.

        Without a generator the weights stay as torch made them, to be loaded over.
        """
        super().__init__()
        self.exits, self.answers = exits, answers
        self.cells: list[list[Cell]] = [[(group, layer) for group, layer in added] for added in cells]
        self.place = {cell: place for place, cell in enumerate(cell for added in self.cells for cell in added)}
        units = [0, *widths]
        self.blocks = nn.ModuleDict()
        for group, layer in self.place:
            fan_in = features if layer == 1 else units[group]
            self.blocks[f"{group}_{layer}"] = nn.Linear(fan_in, units[group] - units[group - 1])
        ends = [units[added[-1][0]] for added in self.cells]
        self.heads = nn.ModuleList([nn.Linear(width, answers * classes) for width in ends])
        self.halt_units = nn.ModuleList([nn.Linear(width, 1) for width in ends]) if halting else None
        if generator is not None:
            self.initialise(generator)

    def start(self, x_BTC: Tensor) -> State:
        """Return the input, flattened: nothing is computed before exit 1."""
        return (x_BTC.flatten(1),)

    def _layer(self, state: State, group: int, layer: int) -> Tensor:
        """Return the units of groups 1..`group` in a layer that has been computed."""
        return torch.cat([state[1 + self.place[part, layer]] for part in range(1, group + 1)], dim=-1)

    def step(self, state: State, exit_index: int) -> State:
        """Return the state with the cells of exit `exit_index`; what was there is unchanged."""
        for group, layer in self.cells[exit_index - 1]:
            below = state[0] if layer == 1 else self._layer(state, group, layer - 1)
            grown = torch.relu(self.blocks[f"{group}_{layer}"](below))
            state = (*state, grown if layer == 1 else state[1 + self.place[group, layer - 1]] + grown)
        return state

    def halt(self, state: State, exit_index: int) -> Tensor:
        """Return halting logits_B of this exit's own unit."""
        if self.halt_units is None:
            return super().halt(state, exit_index)
        units_BD = self._layer(state, *self.cells[exit_index - 1][-1])
        logit_B: Tensor = self.halt_units[exit_index - 1](units_BD).squeeze(-1)
        return logit_B

    def answer(self, state: State, exit_index: int) -> Tensor:
        """Return logits_BTV of this exit's own head."""
        units_BD = self._layer(state, *self.cells[exit_index - 1][-1])
        logits_BTV: Tensor = self.heads[exit_index - 1](units_BD).unflatten(-1, (self.answers, -1))
        return logits_BTV
