"""One search: judge and scheduler composed over a ledger. The three drivers feed it events and carry out its actions.

An event from outside and everything that follows from it (judged reports, closed levels, actions) are one ledger line,
so a kill leaves either all of it or nothing. `replay` feeds the recorded events to a fresh search and arrives at the
same state. Listed members' measurements are held until those before them in their level's order are judged: neither a
verdict nor the alpha that it spends depends on the order of arrival. Proposals are judged as they come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sp_search.errors import StorageError
from sp_search.events import (
    EVENT,
    Action,
    Capacity,
    Extended,
    Finish,
    LimitReached,
    MemberAdded,
    MemberFailed,
    MemberLost,
    Park,
    Parked,
    Propose,
    Proposed,
    Proposer,
    Retried,
    SearchEvent,
    SetBudget,
    Start,
    Stop,
)
from sp_search.levels import LevelOutcome, SearchState, Terms, running
from sp_search.records import (
    Assignment,
    LevelReport,
    LevelSpace,
    LineageMeasurement,
    Measured,
    Population,
    Selection,
)
from sp_search.schedulers.base import BudgetScheduler
from sp_search.selection import cheapest, judge
from sp_search.visits import absorb

Append = Callable[[dict[str, Any]], None]


class Search:
    """A running search. `feed` is its only way in; its state follows from the events alone.

    Attributes:
        state: the scheduler's state.
        looks: verification tests spent so far.
        cheapest: by milestone, the verified program that computes least, with what was measured of it.
        verified: number of verified programs.
        spent: search FLOPs by use (`training`, `verification`).
        trials: number of trials that had begun, of those that are over; one that is taken up again is the same.
        failures: number of failures of the machinery and of members, by kind.
        forgiven: how many of them there had been when somebody last asked to try again, or went with their machine.
        cut: by attempt, the assignments that were cut and have not said yet what they spent.
    """

    def __init__(
        self,
        scheduler: BudgetScheduler,
        space: LevelSpace,
        population: Population,
        terms: Terms,
        confidence: float,
        append: Append | None = None,
        proposer: Proposer | None = None,
    ) -> None:
        """Begin a search that writes its lines through `append` (None keeps no ledger).

        Raises:
            ValueError: the population has proposals, and nobody makes them.
        """
        if bool(population.proposals) != (proposer is not None):
            raise ValueError(f"a population with {population.proposals} proposals a visit, and proposer {proposer}")
        self.scheduler = scheduler
        self.confidence = confidence
        self.append = append
        self.state: SearchState = scheduler.initial(space, population, terms)
        self.looks = 0
        self.assignments: dict[int, Assignment] = {}
        self.cheapest: dict[float, tuple[Selection, LineageMeasurement]] = {}
        self.verified = 0
        self.spent = {"training": 0.0, "verification": 0.0}
        self.trials = 0
        self.failures: dict[str, int] = {}
        self.forgiven = 0
        self.cut: dict[int, Assignment] = {}
        self._proposer = proposer
        self._held: dict[int, Measured] = {}
        self._busy: set[int] = set()

    def feed(self, event: SearchEvent) -> list[Action]:
        """Take an event in and return what is to be done now. A stale event changes nothing and is not recorded."""
        actions = self._take(event)
        if self._proposer is None:
            return actions
        asked = [action for action in actions if isinstance(action, Propose)]
        actions = [action for action in actions if not isinstance(action, Propose)]
        for request in asked:
            actions += self.feed(self._proposer.propose(request))
        return actions

    def _take(self, event: SearchEvent) -> list[Action]:
        if isinstance(event, Measured | MemberFailed) and event.attempt in self.cut:
            event = _parked(event)  # it came to its end before it heard that it was cut
        if self.state.finished is not None and not isinstance(event, Parked | MemberAdded | Retried | Extended):
            return []  # what ran when a limit ended the search is counted with the limit
        if isinstance(event, Measured | MemberLost | MemberFailed) and not self._current(event):
            return []
        if isinstance(event, Parked) and event.attempt not in self.cut:
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
            actions = self._take(EVENT.validate_python(entry["event"]))
            if [action.model_dump(mode="json") for action in actions] != entry["actions"]:
                raise StorageError(
                    f"ledger line {entry['seq'] + 1} leads to other actions than it records: it was written by another "
                    "version of sp_search; resume with that version"
                )
        self.append = append

    @property
    def broken(self) -> int:
        """Trials that were lost or failed."""
        return sum(self.failures.get(kind, 0) for kind in ("member_lost", "member_failed"))

    def live_assignments(self) -> list[Assignment]:
        """Return the assignments that are running now, by member."""
        if self.state.finished is not None:
            return []
        return [self.assignments[number] for number in sorted(running(self.state)) if number not in self._held]

    def selection(self, milestone: float) -> tuple[Selection, LineageMeasurement] | None:
        """Return the verified program of `milestone` that computes least, or None."""
        return self.cheapest.get(milestone)

    def outcomes(self, milestone: float) -> list[LevelOutcome]:
        """Return the closed visits of one milestone."""
        return [outcome for outcome in self.state.history if outcome.milestone == milestone]

    def _current(self, event: Measured | MemberLost | MemberFailed) -> bool:
        return event.member in self._busy and self.assignments[event.member].attempt == event.attempt

    def _consume(self, event: SearchEvent) -> tuple[list[LevelReport], list[Action]]:
        judged: list[LevelReport] = []
        actions: list[Action] = []
        match event:
            case Measured():
                self._held[event.member] = event
                self._busy.discard(event.member)
                self.trials += 1
                self.spent["training"] += event.training_flops
                self.spent["verification"] += event.verification_flops
            case Parked():
                del self.cut[event.attempt]
                self.trials += event.training_flops > 0
                self.spent["training"] += event.training_flops
                self.spent["verification"] += event.verification_flops
            case LimitReached():
                self.trials += event.trials
                self.spent["training"] += event.training_flops
                for member in [one for one in running(self.state) if one in self._held]:
                    judged.append(self._judge(self._held.pop(member)))  # finished, of a level that will not be
                    self.state = absorb(self.state, judged[-1])
                actions = self._advance(event)
                self._busy.clear()  # what they had spent came with the limit
            case _:
                if isinstance(event, MemberLost | MemberFailed):
                    self._busy.discard(event.member)
                    self.failures[event.event] = self.failures.get(event.event, 0) + 1
                if isinstance(event, Retried):
                    self.forgiven = self.broken
                if isinstance(event, Capacity):
                    self.forgiven = min(self.broken, self.forgiven + event.gone)
                if isinstance(event, MemberFailed):
                    self.spent["training"] += event.training_flops
                lost = self.assignments.get(event.member) if isinstance(event, MemberLost) else None
                actions = self._advance(event)
                self.trials += isinstance(event, MemberFailed) or (lost is not None and not _again(lost, actions))
        while (ready := self._next_to_judge()) is not None:
            judged.append(self._judge(self._held.pop(ready)))
            actions += self._advance(judged[-1])
        return judged, actions

    def _next_to_judge(self) -> int | None:
        """Return the next member of the level's order, if it is measured; of proposals, any that is."""
        order = running(self.state)
        if self._proposer is not None:
            return next(iter(self._held), None)
        return order[0] if order and order[0] in self._held else None

    def _advance(self, event: SearchEvent) -> list[Action]:
        visit = self.state.open and self.state.open.visit
        self.state, actions = self.scheduler.advance(self.state, event)
        if (self.state.open and self.state.open.visit) != visit:
            self._held.clear()  # measured, but the verdict was known without it
        self._tell(event)
        kept = []
        for action in actions:
            if isinstance(action, Start | SetBudget):
                if action.assignment.member in self._held:
                    continue  # measured before a restore: its level is finished and is not run again
                self.assignments[action.assignment.member] = action.assignment
                self._busy.add(action.assignment.member)
            elif isinstance(action, Park | Stop):
                self._held.pop(action.member, None)  # measured, but it was stopped before it was its turn
                if action.member in self._busy:
                    self._busy.remove(action.member)
                    self.cut[self.assignments[action.member].attempt] = self.assignments[action.member]
            if isinstance(action, Stop) and self._proposer is not None and action.reason != "measured":
                self._proposer.ended(action.member, action.reason)
            elif isinstance(action, Finish) and self._proposer is not None:
                for member in sorted(self._busy):  # a limit ended the search before they were heard
                    self._proposer.ended(member, action.reason)
            kept.append(action)
        return kept

    def _tell(self, event: SearchEvent) -> None:
        """Let the proposer hear what became of its proposals."""
        if self._proposer is None:
            return
        if isinstance(event, Proposed):
            self._proposer.accepted(event)
        elif isinstance(event, LevelReport):
            self._proposer.judged(event)

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
                self._verify((_selection(assignment, lineage, verdict.look), lineage))
        return report

    def _verify(self, found: tuple[Selection, LineageMeasurement]) -> None:
        """Count a verified program, and keep the cheapest of its milestone: of 10,000 trials no list would be small."""
        self.verified += 1
        best = self.cheapest.get(found[0].milestone)
        self.cheapest[found[0].milestone] = found if best is None else cheapest([best, found]) or found


def _again(lost: Assignment, actions: list[Action]) -> bool:
    """Whether a trial that was lost is taken up again."""
    asked = [action.assignment for action in actions if isinstance(action, Start | SetBudget)]
    work = (lost.member, lost.visit, lost.lineages)
    return work in [(one.member, one.visit, one.lineages) for one in asked]


def _parked(event: Measured | MemberFailed) -> Parked:
    verification = event.verification_flops if isinstance(event, Measured) else 0.0
    return Parked(
        member=event.member,
        attempt=event.attempt,
        training_flops=event.training_flops,
        verification_flops=verification,
    )


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
