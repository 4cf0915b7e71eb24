"""Circuit value: what does every gate of a random layered boolean circuit say? P-complete, and laid out locally.

A gate reads only the layer above, one place to the left and one to the right, so that what a local program has to see
is known: a gate that an input bit changes lies as many rollouts away as there are layers between them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sp_search.tasks.base import Batch, Draw, Shape, Task

if TYPE_CHECKING:
    from torch import Generator, Tensor


class CircuitValue(Task):
    """A square of T = side * side places, row by row; every place answers with its value (V = 2).

    The last L rows are gates, L ~ U{1..side - 1}, the rows above hold fair bits. The gate at column j reads the columns
    j - 1 and j + 1 of the row above (at an edge: itself instead), and is and, or, xor or nand, alike likely. C = 5: the
    bit in {-1, +1} (0 at gates), and the kind of gate, one-hot. `harder` has L = side - 1 always; `longer` has the side
    `longer_side`.
    """

    PRESETS: ClassVar = {
        "smoke": {"side": 5, "longer_side": 8},
        "cpu": {"side": 9, "longer_side": 17},
        "paper": {"side": 32, "longer_side": 64},  # no paper has this law: sizes for a GPU
    }
    kind: Literal["circuit_value"] = "circuit_value"
    side: int = Field(9, ge=3, le=64, description="gates in a row, and rows")
    longer_side: int = Field(17, ge=4, le=128, description="gates in a row, and rows, in the distribution `longer`")

    def shape(self) -> Shape:
        """Return T = side * side in two dimensions, C = 5, an answer per place, V = 2."""
        return Shape(self.side**2, 5, self.side**2, 2, dimensions=2)

    def distributions(self) -> tuple[str, ...]:
        """Return iid (the training distribution), harder, longer."""
        return ("iid", "harder", "longer")

    def sample(self, n: int, distribution: str, draw: Draw, generator: Generator) -> Batch:
        """Return n fresh circuits; the draws differ by their generators' seeds."""
        import torch
        from torch.nn import functional

        self.refuse_unknown(distribution, draw)
        side, device = self.longer_side if distribution == "longer" else self.side, generator.device
        least = side - 1 if distribution == "harder" else 1
        layers_B = torch.randint(least, side, (n,), generator=generator, device=device)
        bit_BHW = torch.randint(0, 2, (n, side, side), generator=generator, device=device)
        gate_BHW = torch.randint(0, 4, (n, side, side), generator=generator, device=device)
        is_gate_BH1 = (torch.arange(side, device=device) >= side - layers_B[:, None])[:, :, None]
        shown_BHW = torch.where(is_gate_BH1, 0, 2 * bit_BHW - 1)
        kind_BHWC = functional.one_hot(gate_BHW, 4) * is_gate_BH1[..., None]
        x_BTC = torch.cat([shown_BHW[..., None], kind_BHWC], dim=-1).flatten(1, 2).float()
        return Batch(x_BTC, _values(x_BTC).flatten(1).long())

    def answer_key(self, x_BTC: Tensor) -> Tensor:
        """Return what every place says; one with several gates says yes where any of them does."""
        return _values(x_BTC).flatten(1).long()

    def difficulty(self, batch: Batch) -> Tensor:
        """Return L: the layers of gates."""
        side = math.isqrt(batch.x_BTC.shape[1])
        return batch.x_BTC[..., 1:].sum((1, 2)) / side

    def minimal_rollouts(self, batch: Batch, reach: int) -> Tensor:
        """Return ceil(d / reach), reach in Chebyshev distance: some gate's value hangs on one bit d layers above it.

        The bit is a fair coin, so who does not see it is wrong half the time; as it stands at most d columns aside, its
        Chebyshev distance is d. At least 1: no gate is constant. A bound for knowing every place, no cap on accuracy.
        """
        import torch

        side = math.isqrt(batch.x_BTC.shape[1])
        layers_B = self.difficulty(batch).long()
        bits_row_B = side - 1 - layers_B
        own_BHW, deepest_B = _values(batch.x_BTC), torch.ones_like(layers_B)
        example_B, row_H = (
            torch.arange(len(layers_B), device=layers_B.device),
            torch.arange(side, device=layers_B.device),
        )
        for column in range(side):
            flipped_BTC = batch.x_BTC.clone()
            flipped_BTC[example_B, bits_row_B * side + column, 0] *= -1.0
            changed_BH = (_values(flipped_BTC) != own_BHW).any(2)
            deepest_B = torch.maximum(deepest_B, torch.where(changed_BH, row_H - bits_row_B[:, None], 0).amax(1))
        return (deepest_B + reach - 1) // reach


def _values(x_BTC: Tensor) -> Tensor:
    """Return bool_BHW: what every place says, row after row."""
    import torch

    side = math.isqrt(x_BTC.shape[1])
    x_BHWC = x_BTC.reshape(-1, side, side, 5)
    and_BHW, or_BHW, xor_BHW, nand_BHW = (x_BHWC[..., 1:] > 0).unbind(-1)
    column = torch.arange(side, device=x_BTC.device)
    left, right = (column - 1).clamp(min=0), (column + 1).clamp(max=side - 1)
    rows = [x_BHWC[:, 0, :, 0] > 0]
    for index in range(1, side):
        a, b = rows[-1][:, left], rows[-1][:, right]
        gates = (and_BHW[:, index] & a & b) | (or_BHW[:, index] & (a | b))
        gates |= (xor_BHW[:, index] & (a ^ b)) | (nand_BHW[:, index] & ~(a & b))
        rows.append(gates | (x_BHWC[:, index, :, 0] > 0))
    return torch.stack(rows, dim=1)
