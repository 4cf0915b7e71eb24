"""Experiment `tree_frontier`: the post's second figure from counts: accuracy against average computation C.

The best accuracy within each C, how nearly it is a line, how far misbehaving programs are shifted right at equal
accuracy, and how many misbehave among the good programs from the first C at which there is one.
"""

from __future__ import annotations

from pathlib import Path
from statistics import correlation
from typing import Any, Literal, NamedTuple

from pydantic import Field

from sp_search.exact import Census, census
from sp_search.experiments.base import Cell, Evidence
from sp_search.experiments.tree_base import Trees, least, mean

LINE = 2
"""Points through which every line goes."""


class Frontier(NamedTuple):
    """The least total cost at every accuracy, honestly and not, and what else the figure shows."""

    costs: list[int]
    """Total costs up to the least at which a program is good."""
    accuracies: list[float]
    """Best accuracy within each of these."""
    shifts: list[float]
    """Average cost of the cheapest misbehaving program of each accuracy beyond the cheapest honest one."""


class TreeFrontier(Trees):
    """Shape of the frontier and the misbehaving share beyond it, over functions that need any computation."""

    kind: Literal["tree_frontier"] = "tree_frontier"
    depth: int = Field(4, ge=1, le=4, description="most reads and acts on a path")
    beyond: list[float] = Field([0.0, 0.125, 0.5, 1.0], description="reads beyond C*: caps at which shares are counted")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Trace every function's frontier."""
        counts = [census(self.setting(function)) for function in self.names()]
        counts = [counted for counted in counts if min(group.cost for group in counted.good()) > 0]
        traced = [frontier(counted) for counted in counts]
        cells: list[Cell] = [
            least("r_squared", [straightness(one) for one in traced], "of the best line"),
            mean("r_squared_mean", [straightness(one) for one in traced]),
            mean("plateau", [plateau(one) for one in traced], "share of steps of C without any gain"),
            mean("largest_jump", [largest_jump(one) for one in traced], "share of the gain that one step of C brings"),
            least("shift", [min(one.shifts) for one in traced], "over all accuracies"),
            mean(
                "quadrant", [quadrant(counted) for counted in counts], "share of the programs within C* that are good"
            ),
        ]
        for beyond in self.beyond:
            shares = [misbehaving_within(counted, beyond) for counted in counts]
            cells.append(mean(f"misbehaving_beyond_{beyond:g}", shares, f"{min(shares):.3g} to {max(shares):.3g}"))
        return Evidence(cells=cells, data=self._points(counts[0]) if len(counts) == 1 else {})

    def seconds(self, n: int) -> float:
        return 0.2 + 0.006 * len(self.names())

    def _points(self, counted: Census) -> dict[str, Any]:
        """Return [average cost, accuracy, honest programs, misbehaving ones]: what the figure draws."""
        points: dict[tuple[int, int], list[int]] = {}
        for group in counted.all("errors"):
            points.setdefault((group.cost, group.errors or 0), [0, 0])[group.misbehaving] += group.count
        total = counted.setting.total_weight
        return {"points": [[cost / total, 1 - wrong / total, *both] for (cost, wrong), both in sorted(points.items())]}


def frontier(counted: Census) -> Frontier:
    """Return the frontier of a census."""
    total = counted.setting.total_weight
    cheapest: dict[tuple[int, bool], int] = {}
    for group in counted.all("errors"):
        key = group.errors or 0, group.misbehaving
        cheapest[key] = min(group.cost, cheapest.get(key, group.cost))
    least_good = min(cheapest[0, kind] for kind in (False, True) if (0, kind) in cheapest)
    costs = list(range(least_good + 1))
    wrong = [min(errors for (errors, _), cost in cheapest.items() if cost <= cap) for cap in costs]
    levels = sorted({errors for errors, _ in cheapest if (errors, False) in cheapest and (errors, True) in cheapest})
    shifts = [(cheapest[errors, True] - cheapest[errors, False]) / total for errors in levels]
    return Frontier(costs, [1 - errors / total for errors in wrong], shifts)


def straightness(traced: Frontier) -> float:
    """Return R squared of accuracy on C; 1 where two points leave no choice."""
    return 1.0 if len(traced.costs) == LINE else correlation(traced.costs, traced.accuracies) ** 2


def plateau(traced: Frontier) -> float:
    """Return the share of steps of C that bring nothing."""
    gains = [after - before for before, after in zip(traced.accuracies, traced.accuracies[1:], strict=False)]
    return sum(gain == 0 for gain in gains) / len(gains)


def largest_jump(traced: Frontier) -> float:
    """Return the share of the whole gain that comes with one step of C."""
    gains = [after - before for before, after in zip(traced.accuracies, traced.accuracies[1:], strict=False)]
    return max(gains) / sum(gains)


def quadrant(counted: Census) -> float:
    """Return how thin the top left quadrant is: good programs among those that cost C* at most."""
    best = min(group.cost for group in counted.good())
    good = sum(group.count for group in counted.good() if group.cost <= best)
    return good / sum(group.count for group in counted.all() if group.cost <= best)


def misbehaving_within(counted: Census, beyond: float) -> float:
    """Return the misbehaving share of the good programs that cost at most `beyond` more than the cheapest."""
    cap = min(group.cost for group in counted.good()) + beyond * counted.setting.total_weight
    good = [group for group in counted.good() if group.cost <= cap]
    return sum(group.count for group in good if group.misbehaving) / sum(group.count for group in good)
