"""From the arms of a comparison to `comparison.json`: one row an arm, from its `result.json` and its ledger alone.

Every figure of a row is the arm's own; nothing is measured or decided again. Arms that were given unequal effort are
compared all the same, and the warnings say by how much.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from sp_search.arms import Arm, Arms
from sp_search.folder import recorded_study
from sp_search.ledger import read_ledger, was_begun
from sp_search.plain_files import read_json
from sp_search.priors.base import SpeedPrior
from sp_search.rows import LedgerReader, LineageRow
from sp_search.study import Study

COMPARISON_NAME = "comparison.json"
FAR_APART = 1.5
"""Arms whose training FLOPs differ by more than this factor are named."""


class Effort(NamedTuple):
    """How much tuning and training an arm was given."""

    configurations: int
    lineages: int
    train_steps: tuple[int, ...]
    training_flops_limit: float | None

    @classmethod
    def of(cls, study: Study) -> Effort:
        """Return the effort that a study asks for."""
        members = study.member_parts()
        steps = tuple(sorted({study.train_settings(member).steps for member in members}))
        configurations = len(members) if study.search is None else study.search.members
        return cls(configurations, study.population.replicas, steps, study.limits.search_flops)


def arm_folder(folder: Path, arm: Arm) -> Path:
    """Return where an arm's study lies within a comparison."""
    return folder / "arms" / arm.name


def build_comparison(arms: Arms, folder: Path) -> dict[str, Any]:
    """Return the content of `comparison.json`; an arm that has not ended is a row that says so."""
    arms = _as_they_stand(arms, folder)
    rows = [_row(arm, arm_folder(folder, arm)) for arm in arms.arms]
    first = arms.arms[0].study
    return {
        "name": arms.name,
        "seed": first.seed,
        "task": first.task.model_dump(mode="json"),
        "milestone": min(arm.study.milestones[-1] for arm in arms.arms),
        "confidence": first.selection.confidence,
        "gates": first.selection.gates,
        "met": all(row["met"] for row in rows),
        "ended": "resolved" if all(row["ended"] for row in rows) else "interrupted",
        "warnings": [*_milestones_warning(arms), *effort_warnings(arms), *_spent_warning(rows)],
        "arms": rows,
    }


def _as_they_stand(arms: Arms, folder: Path) -> Arms:
    """Return the arms with what was added and extended since they were begun."""
    owns = [arm_folder(folder, arm) for arm in arms.arms]
    stand = [recorded_study(read_ledger(own), own) if was_begun(own) else None for own in owns]
    return Arms(arms.name, [Arm(arm.name, now or arm.study) for arm, now in zip(arms.arms, stand, strict=True)])


def _milestones_warning(arms: Arms) -> list[str]:
    """Say where an arm was asked to go further than another."""
    asked = {arm.name: arm.study.milestones[-1] for arm in arms.arms}
    listed = ", ".join(f"{name} {milestone:g}" for name, milestone in asked.items())
    return [f"unequal milestones, so the programs answer different questions: {listed}"] * (len({*asked.values()}) > 1)


def effort_warnings(arms: Arms) -> list[str]:
    """Say where arms were given unequal tuning effort."""
    efforts = {arm.name: Effort.of(arm.study) for arm in arms.arms}
    warnings = []
    for field in Effort._fields:
        values = {name: getattr(effort, field) for name, effort in efforts.items()}
        if len(set(values.values())) > 1:
            listed = ", ".join(f"{name} {_plain(value)}" for name, value in values.items())
            warnings.append(f"unequal effort, {field.replace('_', ' ')}: {listed}")
    return warnings


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return "/".join(map(str, value))
    return "none" if value is None else f"{value:g}"


def _spent_warning(rows: list[dict[str, Any]]) -> list[str]:
    spent = {row["arm"]: row["training_flops"] for row in rows if row["ended"] and row["training_flops"]}
    if not spent or max(spent.values()) < FAR_APART * min(spent.values()):
        return []
    least, most = min(spent, key=spent.__getitem__), max(spent, key=spent.__getitem__)
    factor = spent[most] / spent[least]
    return [f"unequal effort, training FLOPs spent: {most} took {factor:.1f} times those of {least}"]


def _row(arm: Arm, folder: Path) -> dict[str, Any]:
    """Return an arm's row; figures of a program are null where none was verified."""
    result = _result(folder / "result.json")
    reader = LedgerReader()
    for entry in read_ledger(folder) if was_begun(folder) else []:
        reader.read(entry)
    effort = Effort.of(arm.study)
    program = result.get("program") or {}
    figures = {**result.get("reports", {}), **result.get("gates", {})}
    judged = [row for row in reader.rows if program.get("visit") in (None, row.assignment.visit) and row.report.tried]
    return {
        "arm": arm.name,
        "prior": arm.study.prior.kind_name(),
        "static": all(_is_static(member.prior) for member in arm.study.member_parts()),
        "met": bool(result.get("met")),
        "ended": result.get("ended"),
        "milestone": result.get("milestone"),
        "program": result.get("program"),
        **{key: result.get(key) for key in ("accuracy", "mean_flops_per_example", "mean_rollouts", "over_spend")},
        **{key: result.get(key) for key in ("p95_flops_per_example", "max_flops_per_example", "largest_gap")},
        **{key: result.get(key) for key in ("serial_depth", "parameters", "budget", "warnings")},
        "corr_need": result.get("diagnostics", {}).get("corr_need"),
        "shifted": figures.get("shifted"),
        "longer": figures.get("longer"),
        "training_flops": result.get("search_flops", reader.spent)["training"],
        "passed": sum(row.report.passed for row in judged),
        "tried": len(judged),
        "failures": result.get("failures", {}),
        "effort": effort._asdict(),
        "programs": [point for row in reader.rows if (point := _point(row)) is not None],
    }


def _is_static(prior: SpeedPrior) -> bool:
    """Whether programs trained under this prior spend the same on every input and nothing asked them to spend less."""
    return prior.rule().reads == "nothing" and not prior.gates_units()


def _point(row: LineageRow) -> dict[str, Any] | None:
    """Return one judged lineage as the figure draws it, or None where it has no accuracy."""
    count = row.accuracy
    accuracy = row.measured.diagnostics.get("validation_accuracy") if count is None else count.correct / count.n
    if accuracy is None:
        return None
    return {
        "member": row.assignment.member,
        "lineage": row.measured.lineage,
        "visit": row.assignment.visit,
        "mean_flops": row.mean_flops,
        "accuracy": float(accuracy),
        "n": None if count is None else count.n,
        "passed": row.report.passed,
    }


def _result(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def static_frontier(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the judged programs of the static arms that no other of them beats, the cheapest first."""
    points = [point for row in rows if row["static"] for point in row["programs"]]
    frontier: list[dict[str, Any]] = []
    for point in sorted(points, key=lambda point: (point["mean_flops"], -point["accuracy"])):
        if not frontier or point["accuracy"] > frontier[-1]["accuracy"]:
            frontier.append(point)
    return frontier
