"""Perfect mazes (after the easy-to-hard task of 2106.04537): mark the one way from the start to the end.

Law: a depth-first walk from the start opens the walls (recursive backtracker, uniform among the unvisited neighbours);
the end is uniform among the other rooms. Every batch is drawn afresh; that paper's files are not needed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from sp_search.tasks.base import Batch, Draw, Shape, Task

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Mazes(Task):
    """A square of T = side * side places, row by row; every place answers whether it is on the way (V = 2).

    Rooms are the places of even row and column, walls between them are open or not, and there is no outer wall. C = 3:
    open (+1) or wall (-1), start (1, else 0), end (1, else 0). `longer` has the side `longer_side`. A maze counts as
    solved when all places are right.
    """

    PRESETS: ClassVar = {
        "smoke": {"side": 5, "longer_side": 7},
        "cpu": {"side": 9, "longer_side": 17},
        "paper": {"side": 9, "longer_side": 59},
    }
    kind: Literal["mazes"] = "mazes"
    side: int = Field(9, ge=5, le=59, description="places along a side, odd")
    longer_side: int = Field(17, ge=7, le=59, description="places along a side in the distribution `longer`, odd")

    @field_validator("side", "longer_side")
    @classmethod
    def _odd(cls, side: int) -> int:
        if side % 2 == 0:
            raise ValueError(f"got {side}: it should be odd, rooms and the walls between them alternate")
        return side

    def shape(self) -> Shape:
        """Return T = side * side in two dimensions, C = 3, an answer per place, V = 2."""
        return Shape(self.side**2, 3, self.side**2, 2, dimensions=2)

    def distributions(self) -> tuple[str, ...]:
        """Return iid (the training distribution) and longer."""
        return ("iid", "longer")

    def sample(self, n: int, distribution: str, draw: Draw, generator: Generator) -> Batch:
        """Return n fresh mazes; the draws differ by their generators' seeds."""
        import torch

        self.refuse_unknown(distribution, draw)
        rooms = (self.longer_side if distribution == "longer" else self.side) // 2 + 1
        side, device, maze_B = 2 * rooms - 1, generator.device, torch.arange(n, device=generator.device)
        start_B = torch.randint(0, rooms**2, (n,), generator=generator, device=device)
        end_B = torch.randint(0, rooms**2 - 1, (n,), generator=generator, device=device)
        end_B = end_B + (end_B >= start_B)
        parent_BR = _depth_first(start_B, rooms, generator)
        place_R = torch.arange(rooms**2, device=device)
        place_R = place_R // rooms * 2 * side + place_R % rooms * 2
        between_BR = (place_R + place_R[parent_BR]) // 2
        open_BT = torch.zeros((n, side**2), dtype=torch.bool, device=device)
        open_BT[:, place_R] = True
        open_BT.scatter_(1, between_BR, torch.ones_like(between_BR, dtype=torch.bool))
        y_BT = torch.zeros_like(open_BT)
        here_B = end_B
        for _ in range(rooms**2):
            y_BT[maze_B, place_R[here_B]] = True
            y_BT[maze_B, between_BR[maze_B, here_B]] = True
            if bool((here_B == start_B).all()):
                break
            here_B = parent_BR[maze_B, here_B]
        x_BTC = torch.zeros((n, side**2, 3), device=device)
        x_BTC[..., 0] = 2.0 * open_BT - 1.0
        x_BTC[maze_B, place_R[start_B], 1] = 1.0
        x_BTC[maze_B, place_R[end_B], 2] = 1.0
        return Batch(x_BTC, y_BT.long())

    def difficulty(self, batch: Batch) -> Tensor:
        """Return the length of the way, in steps from place to place."""
        return (batch.y_BT.sum(1) - 1).to(batch.x_BTC.dtype)

    def minimal_rollouts(self, batch: Batch, reach: int) -> Tensor:
        """Return ceil(d / reach), reach in Chebyshev distance, with d from moving the end (`moved_marker_need`).

        Every other room is an end as likely as this one. A bound for knowing every place, not a cap on accuracy; it
        grows with the maze, and less than the way's length, as kernels see through walls.
        """
        import torch

        from sp_search.tasks.grids import LARGEST_BLOCK, moved_marker_need

        places, seen = batch.x_BTC.shape[1], []
        side, block = math.isqrt(places), max(1, LARGEST_BLOCK // places**2)
        place_T = torch.arange(places, device=batch.x_BTC.device)
        room_M = place_T[(place_T // side % 2 == 0) & (place_T % side % 2 == 0)]
        for first in range(0, len(batch.x_BTC), block):
            x_BTC, own_BT = batch.x_BTC[first : first + block], batch.y_BT[first : first + block].bool()
            start_B, end_B = x_BTC[..., 1].argmax(1), x_BTC[..., 2].argmax(1)
            turns_BMT = _ways(x_BTC, side)[:, room_M] != own_BT[:, None]
            turns_BMT &= (room_M != start_B[:, None])[:, :, None]
            seen.append(moved_marker_need(turns_BMT.transpose(1, 2), end_B, room_M, side))
        return (torch.cat(seen) + reach - 1) // reach


def _depth_first(start_B: Tensor, rooms: int, generator: Generator) -> Tensor:
    """Return parent_BR, the room before each room on a depth-first walk; the start is its own."""
    import torch

    from sp_search.tasks.grids import neighbours_T4

    n, device = len(start_B), start_B.device
    maze_B, near_R4 = torch.arange(n, device=device), neighbours_T4(rooms).to(device)
    parent_BR = start_B[:, None].repeat(1, rooms**2)
    visited_BR = torch.zeros((n, rooms**2 + 1), dtype=torch.bool, device=device)
    visited_BR[:, -1] = True  # stands for every place outside, which is -1
    visited_BR[maze_B, start_B] = True
    here_B = start_B
    for _ in range(2 * rooms**2 - 3):  # every room but the start is entered once, and left for the one before it
        near_B4 = near_R4[here_B]
        wish_B4 = torch.rand((n, 4), generator=generator, device=device)
        wish_B4 = wish_B4.masked_fill(visited_BR.gather(1, near_B4 % (rooms**2 + 1)), -1.0)
        best = wish_B4.max(1)
        goes_on_B = best.values >= 0
        next_B = torch.where(goes_on_B, near_B4[maze_B, best.indices], parent_BR[maze_B, here_B])
        parent_BR[maze_B, next_B] = torch.where(goes_on_B, here_B, parent_BR[maze_B, next_B])
        visited_BR[maze_B, next_B] = True
        here_B = next_B
    return parent_BR


def _ways(x_BTC: Tensor, side: int) -> Tensor:
    """Return bool_BMT: place T is on the way from the start to place M (walls lead nowhere)."""
    import torch

    from sp_search.tasks.grids import distance_BT, neighbours_T4

    far_BT = distance_BT(x_BTC[..., 0] > 0, x_BTC[..., 1] > 0, side)
    near_T4 = neighbours_T4(side).to(x_BTC.device)
    places = side**2
    far_near_BT4 = torch.nn.functional.pad(far_BT, (0, 1), value=-1)[:, near_T4]
    leads_back_BT4 = (far_near_BT4 == far_BT[:, :, None] - 1) & (far_near_BT4 >= 0)
    which_BT = leads_back_BT4.long().argmax(2)
    before_BT = near_T4.expand(len(x_BTC), -1, -1).gather(2, which_BT[:, :, None])[:, :, 0]
    itself_T = torch.arange(places, device=x_BTC.device)
    before_BT = torch.where(leads_back_BT4.any(2), before_BT, itself_T)
    on_way_BMT = torch.eye(places, dtype=torch.bool, device=x_BTC.device).repeat(len(x_BTC), 1, 1)
    for _ in range(places.bit_length()):  # doubling: the way so far, and the way from where it ends
        on_way_BMT |= on_way_BMT.gather(1, before_BT[:, :, None].expand_as(on_way_BMT))
        before_BT = before_BT.gather(1, before_BT)
    return on_way_BMT
