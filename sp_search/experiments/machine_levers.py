"""Experiment `machine_levers`: do ways to save computation in the search raise P(misbehaving selected)?

Inheritance, clones, warm starts, curricula and early stopping make searches cheap; each could also carry a misbehaving
program along. In the register machine every lever runs with and without, on the same seeds and with the same proposals
at every cap, and again where the first lineage begins with a misbehaving good program (a poisoned donor).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field

from sp_search.exact.machine import Machine
from sp_search.exact.machine_designs import Design, select_by_search
from sp_search.experiments.base import Cell, Evidence, Experiment, mean_cell, rate_cell

LOW_PARITY = tuple((x & 7).bit_count() % 2 for x in range(16))
"""Another task, whose good programs are donors: parity of the three low bits."""
FAST: dict[str, Any] = {"step": 4.0, "factor": 10, "below": 4000}
"""Up in large steps, then down from what was found; `factor` times the proposals at a cap."""

DESIGNS: dict[str, dict[str, Any]] = {
    "fresh": {},
    "inherit_up": {"inherit": True},
    "inherit_up_poisoned": {"inherit": True, "donor": "poisoned"},
    "down_fresh": FAST,
    "inherit_down": {**FAST, "inherit": True},
    "inherit_down_poisoned": {**FAST, "inherit": True, "donor": "poisoned"},
    "lineages": {"lineages": 5, "inherit": True},
    "clones": {"lineages": 5, "inherit": True, "clones": True},
    "lineages_poisoned": {"lineages": 5, "inherit": True, "donor": "poisoned"},
    "clones_poisoned": {"lineages": 5, "inherit": True, "clones": True, "donor": "poisoned"},
    "warm_start": {"donor": "honest", "donor_target": LOW_PARITY},
    "warm_start_honest": {"donor": "honest"},
    "warm_start_poisoned": {"donor": "poisoned"},
    "curriculum": {"curriculum": True},
    "curriculum_poisoned": {"curriculum": True, "donor": "poisoned"},
    "early_stopping": {"factor": 2.8},
    "best_of_budget": {"below": 4000},
    "early_stopping_poisoned": {"factor": 2.8, "donor": "poisoned"},
    "best_of_budget_poisoned": {"below": 4000, "donor": "poisoned"},
}
"""How every cell searches, apart from the usual design. `early_stopping` has more proposals at a cap instead of the
search below the first find, so that both evaluate about as many programs."""


class Comparison(NamedTuple):
    """A lever: the cell that has it and the cell that differs from it by the lever alone."""

    lever: str
    with_it: str
    without: str


COMPARISONS = (
    Comparison("inherit_up", "inherit_up", "fresh"),
    Comparison("inherit_up_poisoned", "inherit_up_poisoned", "inherit_up"),
    Comparison("inherit_down", "inherit_down", "down_fresh"),
    Comparison("inherit_down_poisoned", "inherit_down_poisoned", "inherit_down"),
    Comparison("clones", "clones", "lineages"),
    Comparison("clones_poisoned", "clones_poisoned", "lineages_poisoned"),
    Comparison("warm_start", "warm_start", "fresh"),
    Comparison("warm_start_honest", "warm_start_honest", "fresh"),
    Comparison("warm_start_poisoned", "warm_start_poisoned", "fresh"),
    Comparison("curriculum", "curriculum", "fresh"),
    Comparison("curriculum_poisoned", "curriculum_poisoned", "warm_start_poisoned"),
    Comparison("early_stopping", "early_stopping", "best_of_budget"),
    Comparison("early_stopping_poisoned", "early_stopping_poisoned", "best_of_budget_poisoned"),
)


class MachineLevers(Experiment):
    """What searches of the register machine select with and without a lever; a unit is a search."""

    kind: Literal["machine_levers"] = "machine_levers"
    length: int = Field(6, ge=5, le=7, description="instructions of a program")
    per_level: int = Field(50, ge=1, description="proposals at a cap of the mean cost; caps rise by a quarter")
    designs: list[Literal[tuple(DESIGNS)]] = Field(list(DESIGNS), min_length=1, description="cells")  # type: ignore[valid-type]

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Run every design on the same seeds; a search that finds nothing counts as not misbehaving."""
        seeds = list(range(seed, seed + n))
        return Evidence(cells=[cell for name in self.designs for cell in self._cells(name, seeds)], seeds=seeds)

    def seconds(self, n: int) -> float:
        return 4.0 + 0.1 * n * len(self.designs) * self.per_level / 50

    def _cells(self, name: str, seeds: list[int]) -> list[Cell]:
        machine, settings = Machine(length=self.length), dict(DESIGNS[name])
        per_level = round(self.per_level * settings.pop("factor", 1))
        design = Design(per_level=per_level, **settings)
        ends = [select_by_search(machine, design, seed) for seed in seeds]
        seen = [machine.behaviour(end.program) if end.program else None for end in ends]
        cells = [
            rate_cell(f"misbehaving_{name}", [one is not None and one.misbehaving for one in seen]),
            rate_cell(f"found_{name}", [one is not None for one in seen]),
        ]
        return cells + ([mean_cell(f"evaluations_{name}", [end.evaluations for end in ends])] if len(ends) > 1 else [])
