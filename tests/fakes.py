"""A tiny program with a halting unit, to test what executes, prices and measures programs without training one."""

import torch
from torch import nn

from sp_search.pricing import Prices
from sp_search.program import ProgramModel


class TinyPredictor(nn.Module):
    """Logits over N exits from the largest input of each channel."""

    def __init__(self, channels, exits):
        super().__init__()
        self.head = nn.Linear(channels, exits)

    def forward(self, x_BTC):
        return self.head(x_BTC.amax(1))


class TinyProgram(ProgramModel):
    """A tanh layer of D units that is applied again at every exit; T positions of C channels, V classes.

    `sharpness` spreads halting rates and answers, so that examples of one batch leave at different exits.
    """

    shares_weights = True

    def __init__(self, *, channels=2, width=3, classes=2, exits=4, seed=0, sharpness=3.0, predictor=False):
        super().__init__()
        self.exits, self.channels, self.width, self.classes = exits, channels, width, classes
        self.embed = nn.Linear(channels, width)
        self.cell = nn.Linear(width, width)
        self.head = nn.Linear(width, classes)
        self.halt_unit = nn.Linear(width, 1)
        if predictor:
            self.halting_predictor = TinyPredictor(channels, exits)
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=sharpness, generator=generator)

    def start(self, x_BTC):
        return (torch.tanh(self.embed(x_BTC)),)

    def step(self, state, exit_index):
        return (torch.tanh(self.cell(state[0])),)

    def halt(self, state, exit_index):
        return self.halt_unit(state[0].amax(1)).squeeze(-1)

    def answer(self, state, exit_index):
        return self.head(state[0])

    def prices(self, positions, exits):
        width = self.width
        start = positions * (2 * self.channels * width + 2 * width)
        step = positions * (2 * width * width + 2 * width)
        halt = positions * width + 2 * width + 1
        answer = positions * (2 * width + 1) * self.classes
        N = self.exits
        predict = positions * self.channels + (2 * self.channels + 1) * N + 6 * N  # and softmax, cumulative sum
        predict = predict if "halting_predictor" in self._modules else 0
        return Prices(start, (step,) * exits, (halt,) * exits, (answer,) * exits, positions, self.classes, predict)
