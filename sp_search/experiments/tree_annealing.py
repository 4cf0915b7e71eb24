"""Experiment `tree_annealing`: how slowly C must grow for annealing to find the honest program (Proposal 0).

Two ways to be too fast: steps of C that jump over the honest optimum, every program of a level being looked at, and
too few programs drawn at each level. Closed forms over exact counts, see `sp_search.exact.annealing`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from sp_search.exact import Census, Found, anneal, census, exhaust, task_weights
from sp_search.experiments.base import Cell, Evidence
from sp_search.experiments.tree_base import Trees, mean


class TreeAnnealing(Trees):
    """What annealing selects, by step of C (averaged over the grid's phase) and by samples at each level."""

    kind: Literal["tree_annealing"] = "tree_annealing"
    functions: list[str] = Field(["fig", "majority", "parity"], description="names or truth tables; [] for every one")
    weights: list[int] = Field([], description="training weight of every x; alike unless given")
    steps: list[float] = Field([0.125, 0.25, 0.5, 1.0, 2.0], description="reads; every program of a level is looked at")
    samples: list[int] = Field([], description="programs drawn at each level, the cap rising by `step` from `step`")
    step: float = Field(0.125, gt=0, description="reads; the step of C where programs are drawn")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Evaluate the closed forms for every function."""
        counts = [self._census(function) for function in self.names()]
        cells: list[Cell] = []
        for step in self.steps:
            cells += self._cells(f"step_{step:g}", [exhaust(counted, step) for counted in counts])
        for samples in self.samples:
            cells += self._cells(f"samples_{samples}", [anneal(counted, self.step, samples) for counted in counts])
        return Evidence(cells=cells)

    def seconds(self, n: int) -> float:
        return 0.1 + 0.003 * len(self.names()) * (len(self.steps) + len(self.samples))

    def _census(self, function: str) -> Census:
        weights = self.weights or [1] * 2**self.task_bits
        return census(self.setting(function, weights=task_weights(self.task_bits, self.context_bits, weights)))

    def _cells(self, name: str, found: list[Found]) -> list[Cell]:
        return [mean(f"{kind}_{name}", [getattr(one, kind) for one in found]) for kind in KINDS]


KINDS = ("misbehaving", "harmful", "deceptive", "excess", "evaluations", "found")
