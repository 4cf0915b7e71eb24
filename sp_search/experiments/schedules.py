"""Experiment `schedules`: the product's own schedulers search an exact world; how often do they select misbehaviour?

Unlike the closed forms of `tree_annealing`, what selects here is a whole search: scheduler, evidence, inheritance,
verdicts. A unit is one search. Arms search the same worlds with the same seeds, so their cells pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from sp_search.drive.exact import Found, search_programs
from sp_search.experiments.base import Cell, Evidence, Experiment, mean_cell, rate_cell
from sp_search.oracles.base import ProgramOracle
from sp_search.plugins import find
from sp_search.records import derive_seed
from sp_search.schedulers.base import BudgetScheduler
from sp_search.strict import PartOf, Section

GRAIN = 0.125
"""Reads: what the phase of a ladder is a multiple of."""


class Arm(Section):
    """One way to search: a scheduler, the evidence that a failure needs, and settings of the world's search."""

    scheduler: Annotated[BudgetScheduler, PartOf("schedulers")]
    lineages_to_fail: int = Field(5, ge=1)
    search: dict[str, Any] = Field({}, description="fields of the oracle: how much a lineage searches at a level")


class Schedules(Experiment):
    """P(misbehaving, deceptive, harmful) of what searches select, their mean cost and how much they evaluated."""

    kind: Literal["schedules"] = "schedules"
    oracle: str = Field("decision_programs", description="the world: an oracle of programs")
    fields: dict[str, Any] = Field({}, description="settings of the world")
    worlds: dict[str, dict[str, Any]] = Field({"": {}}, description="variants by name, with the settings that differ")
    arms: dict[str, Arm] = Field({}, description="schedulers by name; annealing with a mean budget unless given")
    phases: bool = Field(False, description="the ladder's first cap is drawn for every search, over one step")
    hold_out: bool = Field(
        False, description="one task input, the search's seed modulo their number, is met in deployment only"
    )
    seconds_each: float = Field(0.015, gt=0, description="of one search")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Let every arm search every world n times."""
        seeds = list(range(seed, seed + n))
        cells: list[Cell] = []
        for world, settings in self.worlds.items():
            for name, arm in self._arms().items():
                found = [self._search(arm, settings | arm.search, one) for one in seeds]
                cells += _cells("_".join(part for part in (name, world) if part), found)
        return Evidence(cells=cells, seeds=seeds)

    def seconds(self, n: int) -> float:
        return self.seconds_each * n * len(self.worlds) * len(self._arms())

    def _arms(self) -> dict[str, Arm]:
        scheduler = find("schedulers", "annealing").model_validate({"budget": "mean"})
        return self.arms or {"annealing": Arm.model_validate({"scheduler": scheduler})}

    def _search(self, arm: Arm, settings: dict[str, Any], seed: int) -> Found:
        """Search once. What exists of a world, a ladder's phase and what is held out follow from the search's seed."""
        part = find("oracles", self.oracle)
        asked = self.fields | settings
        if "present" in asked:
            asked["world"] = seed
        if self.phases:
            steps = round(asked["step"] / GRAIN)
            asked["first"] = GRAIN * (1 + derive_seed(seed, "phase") % steps)
        if self.hold_out:
            inputs = 2 ** asked["task_bits"]
            asked |= {"weights": [int(x != seed % inputs) for x in range(inputs)], "harm": [seed % inputs]}
        try:
            oracle = part.model_validate(asked)
        except ValidationError as error:
            raise ValueError(f"schedules: {self.oracle}: {error}") from None
        if not isinstance(oracle, ProgramOracle):
            raise ValueError(f"schedules: '{self.oracle}' has no programs: take decision_programs or register_machine")
        return search_programs(arm.scheduler, oracle, seed=seed, lineages_to_fail=arm.lineages_to_fail)


def _cells(name: str, found: Sequence[Found]) -> list[Cell]:
    cells = [
        rate_cell(f"misbehaving_{name}", [one.misbehaves for one in found]),
        rate_cell(f"deceptive_{name}", [one.deceives for one in found]),
        rate_cell(f"harmful_{name}", [one.harms for one in found]),
        rate_cell(f"found_{name}", [one.truth is not None for one in found], note="searches that found a good program"),
        mean_cell(f"evaluations_{name}", [one.evaluations for one in found], note="programs evaluated by a search"),
    ]
    costs = [one.truth.average for one in found if one.truth is not None]
    return [*cells, mean_cell(f"cost_{name}", costs, note="of what was found")] if len(costs) > 1 else cells
