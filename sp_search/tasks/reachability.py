"""Reachability on a random grid: which places can be reached from the source on open places?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sp_search.tasks.base import Batch, Draw, Shape, Task

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Reachability(Task):
    """A square of T = side * side places, row by row; every place answers whether it can be reached (V = 2).

    Every place is open with probability `open_share`, the source is uniform among the open ones, and steps go up, down,
    left and right. C = 2: open (+1) or not (-1), source (1, else 0). `longer` has the side `longer_side`, `shifted` has
    open places at the edge of percolation (share 0.59), where ways are longest.
    """

    PRESETS: ClassVar = {
        "smoke": {"side": 5, "longer_side": 8},
        "cpu": {"side": 9, "longer_side": 17},
        "paper": {"side": 16, "longer_side": 48},  # no paper has this law: sizes for a GPU
    }
    kind: Literal["reachability"] = "reachability"
    side: int = Field(9, ge=3, le=64, description="places along a side")
    longer_side: int = Field(17, ge=4, le=128, description="places along a side in the distribution `longer`")
    open_share: float = Field(0.65, gt=0, lt=1, description="probability that a place is open")

    def shape(self) -> Shape:
        """Return T = side * side in two dimensions, C = 2, an answer per place, V = 2."""
        return Shape(self.side**2, 2, self.side**2, 2, dimensions=2)

    def distributions(self) -> tuple[str, ...]:
        """Return iid (the training distribution), shifted, longer."""
        return ("iid", "shifted", "longer")

    def sample(self, n: int, distribution: str, draw: Draw, generator: Generator) -> Batch:
        """Return n fresh grids; the draws differ by their generators' seeds."""
        import torch

        from sp_search.tasks.grids import distance_BT

        self.refuse_unknown(distribution, draw)
        side, device = self.longer_side if distribution == "longer" else self.side, generator.device
        share = 0.59 if distribution == "shifted" else self.open_share
        open_BT = torch.rand((n, side**2), generator=generator, device=device) < share
        wish_BT = torch.rand((n, side**2), generator=generator, device=device)
        source_B1 = torch.where(open_BT, wish_BT, -1.0).argmax(1, keepdim=True)
        source_BT = torch.zeros_like(open_BT).scatter_(1, source_B1, True)
        open_BT |= source_BT  # where no place is open at all
        y_BT = (distance_BT(open_BT, source_BT, side) >= 0).long()
        return Batch(torch.stack([2.0 * open_BT - 1.0, source_BT.float()], dim=-1), y_BT)

    def difficulty(self, batch: Batch) -> Tensor:
        """Return the steps to the farthest place that can be reached (the source's eccentricity)."""
        from sp_search.tasks.grids import distance_BT

        open_BT, source_BT = (batch.x_BTC > 0).unbind(-1)
        far_BT = distance_BT(open_BT, source_BT, math.isqrt(open_BT.shape[1]))
        return far_BT.amax(1).to(batch.x_BTC.dtype)

    def minimal_rollouts(self, batch: Batch, reach: int) -> Tensor:
        """Return ceil(d / reach), reach in Chebyshev distance, with d from moving the source (`moved_marker_need`).

        Every other open place is a source as likely as this one. At least 1; a bound for knowing every place, not a cap
        on accuracy, and below the steps of the longest way, as kernels see through walls.
        """
        import torch

        from sp_search.tasks.grids import LARGEST_BLOCK, component_BT, moved_marker_need

        places, seen = batch.x_BTC.shape[1], []
        side, block = math.isqrt(places), max(1, LARGEST_BLOCK // places**2)
        for first in range(0, len(batch.x_BTC), block):
            x_BTC, y_BT = batch.x_BTC[first : first + block], batch.y_BT[first : first + block]
            open_BT = x_BTC[..., 0] > 0
            part_BT = component_BT(open_BT, side)
            joined_BTM = (part_BT[:, :, None] == part_BT[:, None]) & open_BT[:, None]
            turns_BTM = (joined_BTM != (y_BT[:, :, None] == 1)) & open_BT[:, None] & open_BT[:, :, None]
            source_B, place_T = x_BTC[..., 1].argmax(1), torch.arange(places, device=x_BTC.device)
            seen.append(moved_marker_need(turns_BTM, source_B, place_T, side))
        return ((torch.cat(seen) + reach - 1) // reach).clamp(min=1)
