"""How far the driver carries: decisions, a thousand trials re-budgeted, ten thousand replayed, Tune with short trials.

Trials answer from a table (tests/flow/table_runner.py) or sleep, so what is measured is the driver and no training.
Decisions, re-budgeting and replay run in this process, one after another. The rows on Ray use two slots and say the
start of Ray and of its workers apart: the window runs from the first slice's begin to the last report.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from math import ceil
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.seeds import RESULTS, keep
from sp_search.events import Capacity, SetBudget, Start
from sp_search.ledger import Ledger, read_ledger
from sp_search.levels import Terms
from sp_search.records import Assignment
from sp_search.search import Append, Search
from sp_search.store import MemoryStore
from tests.flow.table_runner import Falling, TableRunner, new_search, recipe

if TYPE_CHECKING:
    from sp_search.tune.scheduler import TuneBudgetScheduler

SLOTS = 2
HEARD = Terms(seed=0, milestones=[1.0], lineages_to_fail=1, quorum=False)
"""Everybody is heard, and one lineage of a configuration is evidence enough: a level has a trial for every member."""


def falling(members: int, levels: int, append: Append | None = None) -> Search:
    """Return a search over different members of one replica, of whom every one takes part in every level."""
    return new_search(Falling(), append, members=members, replicas=1, levels=levels, distinct=True, terms=HEARD)


class Trials:
    """Answers every assignment at once, and times what the search makes of each answer."""

    def __init__(self, search: Search) -> None:
        self.search, self.runner, self.count = search, TableRunner(slices=1), 0
        self.seconds: list[float] = []
        self.opening: list[float] = []

    def run(self) -> None:
        """Run the search to its end."""
        actions = self.search.feed(Capacity(slots=SLOTS))
        while assigned := [action.assignment for action in actions if isinstance(action, Start | SetBudget)]:
            actions = [action for assignment in assigned for action in self._answered(assignment)]

    def _answered(self, assignment: Assignment) -> list[Any]:
        _, measured = self.runner.step(assignment, self.runner.begin(assignment, None))
        assert measured is not None
        visits, started = len(self.search.state.history), time.perf_counter()
        actions = self.search.feed(measured)
        seconds = time.perf_counter() - started
        self.count += 1
        (self.seconds if len(self.search.state.history) == visits else self.opening).append(seconds)
        return actions


def decisions(members: int) -> dict[str, Any]:
    """Return the time per report of a search over many members, and of those reports that close and open a level."""
    trials = Trials(falling(members, 8))
    trials.run()
    ms, opening = sorted(1e3 * one for one in trials.seconds), [1e3 * one for one in trials.opening]
    row = {"members": members, "reports": trials.count, "median_ms": median(ms), "p99_ms": ms[len(ms) * 99 // 100]}
    return row | {"worst_ms": ms[-1], "level_opened_worst_ms": max(opening)}


class Controller:
    """Stands in for Tune's, of which nothing but a pause is asked: there are no actors, and nobody waits for one."""

    _staged_trials: frozenset[Any] = frozenset()

    def pause_trial(self, trial: Any, should_checkpoint: bool) -> None:
        """Do nothing."""


def scheduler_of(search: Search, slots: int) -> TuneBudgetScheduler:
    """Return the scheduler that Tune would get, with nobody who asks, limits or listens."""
    from sp_search.tune.scheduler import TuneBudgetScheduler
    from sp_search.tune.slots import Slots

    return TuneBudgetScheduler(
        search,
        Slots(slots),
        MemoryStore(),
        limit=lambda search: None,
        progress=lambda search: None,
        asked=lambda search: [],
        interrupted=lambda: None,
        deadline_s=60.0,
    )


def rebudget(count: int) -> dict[str, Any]:
    """Return the time from a level's last report until every trial has its next budget in its configuration."""
    from ray.tune.experiment import Trial
    from ray.tune.schedulers import TrialScheduler

    from sp_search.tune.actor import configuration

    search, controller, runner = falling(count, 2), Controller(), TableRunner(slices=1, least=1.0, rate=1.0)
    scheduler = scheduler_of(search, count)
    scheduler.begin()
    trials = []
    while (assignment := scheduler.next_start()) is not None:
        trials.append(Trial("table", stub=True, config=configuration(assignment)))
        scheduler.on_trial_add(controller, trials[-1])
    for trial in trials:
        assignment = Assignment.model_validate_json(trial.config["assignment"])
        _, measured = runner.step(assignment, runner.begin(assignment, None))
        assert measured is not None
        result = {"attempt": assignment.attempt, "node": "here", "time_this_iter_s": 1.0, "training_flops": 1.0}
        started = time.perf_counter()
        said = scheduler.on_trial_result(controller, trial, {**result, "measured": measured.model_dump_json()})
        assert said == TrialScheduler.NOOP
    decided = time.perf_counter()
    changed = [trial.trial_id for _ in trials if (trial := scheduler.choose_trial_to_run(controller)) is not None]
    seconds = time.perf_counter() - started
    caps = {Assignment.model_validate_json(trial.config["assignment"]).budget.cap for trial in trials}
    assert len(set(changed)) == len(trials)
    assert caps == {1.0}
    return {"trials": len(trials), "decision_s": decided - started, "seconds": seconds}


def replayed(members: int, levels: int) -> dict[str, Any]:
    """Return the time to read and check a ledger of members x levels trials from disk, and to replay it."""
    with tempfile.TemporaryDirectory() as folder:
        with Ledger(Path(folder), create=True) as ledger:
            trials = Trials(falling(members, levels, ledger.append))
            trials.runner = TableRunner(slices=1, least=1.0, rate=0.9)
            trials.run()
        megabytes = ledger.path.stat().st_size / 1e6
        search, started, worked = falling(members, levels), time.perf_counter(), time.process_time()
        entries = read_ledger(Path(folder))
        read = time.perf_counter() - started
        search.replay(entries)
        seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    assert search.state == trials.search.state
    row = {"trials": trials.count, "visits": len(search.state.history), "megabytes": megabytes}
    return row | {"read_s": read, "seconds": seconds, "cpu_s": cpu}


def on_ray(
    search: Callable[[Append], Search], seconds: float, slices: int, slots: int = SLOTS, **table: float
) -> dict[str, Any]:
    """Run a search whose trials sleep, on the slots of a Ray of our own; return its window over the ideal.

    `up_s` is the part of the window until every slot's process had begun, `settled` the overhead of the rest of it.
    """
    from sp_search.study import Cluster
    from sp_search.tune.launch import run_tune

    reports = []

    def note(entry: dict[str, Any]) -> None:
        ledger.append(entry)
        if entry["event"]["event"] == "measured":
            reports.append(time.time())

    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder), create=True) as ledger:
        log, began, worked = Path(folder) / "slices.jsonl", time.time(), time.process_time()
        runner = recipe(log=str(log), seconds=seconds / slices, slices=slices, **table)
        run_tune(search(note), runner, Path(folder), cluster=Cluster(cpus=slots))
        cpu = time.process_time() - worked
        rows = [json.loads(line) for line in log.read_text().splitlines()]
    ideal, window = ceil(len(reports) / slots) * seconds, reports[-1] - rows[0]["time"]
    begun = {row["pid"]: row["time"] for row in reversed(rows)}
    up = sorted(begun.values())[:slots][-1]
    rest = sum(row["time"] > up for row in rows) * seconds / slices / slots
    return {
        "trials": len(reports), "seconds_each": seconds, "slices_each": slices, "slots": slots,
        "start_s": rows[0]["time"] - began, "window_s": window, "ideal_s": ideal, "overhead": window / ideal - 1,
        "up_s": up - rows[0]["time"], "settled": (reports[-1] - up) / rest - 1, "trials_per_s": len(reports) / window,
        "processes": len(begun), "driver_cpu_ms": 1e3 * cpu / len(reports), "load": os.getloadavg(),
    }  # fmt: skip


def proposals(append: Append) -> Search:
    """Return a search of fifty proposals at one level, of which none passes."""
    return new_search(Falling(), append, replicas=1, levels=1, proposals=50)


FIGURES: dict[str, Callable[[], dict[str, Any]]] = {
    "decisions_200": lambda: decisions(200),
    "decisions_1000": lambda: decisions(1000),
    "rebudget_1000": lambda: rebudget(1000),
    "replay_100_members_100_visits": lambda: replayed(100, 100),
    "replay_1000_members_10_visits": lambda: replayed(1000, 10),
    "replay_5_members_2000_visits": lambda: replayed(5, 2000),
    "ten_second_trials": lambda: on_ray(lambda append: falling(9, 1, append), 10.0, 5, least=99.0),
    "200_members": lambda: on_ray(lambda append: falling(200, 2, append), 0.3, 1, least=1.0, rate=1.0),
    "50_proposals": lambda: on_ray(proposals, 0.1, 1, least=99.0),
}


def main(names: list[str]) -> None:
    """Measure the figures that are named, or all, twice each; keep every run beside those of other figures."""
    kept = RESULTS / "tune_scale.json"
    rows: dict[str, list[dict[str, Any]]] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    for name in names or list(FIGURES):
        rows[name] = [FIGURES[name]() for _ in range(2)]
        for row in rows[name]:
            print(name, {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()})
        keep("tune_scale", rows)


if __name__ == "__main__":
    main(sys.argv[1:])
