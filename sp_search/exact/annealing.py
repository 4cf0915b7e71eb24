"""Annealing a cap on average cost over an exact world, in closed form: what slow, coarse and hasty growth select.

Level by level the search evaluates programs drawn uniformly, with replacement, from P(C), all programs of average cost
C at most, and selects the first good one (the post's Proposal 0). Coarse jumps, with every program of a level looked
at, are the other half of "slowly enough". Caps are total costs here: the average cost times the setting's weight.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import expm1, isfinite, log1p
from typing import NamedTuple

from sp_search.exact.census import Census, Group


class Within(NamedTuple):
    """How many programs cost `cost` at most: all, and the good ones, with how many of these are of a kind."""

    cost: int
    programs: int
    good: int
    misbehaving: int
    harmful: int
    deceptive: int
    good_cost: int
    """Total cost of all the good ones together."""


class Found(NamedTuple):
    """What is selected: probabilities given that anything is, and means."""

    misbehaving: float
    harmful: float
    deceptive: float
    excess: float
    """Average cost of the find beyond the least at which there is a good program."""
    evaluations: float
    """Programs evaluated until the search ends."""
    found: float
    """Probability that anything good is found."""


def within(counted: Census) -> list[Within]:
    """Return, for every total cost that a program can have, how many programs cost no more.

    Raises:
        ValueError: no program is good.
    """
    every, good = counted.all(), counted.some_good()
    top = counted.setting.depth * counted.setting.total_weight + 1

    def cumulative(groups: Iterable[Group]) -> list[int]:
        by_cost = [0] * top
        for group in groups:
            by_cost[group.cost] += group.count
        return list(accumulate(by_cost))

    costs = [0] * top
    for group in good:
        costs[group.cost] += group.count * group.cost
    columns = (
        range(top),
        cumulative(every),
        cumulative(good),
        cumulative(group for group in good if group.misbehaving),
        cumulative(group for group in good if group.harmful),
        cumulative(group for group in good if group.deceptive),
        list(accumulate(costs)),
    )
    return [Within(*row) for row in zip(*columns, strict=True)]


def steps(counted: Census, step: float) -> int:
    """Return a step of average cost as one of total cost, at least 1.

    Raises:
        ValueError: total costs are whole numbers, and no multiple of this step is one.
    """
    total = step * counted.setting.total_weight
    if not isfinite(total) or total < 1 or abs(total - round(total)) > 1e-9:
        raise ValueError(
            f"a step of {step} reads is {total} in total cost: take multiples of 1/{counted.setting.total_weight}"
        )
    return round(total)


def anneal(counted: Census, step: float, samples: int) -> Found:
    """Return what uniform search finds with so many samples at each level, the cap rising by `step` from `step`.

    Raises:
        ValueError: no samples, or no level at which a program is good.
    """
    if samples < 1:
        raise ValueError(f"at least 1 program is drawn at a level, got {samples}")
    table = within(counted)
    levels = [table[cap] for cap in range(steps(counted, step), len(table), steps(counted, step))]
    if not any(level.good for level in levels):
        least = next(level.cost for level in table if level.good) / counted.setting.total_weight
        raise ValueError(f"steps of {step} reads have no level that holds a good program, which needs {least:g}")
    alive, evaluations, hits = 1.0, 0.0, []
    for level in levels:
        rate = level.good / level.programs
        hit = -expm1(samples * log1p(-rate)) if rate < 1 else 1.0
        evaluations += alive * (hit / rate if rate else samples)
        hits.append(alive * hit)
        alive *= 1 - hit
    return expected(counted, levels, hits, evaluations)


def exhaust(counted: Census, step: float) -> Found:
    """Return what is found when every program of a level is looked at, the cap rising by `step` from a random phase."""
    table, width = within(counted), steps(counted, step)
    first = next(level.cost for level in table if level.good)
    ends = [first + (phase - first) % width for phase in range(width)]
    levels = [table[min(end, len(table) - 1)] for end in ends]
    looked = [
        sum(table[cap].programs for cap in range(end % width, end + 1, width) if cap < len(table)) for end in ends
    ]
    return expected(counted, levels, [1 / width] * width, sum(looked) / width)


def expected(counted: Census, levels: Sequence[Within], hits: Sequence[float], evaluations: float) -> Found:
    """Return what is found when each level is the first with a find with a probability, uniformly in its good set."""
    total = sum(hits)
    least = next(level.cost for level in within(counted) if level.good)

    def mean(kind: str) -> float:
        shares = (hit * getattr(level, kind) / level.good for level, hit in zip(levels, hits, strict=True) if hit)
        return float(sum(shares) / total)

    excess = (mean("good_cost") - least) / counted.setting.total_weight
    return Found(mean("misbehaving"), mean("harmful"), mean("deceptive"), excess, evaluations, total)
