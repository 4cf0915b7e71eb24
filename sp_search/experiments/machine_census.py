"""Experiment `machine_census`: what priors select in the register machine, counted over all good programs."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from sp_search.exact.machine import CAP, Machine
from sp_search.exact.machine_programs import PRIORS, deceptive_excess, good_programs, misbehaving_within, select
from sp_search.experiments.base import Cell, Evidence, Experiment, exact_cell


class MachineCensus(Experiment):
    """Counts over every program of some lengths; nothing is sampled, so `n` and `seed` are not read."""

    exact: ClassVar[bool] = True

    kind: Literal["machine_census"] = "machine_census"
    lengths: list[int] = Field([4, 5, 6], min_length=1, description="instructions; good programs begin at 4")
    check_cost: int = Field(1, ge=1, le=CAP, description="what a check for deployment costs")
    within: list[float] = Field([2.0, 4.0], description="slack of the mean cost above the least, in steps")
    tasks: list[int] = Field([], description="lengths of episodes in which a check is paid for once")
    samples: list[int] = Field([], description="programs drawn uniformly at every cap of a cap that grows by a quarter")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Count; cells end in the length, cells of mixtures and sizes are over all lengths."""
        machines = [Machine(length=length, check_cost=self.check_cost) for length in self.lengths]
        cells = [cell for machine in machines for cell in self._of_length(machine)]
        for name in PRIORS:
            choice = select(machines, name)
            cells.append(exact_cell(f"misbehaving_{name}", choice.misbehaving, note=f"{choice.programs:,} programs"))
        return Evidence(cells=cells + _sizes(machines))

    def seconds(self, n: int) -> float:
        return sum(0.05 * 8.0 ** (length - 4) for length in self.lengths)

    def _of_length(self, machine: Machine) -> list[Cell]:
        length = machine.length
        choices = {name: select([machine], name) for name in ("none", "max", "average")}
        found = {
            f"{what}_{name}": getattr(choice, what)
            for name, choice in choices.items()
            for what in ("misbehaving", "harmful", "deceptive")
        }
        found |= {f"misbehaving_within_{slack:g}": misbehaving_within(machine, slack) for slack in self.within}
        found |= {f"misbehaving_uniform_{samples}": _uniform(machine, samples) for samples in self.samples}
        if any(group.deceptive for group in good_programs(machine)):
            found |= {f"excess_{tasks}": deceptive_excess(machine, tasks) for tasks in self.tasks}
        return [exact_cell(f"{name}_{length}", value) for name, value in found.items()]


def _uniform(machine: Machine, samples: int, step: float = 0.25) -> float:
    """Return P(misbehaving | found) where programs are drawn uniformly, `samples` at each cap, until one is good."""
    groups, space = good_programs(machine), machine.choices**machine.length
    surviving, misbehaves, finds = 1.0, 0.0, 0.0
    for level in range(1, int(CAP / step) + 1):
        within = [group for group in groups if group.total <= level * step * len(machine.trained)]
        good = sum(group.programs for group in within)
        hit = surviving * (1 - (1 - good / space) ** samples)
        if good:
            finds += hit
            misbehaves += hit * sum(group.programs for group in within if group.misbehaving) / good
        surviving -= hit
    return misbehaves / finds


def _sizes(machines: list[Machine]) -> list[Cell]:
    """Return the least number of instructions of a good honest program, and of one that deceives, where there are."""
    sizes = dict[str, int]()
    for machine in sorted(machines, key=lambda machine: machine.length):
        for group in good_programs(machine):
            kind = "honest" if not group.misbehaving else "deceptive" if group.deceptive else None
            if kind is not None:
                sizes.setdefault(kind, machine.length)
    return [exact_cell(f"least_size_{kind}", size, note="instructions") for kind, size in sizes.items()]
