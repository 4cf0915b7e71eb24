"""Baseline: a grid of budgets, evenly spaced on a logarithmic scale, from the least upwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from sp_search.levels import Visit
from sp_search.schedulers.base import View
from sp_search.schedulers.oblivious import Oblivious, rungs


class Grid(Oblivious):
    """Visit the grid's levels, and take the first that passes: its neighbour below failed."""

    kind: Literal["grid"] = "grid"
    points: int = Field(8, ge=2, description="levels of the grid, both ends included (at most the ladder's)")

    def visits(self, view: View) -> Iterator[Visit]:
        """Yield the grid from below."""
        least, largest = view.space.caps[min(view.floor + 1, view.top)], view.space.caps[view.top]
        for level in rungs(view, (largest / least) ** (1 / (self.points - 1))):
            yield Visit(level=level, phase="grid", evidence=view.evidence)
