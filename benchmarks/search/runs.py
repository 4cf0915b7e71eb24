"""Runs methods in worlds over paired seeds, side by side in processes, and chooses settings on worlds of their own."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

from benchmarks.search import places
from benchmarks.search.measures import Reading, bounded_ert, judged, summary
from benchmarks.search.methods import CONFIRMING, RARE_METHODS, THRESHOLD_METHODS, Method
from benchmarks.search.race import Run
from benchmarks.search.worlds import World

READINGS: tuple[Reading, ...] = ("program", "repeatable")
SEEDS = range(30)
CHOOSING_SEEDS = range(100, 103)
Choice = dict[str, dict[str, str]]
"""By reading and method, the setting that it is given."""


@dataclass(frozen=True)
class Family:
    """Worlds that are alike, those on which settings are chosen, and the tolerance that counts there."""

    name: str
    worlds: Callable[[], Iterable[World]]
    choosing: Callable[[], Iterable[World]]
    methods: list[Method]
    tolerance: float


FAST_ENOUGH = [method for method in THRESHOLD_METHODS if method.name != "Optuna GP"]
FAMILIES = {
    "thresholds": Family("thresholds", places.thresholds, places.other_thresholds, THRESHOLD_METHODS, 0.10),
    "inherit": Family("inherit", places.inheriting, places.other_thresholds, FAST_ENOUGH, 0.10),
    "workers": Family("workers", places.two_thresholds, places.other_thresholds, FAST_ENOUGH, 0.10),
    "rare": Family("rare", places.rare, places.other_rare, RARE_METHODS, 0.25),
}


@dataclass(frozen=True)
class Task:
    """One method with one setting in one world, over some seeds. A process finds its parts by name."""

    family: str
    world: str
    method: str
    setting: str
    seeds: range
    choosing: bool = False
    how: dict[str, Any] = field(default_factory=dict)

    def runs(self) -> tuple[list[Run], World]:
        """Run it."""
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="optuna")  # its mixed search, 0 / 0
        family = FAMILIES[self.family]
        worlds = family.choosing() if self.choosing else family.worlds()
        world = next(one for one in worlds if one.name == self.world)
        method = next(one for one in family.methods if one.name == self.method)
        search = method.settings[self.setting]
        return [search(world, seed, **self.how) for seed in self.seeds], world


def _summaries(task: Task) -> dict[str, Any]:
    runs, world = task.runs()
    workers = task.how.get("workers", 1)
    return {reading: summary([judged(run, world, reading, workers) for run in runs]) for reading in READINGS}


def _scores(task: Task) -> dict[str, float]:
    runs, world = task.runs()
    tolerance = FAMILIES[task.family].tolerance
    return {one: math.log(bounded_ert([judged(run, world, one) for run in runs], tolerance)) for one in READINGS}


def in_processes(work: Callable[[Task], Any], tasks: list[Task]) -> list[Any]:
    """Return `work` of every task, in order, on as many processes as BENCHMARK_JOBS says or there are processors."""
    with ProcessPoolExecutor(int(os.environ.get("BENCHMARK_JOBS", os.cpu_count() or 1))) as pool:
        return list(pool.map(work, tasks))


def choose(family: Family, methods: list[Method], seeds: range = CHOOSING_SEEDS) -> Choice:
    """Return by reading and method the setting of the least geometric mean of ERT over the other worlds.

    Where a claim is a program, which is verified, a setting that trains further lineages to confirm it has no place.
    """
    tasks = [
        Task(family.name, world.name, method.name, setting, seeds, choosing=True)
        for method in methods
        for setting in method.settings
        for world in family.choosing()
        if len(method.settings) > 1
    ]
    scores: dict[tuple[str, str, str], list[float]] = {}
    for task, found in zip(tasks, in_processes(_scores, tasks), strict=True):
        for reading, score in found.items():
            scores.setdefault((reading, task.method, task.setting), []).append(score)
    choice: Choice = {}
    for reading in READINGS:
        choice[reading] = {
            method.name: min(
                (one for one in method.settings if reading == "repeatable" or not one.endswith(CONFIRMING)),
                key=lambda one: mean(scores.get((reading, method.name, one), [0.0])),
            )
            for method in methods
        }
    return choice


def compare(
    family: Family,
    methods: list[Method],
    choice: Choice,
    seeds: range = SEEDS,
    readings: tuple[Reading, ...] = READINGS,
    **how: Any,
) -> list[dict[str, Any]]:
    """Return one row a world, method and reading."""
    tasks: dict[tuple[str, str, str], Task] = {}
    for world in family.worlds():
        for method in methods:
            for reading in readings:
                setting = choice[reading][method.name]
                tasks[world.name, method.name, setting] = Task(
                    family.name, world.name, method.name, setting, seeds, how=how
                )
    found = dict(zip(tasks, in_processes(_summaries, list(tasks.values())), strict=True))
    return [
        {
            "world": world.name,
            "method": method.name,
            "whose": method.whose,
            "reading": reading,
            "setting": choice[reading][method.name],
            **how,
            **found[world.name, method.name, choice[reading][method.name]][reading],
        }
        for world in family.worlds()
        for method in methods
        for reading in readings
    ]


def without_infinity(value: Any) -> Any:
    """Return JSON in which what never came is null."""
    if isinstance(value, dict):
        return {key: without_infinity(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_infinity(one) for one in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value
