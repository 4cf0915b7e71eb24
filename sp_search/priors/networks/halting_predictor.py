"""A small convolution that reads the input once and says how many exits it needs; layers see ever further apart.

Layer l combines `kernel` positions that lie kernel^l apart (after WaveNet, 1609.03499), so `layers` of them see
kernel^layers positions at the price of a short kernel. The maximum over positions makes it fit any length.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor, nn


def spread_windows(x_BTD: Tensor, kernel: int, apart: int) -> Tensor:
    """Return, at every position, it and the kernel - 1 positions before it that lie `apart`: (B, T, kernel * D)."""
    positions = x_BTD.shape[1]
    padded = nn.functional.pad(x_BTD, (0, 0, (kernel - 1) * apart, 0))
    return torch.cat([padded[:, place * apart : place * apart + positions] for place in range(kernel)], dim=-1)


class HaltingPredictor(nn.Module):
    """Logits over the exits 1..N that an input needs, from x_BTC."""

    def __init__(
        self, *, channels: int, exits: int, layers: int, width: int, kernel: int, generator: Generator | None = None
    ) -> None:
        """Build it; without a generator the weights stay as torch made them, to be loaded over."""
        super().__init__()
        self.arguments: dict[str, Any] = {"channels": channels, "exits": exits, "layers": layers}
        self.arguments |= {"width": width, "kernel": kernel}
        self.kernel = kernel
        fan_ins = [kernel * channels] + [kernel * width] * (layers - 1)
        self.convolutions = nn.ModuleList([nn.Linear(fan_in, width) for fan_in in fan_ins])
        self.head = nn.Linear(width, exits)
        if generator is not None:
            self._initialise(generator)

    @torch.no_grad()
    def _initialise(self, generator: Generator) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                bound = (6.0 / layer.in_features) ** 0.5
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.zero_()

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Return logits_BN."""
        hidden = x_BTC
        for index, layer in enumerate(self.convolutions):
            hidden = torch.relu(layer(spread_windows(hidden, self.kernel, self.kernel**index)))
        logits_BN: Tensor = self.head(hidden.amax(dim=1))
        return logits_BN
