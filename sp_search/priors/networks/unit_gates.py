"""Hard-concrete gates, one a unit: open or closed by chance in training, exactly so afterwards (1712.01312, eq. 10-13).

s = sigmoid((log u - log(1 - u) + log_alpha) / temperature) is stretched beyond [0, 1] and clamped, so that a gate is 0
or 1 exactly with a chance above zero, and its chance to be open has a gradient. `log_alpha` moves `speed` times as fast
as a weight: Adam's steps are made for numbers of a weight's size, and a gate has to cross several units to close.
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor, nn

TEMPERATURE = 2 / 3
LOW, HIGH = -0.1, 1.1


class UnitGates(nn.Module):
    """z_W in [0, 1] for W units."""

    def __init__(self, units: int, *, begin: float, speed: float) -> None:
        """Begin with every log_alpha at `begin`: there is nothing to tell the units apart by."""
        super().__init__()
        self.speed = speed
        self.location_W = nn.Parameter(torch.full((units,), begin / speed))

    def forward(self, noise_W: Tensor | None = None) -> Tensor:
        """Return z_W for noise that is uniform in (0, 1); without noise, the gates of the finished program."""
        log_alpha_W = self.speed * self.location_W
        if noise_W is not None:
            log_alpha_W = (noise_W.logit(eps=1e-6) + log_alpha_W) / TEMPERATURE
        return (torch.sigmoid(log_alpha_W) * (HIGH - LOW) + LOW).clamp(0.0, 1.0)

    def open_W(self) -> Tensor:
        """Return the chance that each gate is not 0."""
        return torch.sigmoid(self.speed * self.location_W - TEMPERATURE * log(-LOW / HIGH))
