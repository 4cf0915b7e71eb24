"""One search: judge and scheduler composed over a ledger. The three drivers feed it events and carry out its actions.

An event from outside and everything that follows from it (judged reports, closed levels, actions) are one ledger line,
so a kill leaves either all of it or nothing. `replay` feeds the recorded events to a fresh search and arrives at the
same state. Members' measurements are held until their level is complete and judged in member order: neither a verdict
nor the alpha that it spends depends on the order of arrival.
"""

from __future__ import annotations

from collections.abc import Callable
from math import floor
from typing import Any

from sp_search.errors import StorageError
from sp_search.levels import LevelOutcome, SearchState, Terms
from sp_search.records import (
    EVENT,
    Action,
    Assignment,
    LevelReport,
    LevelSpace,
    LimitReached,
    LineageMeasurement,
    Measured,
    MemberFailed,
    MemberLost,
    Minimum,
    Population,
    SearchEvent,
    Selection,
    SetBudget,
    Start,
)
from sp_search.schedulers.base import BudgetScheduler
from sp_search.selection import cheapest, cost_bound, judge

Append = Callable[[dict[str, Any]], None]


class Search:
    """A running search. `feed` is its only way in; its state follows from the events alone.

    Attributes:
        state: the scheduler's state.
        looks: verification tests spent so far.
        candidates: every verified program, with what was measured of it, by milestone.
        spent: search FLOPs by use (`training`, `verification`).
        failures: number of failures of the machinery and of members, by kind.
    """

    def __init__(
        self,
        scheduler: BudgetScheduler,
        space: LevelSpace,
        population: Population,
        terms: Terms,
        confidence: float,
        append: Append | None = None,
    ) -> None:
        """Begin a search that writes its lines through `append` (None keeps no ledger)."""
        self.scheduler = scheduler
        self.confidence = confidence
        self.append = append
        self.state: SearchState = scheduler.initial(space, population, terms)
        self.looks = 0
        self.assignments: dict[int, Assignment] = {}
        self.candidates: list[tuple[Selection, LineageMeasurement]] = []
        self.spent = {"training": 0.0, "verification": 0.0}
        self.failures: dict[str, int] = {}
        self._held: dict[int, Measured] = {}

    def feed(self, event: SearchEvent) -> list[Action]:
        """Take an event in and return what is to be done now. A stale event changes nothing and is not recorded."""
        if isinstance(event, Measured | MemberLost | MemberFailed) and not self._current(event):
            return []
        closed_before = len(self.state.history)
        judged, actions = self._consume(event)
        if self.append is not None:
            self.append(
                {
                    "event": event.model_dump(mode="json"),
                    "judged": [report.model_dump(mode="json") for report in judged],
                    "levels": [outcome.model_dump(mode="json") for outcome in self.state.history[closed_before:]],
                    "actions": [action.model_dump(mode="json") for action in actions],
                    "looks": self.looks,
                }
            )
        return actions

    def replay(self, entries: list[dict[str, Any]]) -> None:
        """Feed recorded events again, without writing.

        Raises:
            StorageError: a recorded event leads to other actions than recorded (another version wrote the ledger).
        """
        append, self.append = self.append, None
        for entry in entries:
            if "event" not in entry:
                continue
            actions = self.feed(EVENT.validate_python(entry["event"]))
            if [action.model_dump(mode="json") for action in actions] != entry["actions"]:
                raise StorageError(
                    f"ledger line {entry['seq'] + 1} leads to other actions than it records: it was written by another "
                    "version of sp_search; resume with that version"
                )
        self.append = append

    def live_assignments(self) -> list[Assignment]:
        """Return the assignments that are running now, by member."""
        level = self.state.open
        if level is None or self.state.finished is not None:
            return []
        running = [number for number, member in level.members.items() if not member.done and number not in self._held]
        return [self.assignments[number] for number in sorted(running)]

    def selection(self, milestone: float) -> tuple[Selection, LineageMeasurement] | None:
        """Return the verified program of `milestone` that computes least, or None."""
        return cheapest([candidate for candidate in self.candidates if candidate[0].milestone == milestone])

    def outcomes(self, milestone: float) -> list[LevelOutcome]:
        """Return the closed visits of one milestone."""
        return [outcome for outcome in self.state.history if outcome.milestone == milestone]

    def _current(self, event: Measured | MemberLost | MemberFailed) -> bool:
        assignment = self.assignments.get(event.member)
        return assignment is not None and assignment.attempt == event.attempt and event.member not in self._held

    def _consume(self, event: SearchEvent) -> tuple[list[LevelReport], list[Action]]:
        judged: list[LevelReport] = []
        actions: list[Action] = []
        match event:
            case Measured():
                self._held[event.member] = event
                self.spent["training"] += event.training_flops
                self.spent["verification"] += event.verification_flops
            case LimitReached():
                self.spent["training"] += event.training_flops
                judged = self._judge_held()  # what is finished of a level that will not be completed
                for report in judged:
                    self._advance(report)
                actions = self._advance(event)
            case _:
                if isinstance(event, MemberLost | MemberFailed):
                    self.failures[event.event] = self.failures.get(event.event, 0) + 1
                if isinstance(event, MemberFailed):
                    self.spent["training"] += event.training_flops
                actions = self._advance(event)
        if self._held and self._level_complete():
            judged = self._judge_held()
            for report in judged:
                actions += self._advance(report)
        return judged, actions

    def _judge_held(self) -> list[LevelReport]:
        judged = [self._judge(measured) for _, measured in sorted(self._held.items())]
        self._held.clear()
        return judged

    def _advance(self, event: SearchEvent) -> list[Action]:
        self.state, actions = self.scheduler.advance(self.state, event)
        kept = []
        for action in actions:
            if isinstance(action, Start | SetBudget):
                if action.assignment.member in self._held:
                    continue  # measured before a restore: its level is finished and is not run again
                self.assignments[action.assignment.member] = action.assignment
            kept.append(action)
        return kept

    def _level_complete(self) -> bool:
        level = self.state.open
        return level is not None and all(
            member.done or number in self._held for number, member in level.members.items()
        )

    def _judge(self, measured: Measured) -> LevelReport:
        assignment = self.assignments[measured.member]
        report, self.looks = judge(measured, assignment, self.confidence, self.looks)
        assert self.state.open is not None
        report = report.model_copy(update={"attempt": self.state.open.members[measured.member].attempt})
        diverged = sum(lineage.ended == "diverged" for lineage in measured.lineages)
        if diverged:
            self.failures["diverged"] = self.failures.get("diverged", 0) + diverged
        for lineage, verdict in zip(measured.lineages, report.lineages, strict=True):
            if verdict.passed:
                self.candidates.append((_selection(assignment, lineage, verdict.look), lineage))
        return report


def found_cap(search: Search, milestone: float) -> float | None:
    """Return the least cap that the selected program of `milestone` keeps (C := min(C, cost found)), or None."""
    best = search.selection(milestone)
    if best is None:
        return None
    space = search.state.space
    return min(best[0].budget.cap, space.caps[space.covering(cost_bound(*best, search.confidence))])


def statistical_minimum(search: Search, milestone: float) -> Minimum:
    """State the least budget from both sides, from what was found and from the levels below it that failed.

    The failures reach up to the failed cap and no further: the next possible budget is one rollout more, or the next
    price on a ladder that lists them all; between two mean budgets everything is possible.
    """
    high = found_cap(search, milestone)
    failed = [
        outcome
        for outcome in search.outcomes(milestone)
        if outcome.verdict == "failed" and (high is None or outcome.cap < high)
    ]
    if not failed:
        return Minimum(low=None, high=high, basis="none", text="no smaller budget was tried to a verdict")
    worst = max(failed, key=lambda outcome: (outcome.level, outcome.tried))
    space = search.state.space
    above = min(space.caps[worst.level + 1 :], default=None)
    if space.kind == "mean":
        above = worst.cap
    elif space.measure == "rollouts":
        above = floor(worst.cap) + 1.0
    text = (
        f"budget {worst.cap:g} failed in {worst.tried} lineages: "
        f"pass rate <= {worst.pass_rate_high:.2f} at {1 - search.state.terms.false_negative:.0%}"
    )
    return Minimum(low=above, high=high, basis="statistical", text=text)


def _selection(assignment: Assignment, lineage: LineageMeasurement, look: int) -> Selection:
    sample = lineage.compute.get(assignment.budget.measure)
    cost = sample.mean if sample is not None and assignment.budget.kind == "mean" else assignment.budget.cap
    return Selection(
        milestone=assignment.milestone,
        member=assignment.member,
        visit=assignment.visit,
        level=assignment.level,
        lineage=lineage.lineage,
        look=look,
        budget=assignment.budget,
        cost=cost,
    )
