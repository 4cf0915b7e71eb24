"""From ledger entries to what MLflow is to hold: a pure fold, so that shipping an entry twice changes nothing.

A study is one parent run; every member at every visit is a child run. Keys of runs, steps and times follow from the
ledger alone, never from the clock or the order of shipping.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal, NamedTuple

from sp_search.levels import LevelOutcome
from sp_search.records import Assignment
from sp_search.rows import LedgerReader, LineageRow
from sp_search.selection import accuracy_low

STUDY = "study"
Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


class Point(NamedTuple):
    """One value of a metric."""

    name: str
    value: float
    step: int
    time_ms: int


@dataclass
class Update:
    """What has changed in one run. Merging is writing into the same update again."""

    name: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    config: dict[str, Any] | None = None
    status: Status | None = None
    began_ms: int = 0
    time_ms: int = 0


ENDINGS: dict[str, Status] = {"measured": "FINISHED", "cut": "KILLED"}
"""How a run ends by the reason for which its trial was stopped; any other is a failure."""


class Updates:
    """The changes that have been read and not yet shipped, by key of run."""

    def __init__(self) -> None:
        """Begin before the header."""
        self.reader = LedgerReader()
        self.pending: dict[str, Update] = {}
        self.open: set[str] = set()
        self._rows: dict[str, list[LineageRow]] = {}
        self._training: dict[str, float] = {}

    def read(self, entry: dict[str, Any]) -> None:
        """Take one ledger entry in."""
        time_ms = int(entry["time"] * 1000)
        reading = self.reader.read(entry)
        if "header" in entry:
            self._begin(entry["header"], time_ms)
        event = entry.get("event", {})
        if event.get("event") == "measured":
            key = key_of(event["member"], event["visit"])
            self._training[key] = self._training.get(key, 0.0) + event["training_flops"]
        for row in reading.rows:
            self._rows.setdefault(key_of(row.assignment.member, row.assignment.visit), []).append(row)
        for key in dict.fromkeys(key_of(row.assignment.member, row.assignment.visit) for row in reading.rows):
            self._measure(key, entry["seq"], time_ms)
        for outcome in reading.outcomes:
            self._close(outcome, time_ms)
        for member, reason in reading.stopped.items():
            status = ENDINGS.get(reason, "FAILED")
            self._end([key for key in self.open if key.startswith(f"member{member}/")], status, time_ms)
        for assignment in reading.started:
            self._start(assignment, time_ms)
        if reading.finished is not None:
            self._end(list(self.open), "KILLED", time_ms)

    def update(self, key: str, time_ms: int) -> Update:
        """Return the pending update of a run, for writing."""
        update = self.pending.setdefault(key, Update(began_ms=time_ms))
        update.time_ms = time_ms
        return update

    def _begin(self, header: dict[str, Any], time_ms: int) -> None:
        update = self.update(STUDY, time_ms)
        study = header.get("study", {})
        update.name = str(header["name"])
        update.status = "RUNNING"
        update.params |= {"seed": str(header["seed"]), "config_hash": config_hash(study)}
        for part in ("task", "model", "prior", "scheduler"):
            update.params |= scalars(part, study.get(part, {}))
        update.tags |= {f"version.{name}": str(value) for name, value in header.get("versions", {}).items()}

    def _start(self, assignment: Assignment, time_ms: int) -> None:
        key = key_of(assignment.member, assignment.visit)
        self.open.add(key)
        update = self.update(key, time_ms)
        budget = assignment.budget
        update.name = f"member {assignment.member} · {budget.measure} {budget.cap:g} · visit {assignment.visit}"
        update.status = "RUNNING"
        update.config = assignment.config
        update.tags |= {
            "member": str(assignment.member),
            "level": str(assignment.level),
            "visit": str(assignment.visit),
            "milestone": f"{assignment.milestone:g}",
            "selected": "false",
        }
        update.params |= {
            "member": str(assignment.member),
            "level": str(assignment.level),
            "budget_cap": f"{budget.cap:g}",
            "budget_kind": budget.kind,
            "budget_measure": budget.measure,
            "config_hash": config_hash(assignment.config),
            **scalars("axis", budget.axis),
            **scalars("config", assignment.config),
        }

    def _measure(self, key: str, step: int, time_ms: int) -> None:
        metrics = frontier_metrics(self._rows[key]) | {"search/training_flops": self._training.get(key, 0.0)}
        self.update(key, time_ms).points += _points(metrics, step, time_ms)

    def _close(self, outcome: LevelOutcome, time_ms: int) -> None:
        """End the children of a closed level, and add a step to the study's curves. Who was not heard was cut."""
        keys = [key for key in self.open if key.endswith(f"/visit{outcome.visit}")]
        for key in keys:
            self.update(key, time_ms).tags |= {"verdict": outcome.verdict, "phase": outcome.phase}
        self._end([key for key in keys if key in self._rows], "FINISHED", time_ms)
        self._end([key for key in keys if key not in self._rows], "KILLED", time_ms)
        curve = {"budget_cap": outcome.cap, "passed": outcome.passed, "lineages": outcome.tried}
        curve["looks"] = self.reader.looks
        curve |= {f"search/{use}_flops": flops for use, flops in self.reader.spent.items()}
        self.update(STUDY, time_ms).points += _points(curve, outcome.visit, time_ms)

    def _end(self, keys: list[str], status: Status, time_ms: int) -> None:
        for key in keys:
            self.update(key, time_ms).status = status
            self.open.discard(key)


def key_of(member: int, visit: int) -> str:
    """Return the key of a child run."""
    return f"member{member}/visit{visit}"


def config_hash(config: dict[str, Any]) -> str:
    """Return a short SHA-256 of a configuration in canonical JSON."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def scalars(group: str, config: dict[str, Any]) -> dict[str, str]:
    """Return the numbers, words and switches of a configuration as params; the whole of it is an artifact."""
    return {
        metric_name(f"{group}.{name}"): str(value)[:250]
        for name, value in config.items()
        if isinstance(value, int | float | str | bool)
    }


def metric_name(name: str) -> str:
    """Return a name that MLflow accepts."""
    return re.sub(r"[^\w\-. /]", "_", name, flags=re.ASCII).replace("..", "__")[:250]


def frontier_metrics(rows: list[LineageRow]) -> dict[str, float]:
    """Return what one scatter needs: cost and accuracy of a visit's best program, and how many lineages passed.

    The best is the cheapest that passed, else the most accurate.
    """

    def order(row: LineageRow) -> tuple[float, ...]:
        count = row.accuracy
        return not row.report.passed, row.mean_flops if row.report.passed else -(
            count.correct / count.n if count else 0
        )

    best = min(rows, key=order)
    found = best.measured
    passed = sum(row.report.passed for row in rows)
    metrics: dict[str, float] = {
        "budget_cap": best.assignment.budget.cap,
        "lineages": len(rows),
        "pass_rate": passed / len(rows),
        "mean_flops": best.mean_flops,
        "max_available_flops": found.max_available_flops,
        "serial_depth": found.serial_depth,
        "parameters": found.parameters,
        "train_steps": found.train_steps,
    }
    if best.accuracy is not None:
        metrics["accuracy"] = best.accuracy.correct / best.accuracy.n
        metrics["accuracy_low"] = accuracy_low(best.accuracy, best.alpha)
    for name, count in found.gates.items():
        metrics[metric_name(f"gates/{name}")] = count.correct / count.n
    for measure, sample in found.compute.items():
        metrics |= {metric_name(f"mean_{measure}"): sample.mean, metric_name(f"p95_{measure}"): sample.p95}
        metrics[metric_name(f"max_{measure}")] = sample.largest
    for name, value in found.diagnostics.items():
        if value is not None:
            metrics[metric_name(f"diagnostics/{name}")] = float(value)
    return metrics


def _points(metrics: dict[str, float], step: int, time_ms: int) -> list[Point]:
    """Return points of the finite values: MLflow would store an infinity as 1.8e308."""
    return [Point(name, float(value), step, time_ms) for name, value in metrics.items() if isfinite(value)]
