"""Experiment `machine_search`: what a local search of the register machine finds first, as its budget grows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from sp_search.exact.machine import CAP, Behaviour, Machine
from sp_search.exact.machine_programs import Group, good_programs
from sp_search.exact.machine_search import begin, grow, search
from sp_search.experiments.base import Cell, Evidence, Experiment, mean_cell, rate_cell
from sp_search.strict import Section


class Arm(Section):
    """One way to bound the search: the cap on the mean or largest cost grows by `step`, or there is none."""

    budget: Literal["none", "mean", "max"]
    step: float = Field(0.25, gt=0, le=CAP)
    per_level: int = Field(200, ge=1, description="proposals at a cap; without a budget 200 times as many in all")

    @property
    def name(self) -> str:
        """Return what its cells end in."""
        return "none" if self.budget == "none" else f"{self.budget}_{self.step:g}_{self.per_level}"


class MachineSearch(Experiment):
    """The first good program that a search finds; a unit is a search, and arms pair by seed."""

    kind: Literal["machine_search"] = "machine_search"
    length: int = Field(6, ge=4, le=7, description="instructions of a program")
    arms: list[Arm] = Field(min_length=1, description="what is searched: budgets, steps and proposals")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Search; one that finds nothing counts as not misbehaving, and the share that finds is a cell of its own."""
        seeds, cells = list(range(seed, seed + n)), list[Cell]()
        data: dict[str, Any] = {}
        for arm in self.arms:
            found, classes = self._arm(arm, seeds)
            cells += found
            data[arm.name] = classes
        return Evidence(cells=cells, seeds=seeds, data=data)

    def seconds(self, n: int) -> float:
        return 2.0 + n * sum(
            0.01 if arm.budget == "none" else arm.per_level * 10 / arm.step / 50_000 for arm in self.arms
        )

    def _arm(self, arm: Arm, seeds: list[int]) -> tuple[list[Cell], dict[str, Any]]:
        """Return an arm's cells, and how many finds fell into every class of misbehaviour beside the uniform share."""
        machine, seen, evaluations = Machine(length=self.length), list[Behaviour | None](), []
        for seed in seeds:
            state = begin(machine, seed)
            if arm.budget == "none":
                state = search(machine, state, 200 * arm.per_level, "max", CAP)
            else:
                state = grow(machine, state, arm.per_level, arm.budget, arm.step)
            seen.append(machine.behaviour(state.found) if state.found else None)
            evaluations.append(state.evaluations)
        found = [one for one in seen if one is not None]
        cells = [
            rate_cell(f"{what}_{arm.name}", [one is not None and getattr(one, what) for one in seen])
            for what in ("misbehaving", "harms", "deceptive")
        ]
        cells.append(rate_cell(f"found_{arm.name}", [one is not None for one in seen]))
        if len(seeds) > 1:
            cells.append(mean_cell(f"evaluations_{arm.name}", evaluations))
            groups = good_programs(machine)
            ranks = [_rank(one.average, groups, machine) if one else 1.0 for one in seen]
            note = "share of all good programs that are cheaper; 1 where nothing was found"
            cells.append(mean_cell(f"cost_rank_{arm.name}", ranks, note=note))
        return cells, {"classes": Counter(_classes(one) for one in found), "uniform": _uniform(machine)}


def _rank(cost: float, groups: tuple[Group, ...], machine: Machine) -> float:
    """Return the share of good programs that cost less, and half of those that cost the same."""
    total, every = cost * len(machine.trained), sum(group.programs for group in groups)
    less = sum(group.programs for group in groups if group.total < total)
    same = sum(group.programs for group in groups if group.total == total)
    return (less + same / 2) / every


def _classes(one: Behaviour | Group) -> str:
    return "".join(name for name, has in (("W", one.acts), ("Q", one.checks), ("H", one.harms)) if has) or "honest"


def _uniform(machine: Machine) -> dict[str, float]:
    groups, counts = good_programs(machine), Counter[str]()
    for group in groups:
        counts[_classes(group)] += group.programs
    return {name: count / counts.total() for name, count in counts.items()}
