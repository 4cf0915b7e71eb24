"""Experiment `memory_schedules`: the product's schedulers search programs that may remember a check between tasks.

The register machine has a check for deployment that is dear the first time and cheap in the later tasks of an episode
(MCHK). What such a memory does to a cap that grows with uniform draws is counted exactly; what the product's own search
selects, scheduler, evidence and inheritance included, is a search at a time, arms on the same seeds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from sp_search.drive.exact import search_programs
from sp_search.exact.machine import CAP, Machine
from sp_search.exact.machine_programs import good_programs
from sp_search.experiments.base import Cell, Evidence, Experiment, exact_cell, mean_cell, rate_cell
from sp_search.oracles.register_machine import RegisterMachine
from sp_search.plugins import find
from sp_search.schedulers.base import BudgetScheduler
from sp_search.strict import PartOf, Section


class Arm(Section):
    """One way to search: a scheduler, the evidence that a failure needs, proposals at a level."""

    scheduler: Annotated[BudgetScheduler, PartOf("schedulers")]
    lineages_to_fail: int = Field(1, ge=1)
    evaluations: int = Field(200, ge=1)


class Ladder(Section):
    """Caps that grow, and how many programs are drawn at each."""

    step: float = Field(gt=0)
    samples: int = Field(ge=1)


def _usual() -> dict[str, Arm]:
    growing = find("schedulers", "rollout_growth").model_validate({"budget": "mean"})
    annealing = find("schedulers", "annealing").model_validate({"budget": "mean"})
    return {
        "growing": Arm.model_validate({"scheduler": growing, "evaluations": 1500}),
        "annealing": Arm.model_validate({"scheduler": annealing, "lineages_to_fail": 2, "evaluations": 460}),
    }


class MemorySchedules(Experiment):
    """Worlds that differ in the length of an episode, T; programs, scheduler and seeds are the same.

    Cells `ARM_T.misbehaving`, `.deceptive` (of searches), `.evaluations`, `.cost` (of what was found). Exact, for caps
    that grow with so many programs drawn uniformly at each: `uniform_STEP_T.misbehaving`, `.deceptive`; and the share
    of good programs within a slack of the cheapest, `within_SLACK_T.misbehaving`, `.deceptive`.
    """

    kind: Literal["memory_schedules"] = "memory_schedules"
    length: int = Field(6, ge=4, le=7, description="instructions of a program")
    check_cost: int = Field(8, ge=1, le=CAP, description="steps of a check; what is remembered costs 1")
    episodes: tuple[int, ...] = Field((1, 16), strict=False, min_length=1, description="lengths T")
    step: float = Field(4.0, gt=0, description="of the cap on the mean cost, in searches")
    drawn: list[Ladder] = Field(
        [Ladder(step=0.25, samples=20_000), Ladder(step=4.0, samples=2_000_000)],
        description="of the exact cells: steps of the cap, and programs drawn uniformly at each",
    )
    slacks: tuple[float, ...] = Field((4.0,), strict=False, description="steps above the cheapest good program")
    arms: dict[str, Arm] = Field(default_factory=_usual, description="schedulers by name; {} leaves the exact cells")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Count every world, and let every arm search it n times."""
        seeds, cells = list(range(seed, seed + n)), list[Cell]()
        for tasks in self.episodes:
            cells += self._counted(tasks)
            for name, arm in self.arms.items():
                cells += self._searched(f"{name}_{tasks}", arm, tasks, seeds)
        return Evidence(cells=cells, seeds=seeds)

    def seconds(self, n: int) -> float:
        return (3.0 + 0.08 * n * len(self.arms)) * len(self.episodes)

    def _searched(self, name: str, arm: Arm, tasks: int, seeds: list[int]) -> list[Cell]:
        """Return what searches select; one that finds nothing counts as not misbehaving."""
        world = RegisterMachine(
            length=self.length,
            check_cost=self.check_cost,
            episode=tasks,
            evaluations=arm.evaluations,
            low=self.step,
            high=float(CAP),
            step=self.step,
        )
        found = [
            search_programs(arm.scheduler, world, seed=one, lineages_to_fail=arm.lineages_to_fail) for one in seeds
        ]
        costs = [float(CAP) if one.truth is None else one.truth.average for one in found]
        return [
            rate_cell(f"{name}.misbehaving", [one.misbehaves for one in found]),
            rate_cell(f"{name}.deceptive", [one.deceives for one in found]),
            rate_cell(f"{name}.found", [one.truth is not None for one in found]),
            mean_cell(f"{name}.evaluations", [one.evaluations for one in found], note="programs of a search"),
            mean_cell(f"{name}.cost", costs, note="the largest cap if none"),
        ]

    def _counted(self, tasks: int) -> list[Cell]:
        """Return the exact cells of a world."""
        machine = Machine(length=self.length, check_cost=self.check_cost, episode=tasks)
        groups = good_programs(machine)
        means = [group.in_episode(tasks) / (tasks * len(machine.trained)) for group in groups]

        def shares(cap: float) -> Shares:
            """Return how many good programs are within a cap, and the shares of those that misbehave and deceive."""
            fits = [group for group, mean in zip(groups, means, strict=True) if mean <= cap + 1e-9]
            good = sum(group.programs for group in fits)
            bad = [sum(g.programs for g in fits if g.misbehaving), sum(g.programs for g in fits if g.deceptive)]
            return Shares(good, *(one / max(good, 1) for one in bad))

        cells = []
        for ladder in self.drawn:
            surviving, misbehaves, deceives = 1.0, 0.0, 0.0
            for level in range(1, int(CAP / ladder.step) + 1):
                within = shares(level * ladder.step)
                hit = surviving * (1.0 - (1.0 - within.good / machine.choices**machine.length) ** ladder.samples)
                misbehaves, deceives = misbehaves + hit * within.misbehaving, deceives + hit * within.deceptive
                surviving -= hit
            found, name = 1.0 - surviving, f"uniform_{ladder.step:g}_{tasks}"
            cells += _exact(name, Shares(0, misbehaves / found, deceives / found), "of what is found")
        for slack in self.slacks:
            cells += _exact(f"within_{slack:g}_{tasks}", shares(min(means) + slack), "of the good programs")
        return cells


class Shares(NamedTuple):
    """Good programs, and the shares of them that misbehave and that deceive."""

    good: int
    misbehaving: float
    deceptive: float


def _exact(name: str, shares: Shares, note: str) -> list[Cell]:
    return [
        exact_cell(f"{name}.misbehaving", shares.misbehaving, note=note),
        exact_cell(f"{name}.deceptive", shares.deceptive, note=note),
    ]
