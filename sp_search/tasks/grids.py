"""Square grids, row by row: who touches whom, what is connected, and how far a local program has to look."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_BLOCK = 2**24
"""Most entries of a (B, T, T) tensor that is held at once."""


def chebyshev_TT(side: int) -> Tensor:
    """Return max(|rows apart|, |columns apart|) of all pairs: what a square kernel's reach is measured in."""
    import torch

    place_T = torch.arange(side * side)
    row_T, column_T = place_T // side, place_T % side
    return torch.maximum((row_T[:, None] - row_T).abs(), (column_T[:, None] - column_T).abs())


def neighbours_T4(side: int) -> Tensor:
    """Return the place above, below, left and right of every place; -1 where the grid ends."""
    import torch

    place_T = torch.arange(side * side)
    row_T, column_T = place_T // side, place_T % side
    steps = ((row_T > 0, -side), (row_T < side - 1, side), (column_T > 0, -1), (column_T < side - 1, 1))
    return torch.stack([torch.where(inside_T, place_T + step, -1) for inside_T, step in steps], dim=1)


def distance_BT(open_BT: Tensor, source_BT: Tensor, side: int) -> Tensor:
    """Return the steps (up, down, left, right) on open places from the source; -1 where it cannot be reached."""
    import torch

    distance = torch.where(source_BT, 0, -1)
    reached, steps = source_BT.clone(), 0
    while True:
        steps += 1
        grid = torch.nn.functional.pad(reached.reshape(-1, side, side), (1, 1, 1, 1))
        near = grid[:, :-2, 1:-1] | grid[:, 2:, 1:-1] | grid[:, 1:-1, :-2] | grid[:, 1:-1, 2:]
        new = near.reshape(reached.shape) & open_BT & ~reached
        if not new.any():
            return distance
        distance = torch.where(new, steps, distance)
        reached |= new


def component_BT(open_BT: Tensor, side: int) -> Tensor:
    """Return one number for all open places that are connected (up, down, left, right); 0 where it is not open."""
    import torch

    part_BT = torch.arange(1, side**2 + 1, device=open_BT.device) * open_BT
    while True:
        grid = torch.nn.functional.pad(part_BT.reshape(-1, side, side), (1, 1, 1, 1))
        shifts = (grid[:, :-2, 1:-1], grid[:, 2:, 1:-1], grid[:, 1:-1, :-2], grid[:, 1:-1, 2:], grid[:, 1:-1, 1:-1])
        spread_BT = torch.stack(shifts).amax(0).reshape(part_BT.shape) * open_BT
        if torch.equal(spread_BT, part_BT):
            return part_BT
        part_BT = spread_BT


def moved_marker_need(turns_BTM: Tensor, marker_B: Tensor, place_M: Tensor, side: int) -> Tensor:
    """Return int_B: how far some place has to see to know its answer, shown by moving one marker.

    If the input with its marker at m' instead of m is possible too and has another answer at place p, then a program
    that at p sees neither m nor m' answers both alike, one of them wrongly. So some p has to see as far as the largest
    min(distance(p, m), distance(p, m')). Distances are Chebyshev's: what a square kernel's reach is measured in.

    Args:
        turns_BTM: with the marker at place_M instead, the answer at T turns.
        marker_B: where the marker is.
        place_M: where it could be.
        side: of the grid.
    """
    import torch

    far_TT = chebyshev_TT(side).to(turns_BTM.device, torch.uint8)
    seen_BTM = torch.minimum(far_TT[marker_B][:, :, None], far_TT[:, place_M])
    return (seen_BTM * turns_BTM).amax((1, 2)).long()
