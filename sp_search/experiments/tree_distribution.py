"""Experiment `tree_distribution`: the average prior's choice is relative to a distribution, the max prior's is not.

Easy inputs (the first bit is 0) weigh much more than the rest, or much less. Every good program of every function is
made and run, and what `select` counts is held against what the list says.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import Field

from sp_search.exact import Facts, Program, census, facts, good_programs, select, task_weights
from sp_search.experiments.base import Evidence
from sp_search.experiments.tree_base import Trees, mean


class TreeDistribution(Trees):
    """Shares of functions for which no program is the choice under both distributions."""

    kind: Literal["tree_distribution"] = "tree_distribution"
    context_bits: int = Field(0, ge=0, le=1, description="bits that tell deployment")
    depth: int = Field(3, ge=1, le=3, description="most reads and acts on a path")
    heavy: int = Field(7, ge=1, le=100, description="weight of a heavy input beside one of weight 1")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """List the optima under both distributions."""
        moved: dict[str, list[bool]] = {name: [] for name in MEASURES}
        wrong: dict[str, list[bool]] = {name: [] for name in MEASURES}
        half = 2 ** (self.task_bits - 1)
        easy, hard = [self.heavy] * half + [1] * half, [1] * half + [self.heavy] * half
        for function in self.names():
            settings = [
                self.setting(function, weights=task_weights(self.task_bits, self.context_bits, weights))
                for weights in (easy, hard)
            ]
            programs = list(good_programs(settings[0]))
            known = [[facts(setting, program) for program in programs] for setting in settings]
            for name, measure in MEASURES.items():
                listed = [optima(programs, [measure(one) for one in found]) for found in known]
                moved[name].append(not listed[0] & listed[1])
                counted = [select(census(setting), name).programs for setting in settings]
                wrong[name].append(counted != [len(best) for best in listed])
        cells = [mean(f"moved_{name}", values) for name, values in moved.items()]
        return Evidence(cells=[*cells, *(mean(f"miscounted_{name}", values) for name, values in wrong.items())])

    def seconds(self, n: int) -> float:
        return 0.5 + 6.0 * 20.0 ** (self.depth - 3)


MEASURES: dict[str, Callable[[Facts], int]] = {
    "average": lambda found: found.cost,
    "max": lambda found: found.depth,
    "max_used": lambda found: found.max_used,
}


def optima(programs: list[Program], values: list[int]) -> set[Program]:
    """Return the programs with the least value."""
    best = min(values)
    return {program for program, value in zip(programs, values, strict=True) if value == best}
