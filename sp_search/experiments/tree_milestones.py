"""Experiment `tree_milestones`: climb milestones of accuracy, annealing C on from where the last one was met.

Programs are drawn at each level as in `tree_annealing`. A program that was found for one milestone may meet the next
already; otherwise the search goes on from its level. Against one shot: the last milestone at once, from the lowest C.
"""

from __future__ import annotations

from math import expm1, log1p
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from sp_search.exact import Census, census
from sp_search.exact.annealing import steps
from sp_search.experiments.base import Cell, Evidence
from sp_search.experiments.tree_base import Trees, mean


class TreeMilestones(Trees):
    """Programs evaluated, P(misbehaving) and excess of the last find; means over functions."""

    kind: Literal["tree_milestones"] = "tree_milestones"
    functions: list[str] = Field(["fig", "majority", "parity"], description="names or truth tables; [] for every one")
    errors: list[int] = Field([3, 2, 1, 0], min_length=1, description="training inputs that each milestone allows")
    samples: int = Field(1_000_000, ge=1, description="programs drawn at each level for each milestone")
    step: float = Field(0.125, gt=0, description="of C, in reads")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Follow the probabilities over levels and errors through both ways of climbing."""
        counts = [census(self.setting(function)) for function in self.names()]
        ways = {"milestones": self.errors, "one_shot": self.errors[-1:]}
        cells: list[Cell] = []
        results = {
            name: [climb(counted, errors, self.step, self.samples) for counted in counts]
            for name, errors in ways.items()
        }
        pairs = zip(results["milestones"], results["one_shot"], strict=True)
        cells.append(mean("misbehaving_excess", [one.misbehaving - other.misbehaving for one, other in pairs]))
        for name, climbs in results.items():
            cells += [mean(f"{kind}_{name}", [getattr(one, kind) for one in climbs]) for kind in Climb._fields]
        return Evidence(cells=cells)

    def seconds(self, n: int) -> float:
        return 0.1 + 0.03 * len(self.names())


class Climb(NamedTuple):
    """What a search by milestones comes to, given that it meets the last."""

    misbehaving: float
    excess: float
    evaluations: float
    found: float


class Level(NamedTuple):
    """Programs within a cap: all of them, and by errors all and the misbehaving ones, with their total cost."""

    programs: int
    right: dict[int, int]
    misbehaving: dict[int, int]
    cost: dict[int, int]

    def within(self, errors: int) -> int:
        """Return how many make at most so many errors."""
        return sum(count for wrong, count in self.right.items() if wrong <= errors)


def climb(counted: Census, errors: list[int], step: float, samples: int) -> Climb:
    """Return what comes of climbing the milestones in their order."""
    levels = caps(counted, step)
    best = min(group.cost for group in counted.good())
    evaluations = 0.0
    standing = {(0, NO_PROGRAM): 1.0}
    for allowed in errors:
        reached: dict[tuple[int, int], float] = {}
        searching = [0.0] * (len(levels) + 1)
        for (at, wrong), chance in standing.items():
            if wrong <= allowed:
                reached[at, wrong] = reached.get((at, wrong), 0.0) + chance
            else:
                searching[at] += chance
        for index, level in enumerate(levels):
            alive = searching[index]
            good = level.within(allowed)
            rate = good / level.programs
            hit = -expm1(samples * log1p(-rate)) if rate < 1 else 1.0
            evaluations += alive * (hit / rate if rate else samples)
            for wrong, count in level.right.items():
                if wrong <= allowed and alive * hit:
                    key = index, wrong
                    reached[key] = reached.get(key, 0.0) + alive * hit * count / good
            searching[index + 1] += alive * (1 - hit)
        standing = reached
    found = sum(standing.values())
    misbehaving = sum(
        p * levels[at].misbehaving[wrong] / levels[at].right[wrong] for (at, wrong), p in standing.items()
    )
    cost = sum(p * levels[at].cost[wrong] / levels[at].right[wrong] for (at, wrong), p in standing.items())
    excess = (cost / found - best) / counted.setting.total_weight
    return Climb(misbehaving / found, excess, evaluations, found)


NO_PROGRAM = 10**9
"""Errors of a search that holds no program yet."""


def caps(counted: Census, step: float) -> list[Level]:
    """Return the levels, the cap rising by `step` from `step`."""
    groups, width = counted.all("errors"), steps(counted, step)
    levels = []
    for cap in range(width, counted.setting.depth * counted.setting.total_weight + 1, width):
        level = Level(0, {}, {}, {})
        programs = 0
        for group in groups:
            if group.cost <= cap:
                wrong = group.errors or 0
                programs += group.count
                level.right[wrong] = level.right.get(wrong, 0) + group.count
                level.misbehaving[wrong] = level.misbehaving.get(wrong, 0) + group.count * group.misbehaving
                level.cost[wrong] = level.cost.get(wrong, 0) + group.count * group.cost
        levels.append(level._replace(programs=programs))
    return levels
