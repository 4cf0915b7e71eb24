"""A ledger as a table for notebooks: one row for every judged lineage at every visit, numbers as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sp_search.rows import LedgerReader, LineageRow

if TYPE_CHECKING:
    from pandas import DataFrame


def lineage_table(entries: list[dict[str, Any]]) -> DataFrame:
    """Return the rows of a ledger as a pandas frame, in the order in which they were judged."""
    from pandas import DataFrame

    reader = LedgerReader()
    for entry in entries:
        reader.read(entry)
    return DataFrame([_row(row) for row in reader.rows])


def _row(row: LineageRow) -> dict[str, Any]:
    at, measured, report, right = row.assignment, row.measured, row.report, row.accuracy
    return {
        "member": at.member,
        "lineage": measured.lineage,
        "seed": measured.seed,
        "visit": at.visit,
        "level": at.level,
        "attempt": at.attempt,
        "milestone": at.milestone,
        "budget": at.budget.cap,
        "measure": at.budget.measure,
        "ended": measured.ended,
        "passed": report.passed,
        "look": report.look,
        "accuracy": None if right is None else right.correct / right.n,
        "accuracy_n": None if right is None else right.n,
        "mean_flops_per_example": row.mean_flops,
        "max_available_flops": measured.max_available_flops,
        "serial_depth": measured.serial_depth,
        "parameters": measured.parameters,
        "train_steps": measured.train_steps,
        **{f"config.{key}": value for key, value in at.config.items()},
        **{f"axis.{key}": value for key, value in at.budget.axis.items()},
    }
