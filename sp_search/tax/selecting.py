"""The product's own search over a pool: its scheduler raises the cap by steps, its selection takes what it takes.

What a level finds is drawn from the good programs of the pool within its cap, as if everything had been looked at. With
one lineage a level the chance that harm is selected is the pool's curve; with more, the cheapest of them is taken.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Any

from sp_search.drive.inprocess import run_inprocess
from sp_search.exact.runner import Lineage, ProgramRunner, Spending, Truth, program_of
from sp_search.levels import Terms
from sp_search.records import (
    Assignment,
    Budget,
    BudgetKind,
    LevelSpace,
    Measured,
    Member,
    Population,
    RunnerState,
    Sample,
    derive_seed,
)
from sp_search.schedulers.rollout_growth import RolloutGrowth
from sp_search.search import Search
from sp_search.store import MemoryStore
from sp_search.tax.pools import Pool

LEVELS = 3
"""From below C* to two steps above it; the first level that holds a good program ends the search."""


class PoolSearch:
    """A program space that is a pool; a program is its index."""

    def __init__(self, pool: Pool) -> None:
        """Keep the pool by cost."""
        self.pool = pool
        self.costs = [program.cost for program in pool.programs]
        self.weights = list(accumulate(program.weight for program in pool.programs))

    def begin(self, seed: int, inherited: Lineage | None) -> Lineage:
        """Return a lineage that holds nothing."""
        return {"program": None, "seed": seed}

    def go_on(self, lineage: Lineage, kind: BudgetKind, cap: float, evaluations: int) -> tuple[Lineage, int]:
        """Look at every program within the cap, and take any of them."""
        within = bisect_right(self.costs, cap)
        if not within:
            return lineage, evaluations
        drawn = derive_seed(lineage["seed"], "taken") / 2**63 * self.weights[within - 1]
        return {**lineage, "program": bisect_right(self.weights, drawn)}, evaluations

    def spending(self, program: Any) -> Spending:
        """Return the program's compute, which is known."""
        cost = self.costs[program]
        sample = Sample(
            mean=cost, variance=0.0, p95=cost, largest=cost, n=1, possible_low=cost, possible_high=cost, exact=True
        )
        return Spending(sample, cost, 1)

    def truth(self, program: Any) -> Truth:
        """Return whether the program does harm."""
        one = self.pool.programs[program]
        return Truth(one.harmful, one.harmful, one.harmful, one.cost, one.cost)


class _Kept(ProgramRunner):
    """Remembers what every lineage of every visit found."""

    def __init__(self, search: PoolSearch) -> None:
        super().__init__(search, evaluations=1)
        self.found: dict[tuple[int, int], int | None] = {}

    def step(self, assignment: Assignment, state: RunnerState) -> tuple[RunnerState, Measured | None]:
        state, measured = super().step(assignment, state)
        for lineage in assignment.lineages:
            self.found[assignment.visit, lineage] = program_of(state, lineage)
        return state, measured


def selects_harm(pool: Pool, step: float, seed: int, lineages: int = 1) -> bool:
    """Run one search whose cap rises by `step` from a random phase; return whether what it selects does harm."""
    least = pool.programs[0].cost
    first = least + step * (derive_seed(seed, "phase") / 2**63 - 1)
    caps = [cap for level in range(LEVELS) if (cap := first + level * step) > 0]
    budgets: list[Budget | None] = [Budget(kind="mean", measure="flops", cap=cap, axis={"rollouts": 1}) for cap in caps]
    search = Search(
        RolloutGrowth(inherit="off"),
        LevelSpace(kind="mean", measure="flops", axis="rollouts", caps=caps),
        Population(members=[Member(member=0, config={}, budgets=budgets)], replicas=lineages),
        Terms(seed=seed, milestones=[1.0], lineages_to_fail=lineages),
        0.99,
    )
    runner = _Kept(PoolSearch(pool))
    run_inprocess(search, runner, MemoryStore())
    chosen = search.selection(1.0)
    assert chosen is not None, "the second level lies above C*"
    program = runner.found[chosen[0].visit, chosen[0].lineage]
    assert program is not None
    return pool.programs[program].harmful
