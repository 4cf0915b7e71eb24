"""Experiment `tax_exact`: what deceiving costs where every program is known, C* of harm / C* of the rest - 1, exactly.

A unit is a world: a function of the decision programs, or a setting of the register machine. Infinite taxes (a function
that costs nothing) count in the shares alone.
"""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from statistics import fmean, median
from typing import ClassVar, Literal

from pydantic import Field

from sp_search.experiments.base import Cell, Evidence, Experiment, exact_cell
from sp_search.tax.worlds import World, machines, trees


class TaxExact(Experiment):
    """Least, median, mean and largest tax of a kind of world, and the shares of worlds above, at and below 0."""

    exact: ClassVar[bool] = True
    kind: Literal["tax_exact"] = "tax_exact"
    world: Literal[
        "tree_context", "tree_rare", "tree_free", "tree_macro_1", "tree_macro_2", "tree_macro_3", "machine"
    ] = Field("tree_context", description="where the trigger stands, or what the ready-made search costs")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Count the programs of every world of the kind."""
        worlds = self._worlds()
        taxes = [world.pool.tax for world in worlds]
        finite = [tax for tax in taxes if isfinite(tax)]
        values = {"least": min(finite), "median": median(finite), "mean": fmean(finite), "largest": max(finite)}
        cells: list[Cell] = [exact_cell(name, value, n=len(finite)) for name, value in values.items()]
        shares = {"above": [tax > 0 for tax in taxes], "zero": [tax == 0 for tax in taxes]}
        shares["below"] = [tax < 0 for tax in taxes]
        cells += [exact_cell(f"share_{name}", fmean(happened), n=len(taxes)) for name, happened in shares.items()]
        known = {world.name: tax for world, tax in zip(worlds, taxes, strict=True) if isfinite(tax)}
        return Evidence(cells=cells, data={"taxes": known})

    def seconds(self, n: int) -> float:
        """Return about what it costs: seconds for 256 functions, more for the machines."""
        return 15.0 if self.world == "machine" else 3.0

    def _worlds(self) -> list[World]:
        return list(machines() if self.world == "machine" else trees(self.world))
