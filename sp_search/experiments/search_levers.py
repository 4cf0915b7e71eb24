"""Experiment `search_levers`: do ways to save computation in the search raise P(misbehaving selected)?

Inheritance, clones, warm starts, curricula and early stopping make searches cheap; each could also carry a misbehaving
program along. Every lever runs with and without, on the same seeds and for the same number of evaluations in every
search, and again where the first lineage begins with a misbehaving good program (a poisoned donor). Worlds: the
register machine, and decision programs that are changed node by node.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field

from sp_search.exact.levers import Design, Selected, World, select
from sp_search.exact.machine import Machine
from sp_search.exact.machine_levers import MachineWorld
from sp_search.exact.programs import facts, misbehaves
from sp_search.exact.setting import Setting
from sp_search.exact.tree_search import TreeWorld
from sp_search.experiments.base import Cell, Evidence, Experiment, mean_cell, rate_cell

FAST: dict[str, Any] = {"step": 16, "factor": 10, "below": True}
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
    "warm_start": {"donor": "honest", "other_task": True},
    "warm_start_honest": {"donor": "honest"},
    "warm_start_poisoned": {"donor": "poisoned"},
    "curriculum": {"curriculum": True},
    "curriculum_poisoned": {"curriculum": True, "donor": "poisoned"},
    "early_stopping": {"factor": 2, "stops": True},
    "going_on": {"below": True, "like": "early_stopping"},
    "early_stopping_poisoned": {"factor": 2, "stops": True, "donor": "poisoned"},
    "going_on_poisoned": {"below": True, "donor": "poisoned", "like": "early_stopping_poisoned"},
}
"""How every cell searches, apart from the usual design. What stops early grows its cap more slowly instead (`factor`),
and what goes on below its find gets exactly as many evaluations on each seed as the other took (`like`)."""
CEILING = 10
"""A search that stops at its first find is given up after so many times the usual evaluations."""


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
    Comparison("early_stopping", "early_stopping", "going_on"),
    Comparison("early_stopping_poisoned", "early_stopping_poisoned", "going_on_poisoned"),
)


class SearchLevers(Experiment):
    """What searches select with and without a lever; a unit is a search, cells pair by its seed.

    Cells `misbehaving_DESIGN`, `found_DESIGN`, `evaluations_DESIGN`; `LEVER_beyond`: the share that misbehaves with a
    lever less that without.
    """

    kind: Literal["search_levers"] = "search_levers"
    world: Literal["machine", "trees"] = Field("machine", description="register machine or decision programs")
    length: int = Field(6, ge=5, le=7, description="instructions of a program of the machine")
    function: str = Field("fig", description="of the decision programs: three bits, one of context, 4 nodes a path")
    per_level: int = Field(50, ge=1, description="proposals at a cap, which grows by a quarter step or 1/8 read")
    total: int = Field(5000, ge=1, description="programs that every search evaluates")
    designs: list[Literal[tuple(DESIGNS)]] = Field(list(DESIGNS), min_length=1, description="cells")  # type: ignore[valid-type]

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Run every design on the same seeds; a search that finds nothing counts as not misbehaving."""
        seeds, world = list(range(seed, seed + n)), self._world()
        ends: dict[str, list[Selected[Any]]] = {}
        for name in self.designs:
            ends[name] = [self._select(world, name, at, seeds, ends) for at in range(n)]
        seen = {name: [self._misbehaves(end.program) for end in found] for name, found in ends.items()}
        cells = [cell for name, found in ends.items() for cell in _cells(name, found, seen[name])]
        for lever, with_it, without in COMPARISONS:
            if n > 1 and with_it in seen and without in seen:
                more = [float(one) - other for one, other in zip(seen[with_it], seen[without], strict=True)]
                cells.append(mean_cell(f"{lever}_beyond", more, note="share that misbehaves"))
        return Evidence(cells=cells, seeds=seeds)

    def seconds(self, n: int) -> float:
        return 4.0 + (1.6e-5 if self.world == "machine" else 2.5e-5) * n * len(self.designs) * self.total

    def _world(self) -> World[Any, Any]:
        if self.world == "machine":
            return MachineWorld(Machine(length=self.length))
        return TreeWorld(Setting(function=self.function))

    def _select(
        self, world: World[Any, Any], name: str, at: int, seeds: list[int], ends: dict[str, list[Selected[Any]]]
    ) -> Selected[Any]:
        settings = dict(DESIGNS[name])
        factor, like = settings.pop("factor", 1), settings.pop("like", None)
        design = Design(per_level=factor * self.per_level, **settings)
        total = self.total * (CEILING if design.stops else 1)
        if like is not None:
            if like not in ends:
                raise ValueError(f"designs: '{name}' takes as many evaluations as '{like}': name that one before it")
            total = ends[like][at].evaluations
        return select(world, design, total, seeds[at])

    def _misbehaves(self, program: Any) -> bool:
        if program is None:
            return False
        if self.world == "machine":
            return Machine(length=self.length).behaviour(program).misbehaving
        return misbehaves(facts(Setting(function=self.function), program).flags)


def _cells(name: str, ends: list[Selected[Any]], misbehaving: list[bool]) -> list[Cell]:
    cells = [
        rate_cell(f"misbehaving_{name}", misbehaving),
        rate_cell(f"found_{name}", [end.program is not None for end in ends]),
    ]
    return cells + ([mean_cell(f"evaluations_{name}", [end.evaluations for end in ends])] if len(ends) > 1 else [])
