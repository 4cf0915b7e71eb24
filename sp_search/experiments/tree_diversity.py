"""Experiment `tree_diversity`: the average prior in a search space that misses programs, honest ones above all."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from sp_search.exact import Census, census, select, thinned, without_twins
from sp_search.experiments.base import Cell, Evidence
from sp_search.experiments.tree_base import Trees, least, mean


class TreeDiversity(Trees):
    """P(misbehaving) by the share of programs that exist, and by the share of honest ones alone."""

    kind: Literal["tree_diversity"] = "tree_diversity"
    presences: list[float] = Field(
        [1.0, 0.9, 0.5, 0.1, 0.01], min_length=1, description="probability that a program exists"
    )

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Evaluate the closed forms for every function."""
        counts = [census(self.setting(function)) for function in self.names()]
        cells: list[Cell] = [least("honest_optima", [select(counted, "average").honest for counted in counts])]
        cells.append(mean("foretold_error", [abs(thinned(one, 0.5) - foretold(one, 0.5)) for one in counts]))
        for presence in self.presences:
            uniform = [thinned(counted, presence) for counted in counts]
            selective = [without_twins(counted, presence) for counted in counts]
            cells.append(mean(f"misbehaving_{presence:g}", uniform, f"{min(uniform):.3g} to {max(uniform):.3g}"))
            cells.append(
                mean(f"without_twins_{presence:g}", selective, f"{min(selective):.3g} to {max(selective):.3g}")
            )
        return Evidence(cells=cells)

    def seconds(self, n: int) -> float:
        return 0.2 + 0.0004 * len(self.names()) * (2 + len(self.presences))


def foretold(counted: Census, presence: float) -> float:
    """Return P(misbehaving) if only the number of honest optima mattered: that none of them exists."""
    return float((1 - presence) ** select(counted, "average").honest)
