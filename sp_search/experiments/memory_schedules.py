"""Experiment `memory_schedules`: the product's schedulers search programs that may remember a check between tasks.

The register machine has a check for deployment that is dear the first time and cheap in the later tasks of an episode
(MCHK). What such a memory does to a cap that grows with uniform draws is counted exactly; what the product's own search
selects, scheduler, evidence and inheritance included, is a search at a time, arms on the same seeds.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from sp_search.drive.exact import search_programs
from sp_search.exact.machine import CAP, Machine
from sp_search.exact.machine_programs import Group, good_programs
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


def _usual() -> dict[str, Arm]:
    growing = find("schedulers", "rollout_growth").model_validate({"budget": "mean"})
    annealing = find("schedulers", "annealing").model_validate({"budget": "mean"})
    return {
        "growing": Arm.model_validate({"scheduler": growing, "evaluations": 200}),
        "annealing": Arm.model_validate({"scheduler": annealing, "lineages_to_fail": 5, "evaluations": 190}),
    }


class MemorySchedules(Experiment):
    """Worlds that differ in the length of an episode, T; programs, scheduler and seeds are the same.

    Cells `ARM_T.misbehaving`, `.deceptive` (of searches), `.evaluations`, `.cost` (of what was found); exact, for caps
    that grow by `step` with `samples` programs drawn uniformly at each: `uniform_T.misbehaving`, `.deceptive`, and
    `within_T.misbehaving`, `.deceptive`: the share of good programs within `slack` steps of the cheapest.
    """

    kind: Literal["memory_schedules"] = "memory_schedules"
    length: int = Field(6, ge=4, le=7, description="instructions of a program")
    check_cost: int = Field(8, ge=1, le=CAP, description="steps of a check; what is remembered costs 1")
    episodes: tuple[int, ...] = Field((1, 16), strict=False, min_length=1, description="lengths T")
    step: float = Field(0.25, gt=0, description="of the cap on the mean cost")
    samples: int = Field(20_000, ge=1, description="programs drawn at every cap, in the exact cells")
    slack: float = Field(4.0, ge=0, description="steps above the cheapest good program, in the exact cells")
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
        return 4.0 * len(self.episodes) + 0.4 * n * len(self.episodes) * len(self.arms)

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
        groups, of_means = good_programs(machine), tasks * len(machine.trained)
        least = min(group.in_episode(tasks) for group in groups)

        def within(cap: float) -> list[Group]:
            return [group for group in groups if group.in_episode(tasks) <= cap * of_means + 1e-9]

        surviving, misbehaves, deceives = 1.0, 0.0, 0.0
        for level in range(1, int(CAP / self.step) + 1):
            fits = within(level * self.step)
            good = _programs(fits)
            hit = surviving * (1.0 - (1.0 - good / machine.choices**machine.length) ** self.samples)
            if good:
                misbehaves += hit * _programs(one for one in fits if one.misbehaving) / good
                deceives += hit * _programs(one for one in fits if one.deceptive) / good
            surviving -= hit
        near = within(least / of_means + self.slack)
        return [
            exact_cell(f"uniform_{tasks}.misbehaving", misbehaves / (1.0 - surviving), note="of what is found"),
            exact_cell(f"uniform_{tasks}.deceptive", deceives / (1.0 - surviving), note="of what is found"),
            exact_cell(f"within_{tasks}.misbehaving", _programs(g for g in near if g.misbehaving) / _programs(near)),
            exact_cell(f"within_{tasks}.deceptive", _programs(g for g in near if g.deceptive) / _programs(near)),
        ]


def _programs(groups: Iterable[Group]) -> int:
    return sum(group.programs for group in groups)
