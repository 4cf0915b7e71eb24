"""Virtual workers: a queue of assignments, a heap of what ends when, and an account of who was paid for what."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import NamedTuple

from pydantic import Field

from sp_search.drive.world import RunnerWorld, World
from sp_search.events import Action, Finish, Park, Parked, SearchEvent, SetBudget, Start, Stop
from sp_search.records import Assignment, Measured, Record, derive_seed


class Stragglers(Record):
    """Virtual trials that take longer than their price: each with chance `share`, `factor` times as long."""

    share: float = Field(0.0, ge=0, le=1)
    factor: float = Field(10.0, ge=1)

    def stretch(self, seed: int, attempt: int) -> float:
        """Return how many times longer an attempt takes."""
        return self.factor if derive_seed(seed, "straggler", attempt) % 10**6 < self.share * 10**6 else 1.0


class Trial(NamedTuple):
    """A virtual trial: when it began, when it will end, and what it will say then."""

    started: float
    ends: float
    measured: Measured


class Cluster:
    """Runs trials in virtual time. A trial that is cut pays for the share of it that ran.

    Attributes:
        now: virtual time.
        busy_time: of all workers together.
        paid: for training, in the oracle's prices.
        lost: of what was paid, what nobody heard of: work that a crash or the machinery threw away.
        trials: that were begun.
    """

    def __init__(self, world: World | RunnerWorld, workers: int, stragglers: Stragglers, seed: int) -> None:
        """Begin with `workers` idle workers; `seed` says which attempts straggle."""
        self.world, self.workers, self.stragglers, self.seed = world, workers, stragglers, seed
        self.now = self.busy_time = self.paid = self.lost = 0.0
        self.trials = 0
        self._queue: dict[int, Assignment] = {}
        self._running: dict[int, Trial] = {}
        self._ends: list[tuple[float, int, int]] = []

    def carry_out(self, actions: list[Action]) -> list[Parked]:
        """Queue what is to run, cut what is not, and fill the workers; return what cut trials had paid."""
        parked = []
        for action in actions:
            match action:
                case Start() | SetBudget():
                    self._queue[action.assignment.member] = action.assignment
                case Park() | Stop():
                    parked += self._cut(action.member)
                case Finish():
                    parked += [one for member in list(self._running) for one in self._cut(member)]
                    self._queue.clear()
        while self._queue and len(self._running) < self.workers:
            self._run(self._queue.pop(next(iter(self._queue))))
        return parked

    def next_done(self) -> Measured | None:
        """Let time pass until a trial ends, and return what it measured."""
        while self._ends:
            end, attempt, member = heapq.heappop(self._ends)
            if member in self._running and self._running[member].measured.attempt == attempt:  # else it was cut
                run = self._running.pop(member)
                self._pay(run, until=end)
                self.now = end
                return run.measured
        return None

    def lose(self, measured: Measured) -> None:
        """Throw away what a trial measured."""
        self.lost += measured.training_flops

    def crash(self, unheard: Iterable[SearchEvent]) -> None:
        """Lose what was running or waiting, and what cut trials had not said yet; it stays paid."""
        self.lost += sum(self._pay(run, until=self.now) for run in self._running.values())
        self.lost += sum(event.training_flops for event in unheard if isinstance(event, Parked))
        self._queue.clear()
        self._running.clear()
        self._ends.clear()

    def _run(self, assignment: Assignment) -> None:
        measured = self.world.measure(assignment)
        ends = self.now + measured.training_flops * self.stragglers.stretch(self.seed, assignment.attempt)
        self.trials += 1
        self._running[assignment.member] = Trial(self.now, ends, measured)
        heapq.heappush(self._ends, (ends, assignment.attempt, assignment.member))

    def _cut(self, member: int) -> list[Parked]:
        self._queue.pop(member, None)
        if member not in self._running:
            return []
        run = self._running.pop(member)
        spent = self._pay(run, until=self.now)
        return [Parked(member=member, attempt=run.measured.attempt, training_flops=spent)]

    def _pay(self, run: Trial, *, until: float) -> float:
        share = (until - run.started) / (run.ends - run.started) if run.ends > run.started else 1.0
        self.busy_time += until - run.started
        self.paid += run.measured.training_flops * share
        return run.measured.training_flops * share
