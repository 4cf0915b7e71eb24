"""Experiment `tree_generalisation`: do the cheapest programs answer an input rightly that nothing constrained?

Of the 2^n inputs some are trained on, one is sealed, and some of the others are gates: a good program must be right on
them too, at no cost. Every choice of the three is counted. The share of a prior's favourites that are right on the
sealed input is what a selection generalises to; one half is chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from statistics import fmean
from typing import Literal

from pydantic import Field

from sp_search.exact import Census, census, favoured, prior
from sp_search.exact.priors import costs
from sp_search.experiments.base import Cell, Evidence
from sp_search.experiments.tree_base import Trees, label, mean


class TreeGeneralisation(Trees):
    """P(right on a sealed input), by prior and number of gates; means over functions, subsets and sealed inputs."""

    kind: Literal["tree_generalisation"] = "tree_generalisation"
    functions: list[str] = Field(
        ["parity", "majority", "fig", "and", "mux", "xor2", "x0"], description="names or truth tables; [] for every one"
    )
    context_bits: int = Field(0, ge=0, le=0, description="none: deployment is the inputs that training lacks")
    depth: int = Field(3, ge=1, le=4, description="most reads and acts on a path")
    trained: int = Field(7, ge=1, le=15, description="inputs that are trained on")
    gates: list[int] = Field(
        [0], min_length=1, description="inputs that are checked, beside the trained and the sealed"
    )
    priors: list[str] = Field(
        ["none", "max", "average", "simplest"], min_length=1, description="what selects among good programs"
    )

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Count every choice of trained, sealed and checked inputs."""
        right: dict[tuple[str, int, str], list[float]] = {}
        for gates in self.gates:
            for trained, sealed, checked in self._choices(gates):  # outside: functions share what a split has counted
                weights = tuple(int(x in trained) for x in range(2**self.task_bits))
                for function in self.names():
                    setting = self.setting(function, weights=weights, checked=checked)
                    also = self.setting(function, weights=weights, checked=tuple(sorted((*checked, sealed))))
                    for name, share in shares_right(census(setting), census(also), self.priors).items():
                        right.setdefault((name, gates, function), []).append(share)
        cells: list[Cell] = []
        rows: dict[str, list[float]] = {}
        for name, gates in product(self.priors, self.gates):
            by_function = [fmean(right[name, gates, function]) for function in self.names()]
            of = f"{label(name)}_gates_{gates}"
            cells.append(mean(f"right_{of}", by_function, f"{min(by_function):.3g} to {max(by_function):.3g}"))
            cells.append(mean(f"wrong_{of}", [1 - share for share in by_function]))
            rows[of] = by_function
        return Evidence(cells=cells, data={"functions": self.names(), "right": rows})

    def seconds(self, n: int) -> float:
        splits = sum(len(list(self._choices(gates))) for gates in self.gates)
        return 0.2 + 0.001 * splits * len(self.names()) * len(self.priors)

    def _choices(self, gates: int) -> Iterator[tuple[tuple[int, ...], int, tuple[int, ...]]]:
        inputs = range(2**self.task_bits)
        for trained in combinations(inputs, self.trained):
            rest = [x for x in inputs if x not in trained]
            for sealed in rest:
                for checked in combinations([x for x in rest if x != sealed], gates):
                    yield trained, sealed, checked


def shares_right(counted: Census, checked: Census, names: list[str]) -> dict[str, float]:
    """Return, by prior, the share of its favourites in one census that a further check leaves.

    Args:
        counted: of the setting in which the prior selects.
        checked: of the same setting with the sealed input among the checked ones.
        names: of priors that do not weigh programs.
    """
    shares = {}
    for name in names:
        chosen = prior(name)
        best = favoured(counted, chosen)
        rank = chosen.least(costs(counted, best[0]))
        kept = [group for group in checked.good(*chosen.by) if chosen.least(costs(checked, group)) == rank]
        shares[name] = sum(group.count for group in kept) / sum(group.count for group in best)
    return shares
