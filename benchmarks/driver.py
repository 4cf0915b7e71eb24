"""What the driver does for each report, and holds for each trial: scheduler, ledger and shipper, alone and in Tune.

`reports`: 10,000 trials of 100 members, two lineages each (or five), as large in the ledger as the quickstart's,
through Tune's scheduler and the ledger on this disk, with nobody else in the loop: CPU time of the driver's thread,
elapsed time with every sync, and how the process grows. Everybody passes, so every lineage is a verified program.
`shipping`: the same ledger into a fresh SQLite store, by detail. `over_tune`: the same sleeping trials under Tune alone
(its FIFO scheduler, the actors reused, no checkpoints, a trial made when a slot is free for it) and under a search with
a ledger and checkpoints, in pairs on one Ray whose order changes; CPU time of the driver's process and elapsed time,
without the first quarter of the reports, in which workers start. `ten_thousand`: trials of a second on sleeping actors.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.seeds import RESULTS, keep
from benchmarks.tune_scale import HEARD, Controller, falling, on_ray, scheduler_of
from sp_search.ledger import Ledger
from sp_search.records import Assignment, Measured, Sample, Usage
from sp_search.search import Search
from tests.flow.table_runner import Falling, TableRunner, new_search, recipe

MEMBERS, LEVELS, SHIPPED_LEVELS, RUNS = 100, 101, 11, 2
PAIRS, STARTING, SLOTS = 3, 0.25, 20
ONCE = ("over_tune_slices", "over_tune_one_second", "one_thousand", "ten_thousand")
"""Pairs that have their spread in themselves, and what takes minutes."""
DIAGNOSTICS = {
    "corr_need": None, "dead_halting": False, "exit_std": 0.0, "mean_exit": 1.0, "mean_need": 5.0, "over_spend": 0.2,
    "threshold": None, "validation_accuracy": 0.002,
}  # fmt: skip


def measured(assignment: Assignment) -> Measured:
    """Return what a trial says in which every lineage passes, with as many numbers as one that was trained."""
    runner = TableRunner(slices=1, least=0.0, rate=1.0)
    _, bare = runner.step(assignment, runner.begin(assignment, None))
    assert bare is not None
    cap = assignment.budget.cap
    sample = Sample(mean=cap, variance=0.0, p95=cap, largest=cap, n=2048, possible_low=cap, possible_high=cap)
    update = {"compute": {"flops": sample, "rollouts": sample}, "diagnostics": DIAGNOSTICS}
    lineages = [lineage.model_copy(update=update) for lineage in bare.lineages]
    usage = Usage(wall_seconds=1.0, cpu_seconds=0.9, peak_memory_bytes=3e8)
    return bare.model_copy(update={"lineages": lineages, "usage": usage})


class Idle(Controller):
    """Is told that trials end, too."""

    def stop_trial(self, trial: Any) -> None:
        """Do nothing."""


CONTROLLER = Idle()


class Driven:
    """A search in Tune's scheduler without Tune: every trial answers at once."""

    def __init__(self, folder: Path, levels: int, detail: str, lineages: int = 2) -> None:
        """Begin a ledger in `folder`."""
        self.ledger = Ledger(folder, create=True)
        self.search = searched(self.ledger, MEMBERS, lineages, levels, detail)
        self.scheduler = scheduler_of(self.search, MEMBERS)
        self.reports, self.cpu_s, self.slice_cpu_s, self.bytes = 0, 0.0, 0.0, [0]

    def run(self) -> None:
        """Answer until the search is over."""
        own = psutil.Process()
        self.scheduler.begin()
        while trials := self._handed_out():
            for trial in trials:
                self._answer(trial)
            self.bytes.append(own.memory_info().rss)
        assert self.search.state.finished == "resolved"

    def _handed_out(self) -> list[Any]:
        """Return the trials that have an assignment now: new ones, and those that go on."""
        from ray.tune.experiment import Trial

        from sp_search.tune.actor import configuration

        began, trials = time.thread_time(), []
        while (assignment := self.scheduler.next_start()) is not None:
            trials.append(Trial("table", stub=True, config=configuration(assignment)))
            self.scheduler.on_trial_add(CONTROLLER, trials[-1])
        while (chosen := self.scheduler.choose_trial_to_run(CONTROLLER)) is not None:
            trials.append(chosen)
        self.cpu_s += time.thread_time() - began
        return trials

    def _answer(self, trial: Any) -> None:
        assignment = Assignment.model_validate_json(trial.config["assignment"])
        place = {"attempt": assignment.attempt, "node": "here"}
        result: dict[str, Any] = {**place, "time_this_iter_s": 1.0, "training_flops": 1.0}
        said = result | {"measured": measured(assignment).model_dump_json()}
        began = time.thread_time()
        self.scheduler.on_trial_result(CONTROLLER, trial, result)  # a slice, after which the level goes on
        between = time.thread_time()
        self.scheduler.on_trial_result(CONTROLLER, trial, said)
        self.slice_cpu_s += between - began
        self.cpu_s += time.thread_time() - between
        self.reports += 1


def searched(ledger: Ledger, members: int, replicas: int, levels: int, detail: str) -> Search:
    """Return a search that goes down through all levels, and write its header."""
    options: dict[str, Any] = {"members": members, "replicas": replicas, "levels": levels, "distinct": True}
    search = new_search(Falling(), ledger.append, **options, terms=HEARD)
    parts = {name: getattr(search.state, name).model_dump(mode="json") for name in ("space", "population", "terms")}
    study = {"tracking": {"detail": detail}}
    ledger.append({"header": {"name": "driver", "seed": 0, "study": study, "versions": {}, **parts}})
    return search


def reports(lineages: int) -> dict[str, Any]:
    """Return what 10,000 reports take, and what the process holds more for each of them."""
    with tempfile.TemporaryDirectory() as folder:
        driven = Driven(Path(folder), LEVELS, "study", lineages)
        began = time.perf_counter()
        driven.run()
        seconds = time.perf_counter() - began
        driven.ledger.close()
        megabytes = driven.ledger.path.stat().st_size / 1e6
    tenth = len(driven.bytes) // 10
    grown = (driven.bytes[-1] - driven.bytes[tenth]) / (len(driven.bytes) - 1 - tenth) / MEMBERS
    return {
        "lineages": lineages, "reports": driven.reports, "slice_cpu_ms": 1e3 * driven.slice_cpu_s / driven.reports,
        "cpu_ms": 1e3 * driven.cpu_s / driven.reports, "seconds": seconds,
        "reports_per_s": driven.reports / seconds, "reports_per_cpu_s": driven.reports / driven.cpu_s,
        "ledger_megabytes": megabytes, "bytes_per_trial": grown, "load": os.getloadavg(),
    }  # fmt: skip


def shipping(detail: str) -> dict[str, Any]:
    """Return what shipping takes for each line of a ledger that is there already, into a store that is there too."""
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        shipped(uri, Path(folder) / "first", 2, detail)
        row = shipped(uri, Path(folder) / "second", SHIPPED_LEVELS, detail)
    return {"detail": detail, **row}


def shipped(uri: str, folder: Path, levels: int, detail: str) -> dict[str, Any]:
    """Write a ledger, then ship it."""
    from sp_search.tracking.mlflow import Shipper

    folder.mkdir()
    driven = Driven(folder, levels, detail)
    driven.run()
    driven.ledger.close()
    began, worked = time.perf_counter(), time.process_time()
    lag = Shipper(uri, "driver", folder).finish(600.0)
    assert not lag.events, lag.message
    cpu_s, seconds = time.process_time() - worked, time.perf_counter() - began
    return {"lines": driven.reports, "cpu_ms": 1e3 * cpu_s / driven.reports, "ms": 1e3 * seconds / driven.reports}


class Window:
    """When reports came, by the clock and by the driver's CPU time, from the first quarter's last to the last."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, float]] = []

    def mark(self) -> None:
        """Note a report."""
        self.marks.append((time.perf_counter(), time.process_time()))

    def row(self, name: str) -> dict[str, Any]:
        """Return milliseconds for each report of the window."""
        marks = self.marks[int(STARTING * len(self.marks)) :]
        (first, worked), (last, done), count = marks[0], marks[-1], len(marks) - 1
        return {
            "name": name,
            "reports": count,
            "cpu_ms": 1e3 * (done - worked) / count,
            "ms": 1e3 * (last - first) / count,
        }


def searching(trials: int, slices: int, seconds: float) -> dict[str, Any]:
    """Run trials of sleeping slices in a search with a ledger."""
    from sp_search.tune.launch import run_tune

    window = Window()
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder), create=True) as ledger:
        search = searched(ledger, trials, 1, 1, "study")
        runner = recipe(seconds=seconds, slices=slices, least=99.0)
        run_tune(search, runner, Path(folder), progress=lambda search: window.mark())
    del window.marks[0]  # the search was opened: no trial had begun
    return window.row("search")


def tune_alone(trials: int, slices: int, seconds: float) -> dict[str, Any]:
    """Run as many trials of sleeping slices under Tune's own scheduler."""
    from ray.tune import CheckpointConfig, RunConfig, Trainable, TuneConfig, Tuner
    from ray.tune.schedulers import FIFOScheduler

    window = Window()

    class Sleeping(Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.slices = 0

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.slices = 0
            return True

        def step(self) -> dict[str, Any]:
            time.sleep(seconds)
            self.slices += 1
            return {"loss": 1.0, "done": self.slices == slices}

    class Noting(FIFOScheduler):
        def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
            window.mark()
            return str(super().on_trial_result(controller, trial, result))

        def on_trial_complete(self, controller: Any, trial: Any, result: dict[str, Any]) -> None:
            window.mark()

    from sp_search.tune.launch import TUNE_SETTINGS, _environment, _Silent

    settings = {**TUNE_SETTINGS, "TUNE_MAX_PENDING_TRIALS_PG": "2"}  # else all are made before the first report
    with tempfile.TemporaryDirectory() as folder, _environment(settings):
        Tuner(
            Sleeping,
            tune_config=TuneConfig(scheduler=Noting(), num_samples=trials, reuse_actors=True),
            run_config=RunConfig(
                storage_path=folder,
                verbose=0,
                callbacks=[_Silent()],
                checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
    return window.row("tune")


def over_tune(trials: int, slices: int, seconds: float) -> dict[str, Any]:
    """Return pairs on one Ray of two cores, each in the other order than the one before."""
    from sp_search.study import Cluster
    from sp_search.tune.launch import connected

    pairs: list[dict[str, dict[str, Any]]] = []
    with connected(Cluster(cpus=2)):
        for number in range(PAIRS):
            both = [tune_alone, searching][:: -1 if number % 2 else 1]
            pairs.append({row["name"]: row for row in (one(trials, slices, seconds) for one in both)})
    measures = ("cpu_ms", "ms")
    ratios = {name: sorted(pair["search"][name] / pair["tune"][name] for pair in pairs) for name in measures}
    each = {one: {name: median(pair[one][name] for pair in pairs) for name in measures} for one in pairs[0]}
    return {
        "trials": trials, "slices": slices, "seconds": seconds, "pairs": pairs, "median": each,
        "ratios": {name: {"median": median(those), "worst": those[-1]} for name, those in ratios.items()},
        "over_ideal": {one: row["ms"] / (1e3 * seconds / 2) - 1 for one, row in each.items()},
        "load": os.getloadavg(),
    }  # fmt: skip


def sleeping(members: int, levels: int) -> dict[str, Any]:
    """Return what trials of a second take on many slots: of every member at every level, but of one not at the top."""
    return on_ray(lambda append: falling(members, levels, append), 1.0, 1, SLOTS, least=1.0, rate=1.0)


FIGURES: dict[str, Callable[[], dict[str, Any]]] = {
    "reports": lambda: reports(2),
    "reports_five_lineages": lambda: reports(5),
    "shipping_study": lambda: shipping("study"),
    "shipping_member": lambda: shipping("member"),
    "over_tune_slices": lambda: over_tune(16, 10, 0.1),
    "over_tune_one_second": lambda: over_tune(32, 1, 1.0),
    "one_thousand": lambda: sleeping(200, 5),
    "ten_thousand": lambda: sleeping(1000, 10),
}


def measure(name: str) -> dict[str, Any]:
    """Return a figure's row."""
    return FIGURES[name]()


def main(names: list[str]) -> None:
    """Measure the figures that are named, or all, most twice; keep every run beside those of other figures."""
    kept = RESULTS / "driver.json"
    for name in names or list(FIGURES):
        mine = []
        for _ in range(1 if name in ONCE else RUNS):
            with multiprocessing.get_context("spawn").Pool(
                1
            ) as pool:  # memory that an earlier run freed would hide growth
                mine.append(pool.apply(measure, (name,)))
            print(name, json.dumps(mine[-1]), flush=True)
            rows = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
            keep("driver", rows | {name: mine})


if __name__ == "__main__":
    main(sys.argv[1:])
