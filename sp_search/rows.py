"""What a ledger tells, as typed rows: one judged lineage at one visit, one closed level, one failure.

The report and the tracker read the same rows from here. Nothing is decided again: verdicts are the recorded ones, and
`alpha` is the error probability that the recorded look had.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from sp_search.changes import CHANGES, changed_header
from sp_search.errors import StorageError
from sp_search.events import EVENT, LimitReached, MemberFailed, MemberLost, Parked
from sp_search.levels import LevelOutcome
from sp_search.records import Assignment, Count, LevelReport, LineageMeasurement, LineageReport, Measured
from sp_search.selection import alpha_of_look, spends_a_look


class LineageRow(NamedTuple):
    """One lineage of one visit, as measured and as judged."""

    assignment: Assignment
    measured: LineageMeasurement
    report: LineageReport
    alpha: float

    @property
    def accuracy(self) -> Count | None:
        """Verification answers on the training distribution, or on the first gate of a study that does not gate it."""
        gates = self.measured.gates
        return gates.get("iid") or next((gates[name] for name in sorted(gates)), None)

    @property
    def mean_flops(self) -> float:
        """Executed FLOPs per example; the most available where execution was not measured."""
        sample = self.measured.compute.get("flops")
        return self.measured.max_available_flops if sample is None else sample.mean


class Failure(NamedTuple):
    """Something that went wrong in a member: its kind, where, and what it said."""

    kind: str
    member: int
    reason: str


class Reading(NamedTuple):
    """What one ledger entry added."""

    started: list[Assignment]
    rows: list[LineageRow]
    outcomes: list[LevelOutcome]
    stopped: dict[int, str]
    finished: str | None


class LedgerReader:
    """Reads entries in order and keeps everything that they told."""

    def __init__(self) -> None:
        """Begin before the header. `header` says what the study asks for now, `begun` what it was begun with."""
        self.header: dict[str, Any] = {}
        self.begun: dict[str, Any] = {}
        self.rows: list[LineageRow] = []
        self.outcomes: list[LevelOutcome] = []
        self.failures: list[Failure] = []
        self.spent = {"training": 0.0, "verification": 0.0}
        self.looks = 0
        self.finished: str | None = None
        self.began: float | None = None
        self.last: float | None = None
        self._assignments: dict[int, Assignment] = {}
        self._held: dict[int, Measured] = {}

    @property
    def confidence(self) -> float:
        """The study's confidence."""
        selection = self.header.get("study", {}).get("selection", {})
        return float(selection.get("confidence", 0.99))

    def read(self, entry: dict[str, Any]) -> Reading:
        """Take the next entry in and return what it added."""
        self.began = entry["time"] if self.began is None else self.began
        self.last = entry["time"]
        if "header" in entry:
            self.header = self.begun = entry["header"]
        if "event" not in entry:
            return Reading([], [], [], {}, None)
        self._hear(entry["event"])
        rows = [row for report in entry["judged"] for row in self._judged(LevelReport.model_validate(report))]
        outcomes = [LevelOutcome.model_validate(outcome) for outcome in entry["levels"]]
        self.rows += rows
        self.outcomes += outcomes
        if outcomes:
            self._held.clear()  # measured, but the verdict was known without it
        self.looks = entry["looks"]
        started, stopped = self._carry_out(entry["actions"])
        return Reading(started, rows, outcomes, stopped, self.finished)

    def _hear(self, recorded: dict[str, Any]) -> None:
        if recorded["event"] in CHANGES:
            self.header = changed_header(self.header, recorded)
        event = EVENT.validate_python(recorded)
        if isinstance(event, Measured | Parked):
            self.spent["training"] += event.training_flops
            self.spent["verification"] += event.verification_flops
        if isinstance(event, Measured):
            self._held[event.member] = event
            self.failures += [
                Failure("diverged", event.member, f"lineage {lineage.lineage} at visit {event.visit}")
                for lineage in event.lineages
                if lineage.ended == "diverged"
            ]
        if isinstance(event, MemberFailed | LimitReached):
            self.spent["training"] += event.training_flops
        if isinstance(event, MemberLost | MemberFailed):
            self.failures.append(Failure(event.event, event.member, event.reason))

    def _judged(self, report: LevelReport) -> list[LineageRow]:
        measured = self._held.pop(report.member)
        assignment = self._assignments[report.member]
        rows = []
        for lineage, verdict in zip(measured.lineages, report.lineages, strict=True):
            self.looks += spends_a_look(lineage, assignment)
            alpha = alpha_of_look(self.confidence, max(self.looks, 1))
            rows.append(LineageRow(assignment, lineage, verdict, alpha))
        return rows

    def _carry_out(self, actions: list[dict[str, Any]]) -> tuple[list[Assignment], dict[int, str]]:
        started: list[Assignment] = []
        stopped: dict[int, str] = {}
        for action in actions:
            if "assignment" in action:
                started.append(Assignment.model_validate(action["assignment"]))
                self.finished = None  # a study that had ended was extended
                self._assignments[started[-1].member] = started[-1]
            elif action["action"] == "stop":
                stopped[action["member"]] = action["reason"]
            elif action["action"] == "finish":
                self.finished = action["reason"]
        return started, stopped


def told(entries: Iterable[dict[str, Any]], folder: Path) -> tuple[LedgerReader, list[int]]:
    """Return what a study's ledger tells, and in which of its lines, from 1 on, each row was judged.

    Raises:
        StorageError: this version does not know such entries.
    """
    reader, lines = LedgerReader(), []
    try:
        for line, entry in enumerate(entries, start=1):
            lines += [line] * len(reader.read(entry).rows)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        said = problems(error) if isinstance(error, ValidationError) else f"{type(error).__name__}: {error}"
        raise StorageError(
            f"the ledger of {folder} cannot be read by this version: {said}; manifest.json says by which, "
            f"or restore it from a copy"
        ) from error
    return reader, lines


def problems(error: ValidationError) -> str:
    """Return where content is wrong and what is wrong there, the first five places."""
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5])
