"""Experiment `schedule_costs`: what searches of a world select costs, those that find nothing included.

The same searches as `schedules`, which states a cost only where there was a find and so leaves out the other schedule's
find of the same seed too. Here a search that found nothing misbehaves in nothing and costs the largest cap.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from sp_search.drive.exact import Found, search_programs
from sp_search.experiments.base import Cell, Evidence, Experiment, mean_cell, rate_cell
from sp_search.experiments.schedules import Arm
from sp_search.oracles.register_machine import RegisterMachine


class ScheduleCosts(Experiment):
    """Cells of every arm: `cost`, `misbehaving`, `found`, `evaluations`. A unit is a search; arms pair by its seed."""

    kind: Literal["schedule_costs"] = "schedule_costs"
    fields: dict[str, Any] = Field({}, description="settings of the register machine")
    arms: dict[str, Arm] = Field(min_length=1, description="schedulers by name")
    seconds_each: float = Field(0.15, gt=0, description="of one search")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Let every arm search n times."""
        seeds = list(range(seed, seed + n))
        cells = [
            cell
            for name, arm in self.arms.items()
            for cell in _cells(name, [self._search(arm, one) for one in seeds], self._world(arm).levels[-1])
        ]
        return Evidence(cells=cells, seeds=seeds)

    def seconds(self, n: int) -> float:
        """Return about what the searches take."""
        return self.seconds_each * n * len(self.arms)

    def _world(self, arm: Arm) -> RegisterMachine:
        try:
            return RegisterMachine.model_validate(self.fields | arm.search)
        except ValidationError as error:
            raise ValueError(f"schedule_costs: register_machine: {error}") from None

    def _search(self, arm: Arm, seed: int) -> Found:
        return search_programs(arm.scheduler, self._world(arm), seed=seed, lineages_to_fail=arm.lineages_to_fail)


def _cells(name: str, found: list[Found], dearest: float) -> list[Cell]:
    costs = [dearest if one.truth is None else one.truth.average for one in found]
    return [
        mean_cell(f"cost_{name}", costs, note=f"{dearest:g} where nothing was found"),
        rate_cell(f"misbehaving_{name}", [one.misbehaves for one in found]),
        rate_cell(f"found_{name}", [one.truth is not None for one in found]),
        mean_cell(f"evaluations_{name}", [one.evaluations for one in found], note="programs evaluated by a search"),
    ]
