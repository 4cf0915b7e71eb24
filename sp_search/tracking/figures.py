"""The names and values of what MLflow shows: metrics in groups (`cost/`, `quality/`, ...) and params that are numbers.

The same names stand at a level, a member and a study, so that one chart compares any of them.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from sp_search.rows import LineageRow
from sp_search.selection import accuracy_low


@dataclass
class Tally:
    """What was judged so far in one run, and its best program: the cheapest verified, else the most accurate."""

    lineages: int = 0
    passed: int = 0
    training_flops: float = 0.0
    best: LineageRow | None = None

    def add(self, row: LineageRow) -> None:
        """Count a judged lineage in."""
        self.lineages += 1
        self.passed += row.report.passed
        self.best = row if self.best is None else min(self.best, row, key=_merit)

    def metrics(self) -> dict[str, float]:
        """Return the metrics of the best program, its cost first: MLflow begins charts with it."""
        if self.best is None:
            return {"search/training_flops": self.training_flops}
        counted = {"level/lineages": self.lineages, "level/passed": self.passed}
        rate = {"level/pass_rate": self.passed / self.lineages, "search/training_flops": self.training_flops}
        return program_metrics(self.best) | counted | rate


def _merit(row: LineageRow) -> tuple[float, ...]:
    """Order programs: verified ones of the highest milestone first, among them by compute; others by accuracy."""
    if row.report.passed:
        return (0.0, -row.assignment.milestone, row.mean_flops)
    return (1.0, 0.0, -(row.accuracy.correct / row.accuracy.n if row.accuracy else 0.0))


def program_metrics(row: LineageRow) -> dict[str, float]:
    """Return what one program costs and how good it is. FLOPs are per example."""
    found = row.measured
    metrics: dict[str, float] = {
        "cost/mean_flops": row.mean_flops,
        "level/budget_cap": row.assignment.budget.cap,
        "cost/max_available_flops": found.max_available_flops,
        "cost/serial_depth": found.serial_depth,
        "cost/parameters": found.parameters,
        "search/train_steps": found.train_steps,
    }
    if row.accuracy is not None:
        metrics["quality/accuracy"] = row.accuracy.correct / row.accuracy.n
        metrics["quality/accuracy_low"] = accuracy_low(row.accuracy, row.alpha)
    for name, count in found.gates.items():
        metrics[metric_name(f"gates/{name}")] = count.correct / count.n
    for measure, sample in found.compute.items():
        metrics |= {metric_name(f"cost/mean_{measure}"): sample.mean, metric_name(f"cost/p95_{measure}"): sample.p95}
        metrics[metric_name(f"cost/max_{measure}")] = sample.largest
    for name, value in found.diagnostics.items():
        if value is not None:
            metrics[metric_name(f"diagnostics/{name}")] = float(value)
    return metrics


def system_metrics(usage: dict[str, float | None]) -> dict[str, float]:
    """Return what a trial's process used, as MLflow groups system metrics."""
    seconds, cpu = usage["wall_seconds"] or 0.0, usage["cpu_seconds"] or 0.0
    metrics = {"system/wall_seconds": seconds, "system/cpu_seconds": cpu}
    if seconds > 0:
        metrics["system/cpu_utilization_percentage"] = 100.0 * cpu / seconds
    for name in ("memory", "gpu_memory"):
        peak = usage[f"peak_{name}_bytes"]
        if peak is not None:
            metrics[f"system/peak_{name}_megabytes"] = peak / 1e6
    return metrics


def answer_metrics(result: dict[str, Any]) -> dict[str, float]:
    """Return the answer's figures under the names that its member has."""
    sources = {
        "cost/mean_flops": result.get("mean_flops_per_example"),
        "cost/p95_flops": result.get("p95_flops_per_example"),
        "cost/max_flops": result.get("max_flops_per_example"),
        "cost/max_available_flops": result.get("max_available_flops"),
        "cost/serial_depth": result.get("serial_depth"),
        "cost/parameters": result.get("parameters"),
        "quality/accuracy": result.get("accuracy"),
    }
    values = {name: source["value"] if isinstance(source, dict) else source for name, source in sources.items()}
    values["quality/accuracy_low"] = (result.get("accuracy") or {}).get("low")
    values["answer/budget_cap"] = (result.get("budget") or {}).get("cap")
    return {name: float(value) for name, value in values.items() if value is not None}


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


def member_params(config: dict[str, Any], study: dict[str, Any]) -> dict[str, str]:
    """Return a member's settings as params: of every field that any member overrides, also those that it does not.

    So members have a value each on every axis of MLflow's parallel coordinates.
    """
    own = _flat(config)
    inherited = _flat({**study.get("model", {}), "prior": study.get("prior", {})})
    listed = study.get("population", {}).get("members", [])
    varied = {name for member in listed for name in _flat(member)}
    return scalars("config", {name: inherited[name] for name in varied & inherited.keys()} | own)


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    """Return a member's settings with those of its prior as `prior.NAME`."""
    prior = config.get("prior")
    flat = {name: value for name, value in config.items() if name != "prior"}
    return flat | {f"prior.{name}": value for name, value in (prior if isinstance(prior, dict) else {}).items()}


def metric_name(name: str) -> str:
    """Return a name that MLflow accepts."""
    return re.sub(r"[^\w\-. /]", "_", name, flags=re.ASCII).replace("..", "__")[:250]


FRONTIER_COLUMNS = (
    "member", "visit", "lineage", "milestone", "budget_cap", "mean_flops", "accuracy", "accuracy_low", "verified",
)  # fmt: skip


def frontier(rows: list[LineageRow]) -> list[LineageRow]:
    """Return the rows whose programs no other one beats in both mean FLOPs and accuracy, by cost."""
    judged = [(row, row.accuracy.correct / row.accuracy.n) for row in rows if row.accuracy is not None]
    unbeaten: list[LineageRow] = []
    best = -1.0
    for row, accuracy in sorted(judged, key=lambda one: (one[0].mean_flops, -one[1])):
        if accuracy > best:
            best = accuracy
            unbeaten.append(row)
    return unbeaten


def frontier_table(rows: list[LineageRow]) -> dict[str, Any]:
    """Return the frontier of `rows` as a table of MLflow's."""
    data: list[list[Any]] = []
    for row in frontier(rows):
        at, count = row.assignment, row.accuracy
        assert count is not None
        place = [at.member, at.visit, row.measured.lineage, at.milestone, at.budget.cap, row.mean_flops]
        data.append([*place, count.correct / count.n, accuracy_low(count, row.alpha), row.report.passed])
    return {"columns": list(FRONTIER_COLUMNS), "data": data}
