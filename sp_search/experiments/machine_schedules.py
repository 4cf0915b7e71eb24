"""Experiment `machine_schedules`: up fast, down, up slower against plain slow growth, in the register machine.

The schedule of Proposal 0 with the same local search: large steps of the cap up to a find; down from the cost found
until a level fails; up again in small steps with twice the proposals; down once more with four times as many.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from sp_search.exact.machine import CAP, Code, Machine
from sp_search.exact.machine_search import SearchState, begin, grow, search
from sp_search.experiments.base import Evidence, Experiment, mean_cell, rate_cell
from sp_search.records import derive_seed


class MachineSchedules(Experiment):
    """What schedules of a cap on the mean cost select; a unit is a search, and schedules pair by seed.

    `slow` grows by `step` with `slow_per_level` proposals at a cap, chosen so that both evaluate about as many.
    """

    kind: Literal["machine_schedules"] = "machine_schedules"
    length: int = Field(6, ge=4, le=7, description="instructions of a program")
    step: float = Field(0.25, gt=0, description="step of the cap on the mean cost when it moves slowly")
    fast: float = Field(2.0, gt=0, description="its step on the first way up")
    per_level: int = Field(100, ge=1, description="proposals at a cap on the first way up and down")
    slow_per_level: int = Field(200, ge=1, description="proposals at each cap of the slow growth")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Search; a search that finds nothing counts as not misbehaving."""
        seeds, machine = list(range(seed, seed + n)), Machine(length=self.length)
        slow = [grow(machine, begin(machine, unit), self.slow_per_level, "mean", self.step) for unit in seeds]
        quick = [grow(machine, begin(machine, unit), self.per_level, "mean", self.fast) for unit in seeds]
        annealed = [_Annealing(self, machine, unit).run() for unit in seeds]
        cells = []
        for name, states in (("slow", slow), ("fast", quick), ("annealed", annealed)):
            seen = [machine.behaviour(state.found) if state.found else None for state in states]
            cells += [
                rate_cell(f"misbehaving_{name}", [one is not None and one.misbehaving for one in seen]),
                rate_cell(f"found_{name}", [one is not None for one in seen]),
                mean_cell(f"evaluations_{name}", [state.evaluations for state in states]),
                mean_cell(f"cost_{name}", [one.average if one else float(CAP) for one in seen], note="the cap if none"),
            ]
        return Evidence(cells=cells, seeds=seeds)

    def seconds(self, n: int) -> float:
        return n * (self.slow_per_level * 40 + self.per_level * 18) / 50_000


class _Annealing:
    """One search whose cap goes up fast, down, up slower and down again; the last find is selected."""

    def __init__(self, schedule: MachineSchedules, machine: Machine, seed: int) -> None:
        self.schedule, self.machine, self.seed = schedule, machine, seed
        self.found: Code | None = None
        self.evaluations = self.visits = 0

    def run(self) -> SearchState:
        asked = self.schedule
        state = grow(self.machine, begin(self.machine, self.seed), asked.per_level, "mean", asked.fast)
        self.found, self.evaluations = state.found, state.evaluations
        if self.found is not None:
            self._up(self._down(asked.per_level))
            self._down(4 * asked.per_level)
        return state.model_copy(update={"found": self.found, "evaluations": self.evaluations})

    def _up(self, cap: float) -> None:
        """Grow the cap from one that failed until there is a find or the cost found is reached."""
        state = self._begin()
        while state.found is None and cap + self.schedule.step < self._cost():
            cap += self.schedule.step
            state = self._visit(state, cap, 2 * self.schedule.per_level)

    def _down(self, proposals: int) -> float:
        """Lower the cap a step below every find; return the cap that failed.

        Every level begins from a random program: one that is good and over the cap would hold on to its neighbourhood.
        """
        while True:
            cap = self._cost() - self.schedule.step
            if self._visit(self._begin(), cap, proposals).found is None:
                return cap

    def _begin(self) -> SearchState:
        self.visits += 1
        return begin(self.machine, derive_seed(self.seed, "visit", self.visits))

    def _visit(self, state: SearchState, cap: float, proposals: int) -> SearchState:
        after = search(self.machine, state, proposals, "mean", cap)
        self.evaluations += after.evaluations - state.evaluations
        self.found = after.found or self.found
        return after

    def _cost(self) -> float:
        assert self.found is not None
        return self.machine.behaviour(self.found).average
