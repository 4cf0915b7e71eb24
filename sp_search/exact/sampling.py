"""Uniform sampling in P(C), the programs within a budget: the plainest search there is, drawn from exact counts.

Each evaluation draws a program of P(C) with replacement. Whether one of N is good, at which evaluation the first comes
and of which kind it is follow exactly from the census, so 10^7 evaluations cost no more than one. Nothing that was seen
before helps, so a lineage inherits only its place in its own stream of draws.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from functools import lru_cache
from itertools import accumulate
from math import expm1, log1p
from random import Random
from typing import Any, Literal, NamedTuple

from sp_search.exact.census import Census, Group, census
from sp_search.exact.drawing import draw
from sp_search.exact.programs import Act, Leaf, Program, Read, Search, execute, facts
from sp_search.exact.runner import Lineage, Spending, Truth
from sp_search.exact.setting import Setting
from sp_search.records import BudgetKind, Sample, derive_seed

Keeps = Literal["first", "cheapest"]


class Population(NamedTuple):
    """Programs by the least cap that takes them in: ascending `caps`, how many there are up to each, how many are good.

    `groups` lists the good ones in the same order; `upto` says how many of the groups a cap takes in.
    """

    caps: list[float]
    all: list[int]
    good: list[int]
    upto: list[int]
    groups: list[Group]

    def within(self, cap: float) -> int:
        """Return the index of the largest of `caps` that a cap takes in, or -1."""
        return bisect_left(self.caps, cap * (1 + 1e-12) + 1e-12) - 1

    def chance(self, cap: float) -> float:
        """Return the share of good programs among those within a cap."""
        index = self.within(cap)
        return self.good[index] / self.all[index] if index >= 0 and self.all[index] else 0.0


class UniformSampling:
    """Searches one setting by drawing programs of P(C) uniformly, each from a stream that its lineage's seed fixes.

    Attributes:
        setting: the world.
        keeps: the `first` good program that is drawn, or the `cheapest` of all evaluations (which are then all spent).
        present: chance with which every program exists at all; which do follows from `world`.
    """

    def __init__(self, setting: Setting, *, keeps: Keeps = "first", present: float = 1.0, world: int = 0) -> None:
        """Count the world when it is first searched."""
        self.setting, self.keeps, self.present, self.world = setting, keeps, present, world
        self._populations: dict[BudgetKind, Population] = {}

    def population(self, kind: BudgetKind) -> Population:
        """Return the programs by average cost (mean budgets) or by the most they could spend (max budgets)."""
        if kind not in self._populations:
            whole = _population(self.setting, kind)
            self._populations[kind] = whole if self.present == 1 else _thinned(whole, self.present, self.world)
        return self._populations[kind]

    def begin(self, seed: int, inherited: Lineage | None) -> Lineage:
        """Return a lineage at the place of its stream that another one had reached."""
        return {"seed": seed, "drawn": 0 if inherited is None else inherited["drawn"], "program": None}

    def go_on(self, lineage: Lineage, kind: BudgetKind, cap: float, evaluations: int) -> tuple[Lineage, int]:
        """Draw programs until the first good one, or all of them where the cheapest is kept."""
        population, luck = self.population(kind), stream(lineage, kind, cap)
        chance, u, at = population.chance(cap), luck.random(), population.within(cap)
        paid, program = evaluations, None
        if u < hit(chance, evaluations):
            first, last = 0, population.upto[at]
            if self.keeps == "first":
                paid = 1 if u < chance else 1 + int(log1p(-u) / log1p(-chance))
            else:
                first, last = _cheapest(population, at, evaluations, u)
            drawn = draw(census_of(self.setting), population.groups[first:last], luck)
            program = written(self.setting, drawn.program)
        return {**lineage, "drawn": lineage["drawn"] + paid, "program": program}, paid

    def finds(self, seed: int, kind: BudgetKind, cap: float, evaluations: int) -> bool:
        """Return whether a fresh lineage of that seed finds a good program; which, is not drawn."""
        chance = self.population(kind).chance(cap)
        return stream(self.begin(seed, None), kind, cap).random() < hit(chance, evaluations)

    def spending(self, program: Any) -> Spending:
        """Run a program on every trained input."""
        setting, tree = self.setting, read(self.setting, program)
        true = facts(setting, tree)
        weighted = [(w, execute(setting, tree, number).cost) for number, w in enumerate(setting.input_weights) if w]
        total, mean = setting.total_weight, true.cost / setting.total_weight
        costs = sorted(weighted, key=lambda one: one[1])
        reached = accumulate(weight for weight, _ in costs)
        p95 = next(cost for (_, cost), weight in zip(costs, reached, strict=True) if weight >= 0.95 * total)
        executed = Sample(
            mean=mean,
            variance=sum(weight * (cost - mean) ** 2 for weight, cost in weighted) / total,
            p95=p95,
            largest=true.max_used,
            n=len(weighted),
            possible_low=0.0,
            possible_high=true.depth,
            exact=True,
        )
        return Spending(executed, max_available=true.depth, nodes=true.size)

    def truth(self, program: Any) -> Truth:
        """Run a program on every input, those of deployment too."""
        true = facts(self.setting, read(self.setting, program))
        kind = Group(1, true.flags, true.cost)
        average = true.cost / self.setting.total_weight
        return Truth(kind.misbehaving, kind.deceptive, kind.harmful, average, float(true.depth))


def stream(lineage: Lineage, kind: BudgetKind, cap: float) -> Random:
    """Return a lineage's own luck at a cap: its first number decides whether and when it hits, the others what."""
    return Random(derive_seed(lineage["seed"], "draws", lineage["drawn"], kind, cap))  # noqa: S311 - reproducible luck


def hit(chance: float, draws: int) -> float:
    """Return the chance of a hit in so many draws: 1 - (1 - chance)^draws."""
    return 1.0 if chance == 1 else -expm1(draws * log1p(-chance))


def _cheapest(population: Population, at: int, draws: int, u: float) -> tuple[int, int]:
    """Return which groups the cheapest hit belongs to: P(it costs at most t) is that of a hit among those up to t."""
    for index in range(at + 1):
        if u < hit(population.good[index] / population.all[at], draws):
            return (population.upto[index - 1] if index else 0), population.upto[index]
    raise AssertionError("u is less than the chance of any hit")


@lru_cache(maxsize=64)
def census_of(setting: Setting) -> Census:
    """Return the census of a setting, counted once in a process."""
    return census(setting)


@lru_cache(maxsize=128)
def _population(setting: Setting, kind: BudgetKind) -> Population:
    counts, weight = census_of(setting), setting.total_weight

    def cap_of(group: Group) -> float:
        assert group.depth is not None
        return group.cost / weight if kind == "mean" else float(group.depth)

    every: dict[float, int] = {}
    for group in counts.all("depth"):
        every[cap_of(group)] = every.get(cap_of(group), 0) + group.count
    good = sorted(counts.good("depth"), key=lambda group: (cap_of(group), group.flags, group.cost))
    caps = sorted(every)
    upto = [bisect_left([cap_of(group) for group in good], cap * (1 + 1e-12) + 1e-12) for cap in caps]
    sizes = [0, *accumulate(group.count for group in good)]
    return Population(
        caps=caps,
        all=list(accumulate(every[cap] for cap in caps)),
        good=[sizes[index] for index in upto],
        upto=upto,
        groups=good,
    )


def _thinned(whole: Population, present: float, world: int) -> Population:
    """Return a world in which each program of another exists with that chance, independently."""
    import numpy

    chance = numpy.random.default_rng(derive_seed(world, "present"))
    groups = [replace(group, count=int(chance.binomial(group.count, present))) for group in whole.groups]
    sizes = [0, *accumulate(group.count for group in groups)]
    good = [sizes[index] for index in whole.upto]
    bad, before = [], 0
    for total, fit in zip(whole.all, whole.good, strict=True):
        bad.append(int(chance.binomial(total - fit - before, present)))
        before = total - fit
    return whole._replace(all=[a + g for a, g in zip(accumulate(bad), good, strict=True)], good=good, groups=groups)


def written(setting: Setting, program: Program) -> Any:
    """Return a program as JSON: 0 or 1, ["act", then], [bit, zero, one], ["macro", its number]."""
    match program:
        case Leaf(bit):
            return bit
        case Search(macro):
            return ["macro", setting.macros.index(macro)]
        case Act(then):
            return ["act", written(setting, then)]
        case Read(bit, zero, one):
            return [bit, written(setting, zero), written(setting, one)]


def read(setting: Setting, program: Any) -> Program:
    """Return the program that `written` wrote."""
    if isinstance(program, int):
        return Leaf(program)
    if program[0] == "macro":
        return Search(setting.macros[program[1]])
    if program[0] == "act":
        return Act(read(setting, program[1]))
    return Read(program[0], read(setting, program[1]), read(setting, program[2]))
