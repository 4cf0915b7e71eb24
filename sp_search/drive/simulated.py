"""Drives a search against an oracle in virtual time: discrete events, N virtual workers, crashes at any event.

No training, no Ray and no clock. Virtual durations are the oracle's prices, so stragglers and utilisation are real
consequences of the schedule. A crash throws the search away and replays what the ledger had.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import Any, Protocol

from pydantic import Field

from sp_search.levels import LevelOutcome, Terms
from sp_search.records import (
    Action,
    Assignment,
    Budget,
    Capacity,
    Count,
    LevelSpace,
    LineageMeasurement,
    Measured,
    Member,
    MemberLost,
    Minimum,
    Population,
    Record,
    Restored,
    SearchEvent,
    SetBudget,
    Start,
)
from sp_search.schedulers.base import BudgetScheduler
from sp_search.search import Append, Search, statistical_minimum


class Oracle(Protocol):
    """What knows the truth: levels ascending, the price of training one lineage at a budget, and whether it passes."""

    levels: list[float]

    def cost(self, budget: float) -> float:
        """Return the price of training one lineage at that cap."""
        ...

    def passes(self, budget: float, seed: int) -> bool:
        """Return whether the lineage of that seed passes at that cap."""
        ...


class SimulationResult(Record):
    """What a simulated search found and what it paid."""

    found_budget: float | None
    minimum: Minimum
    search_cost: float = Field(description="what was paid for training, in the oracle's prices, repeated work included")
    levels: list[LevelOutcome]
    events: list[dict[str, Any]] = Field(description="the ledger's lines, as a study's folder would hold them")
    virtual_time: float
    utilisation: float


class _Cluster:
    """Virtual workers: a queue of assignments, and a heap of what ends when."""

    def __init__(self, oracle: Oracle, workers: int) -> None:
        self.oracle = oracle
        self.workers = workers
        self.now = 0.0
        self.busy_time = 0.0
        self.paid = 0.0
        self.queue: deque[Assignment] = deque()
        self.running: list[tuple[float, int, Assignment]] = []

    def carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Start | SetBudget):
                self.queue.append(action.assignment)
        while self.queue and len(self.running) < self.workers:
            assignment = self.queue.popleft()
            duration = self.oracle.cost(assignment.budget.cap) * len(assignment.lineages)
            heapq.heappush(self.running, (self.now + duration, assignment.attempt, assignment))

    def next_done(self) -> Assignment:
        end, _, assignment = heapq.heappop(self.running)
        price = self.oracle.cost(assignment.budget.cap) * len(assignment.lineages)
        self.now, self.busy_time, self.paid = end, self.busy_time + price, self.paid + price
        return assignment

    def crash(self) -> None:
        """Lose whatever was running or waiting; what had been paid for it is not given back."""
        self.queue.clear()
        self.running.clear()


def oracle_search(
    scheduler: BudgetScheduler, oracle: Oracle, terms: Terms, *, members: int = 5, append: Append | None = None
) -> Search:
    """Return a search over an oracle's levels, by members of one replica each."""
    caps = [float(cap) for cap in oracle.levels]
    space = LevelSpace(kind=scheduler.budget, measure="flops", axis=scheduler.axis, caps=caps)
    budgets = [Budget(kind=scheduler.budget, measure="flops", cap=cap) for cap in caps]
    listed = [Member(member=index, config={}, budgets=list(budgets)) for index in range(members)]
    return Search(scheduler, space, Population(members=listed, replicas=1), terms, 0.99, append)


def simulate(
    scheduler: BudgetScheduler,
    oracle: Oracle,
    *,
    workers: int,
    seed: int,
    crash_at: int | None = None,
    lose: frozenset[int] = frozenset(),
    members: int = 5,
    terms: Terms | None = None,
) -> SimulationResult:
    """Run `scheduler` against `oracle`.

    Args:
        scheduler: the part under test; its own ladder is replaced by the oracle's levels.
        oracle: any object with `levels`, `cost(cap)` and `passes(cap, seed)`.
        workers: virtual workers.
        seed: of the study; lineage seeds follow from it.
        crash_at: number of ledger lines after which the driver dies once and is restored by replay.
        lose: attempts that the machinery loses instead of finishing.
        members: population size, one replica each.
        terms: milestones and evidence; by default one milestone and five lineages to fail.

    Raises:
        ValueError: the oracle has no levels or they do not ascend.
    """
    terms = Terms(seed=seed, milestones=[1.0]) if terms is None else terms.model_copy(update={"seed": seed})
    ledger: list[dict[str, Any]] = []

    def begin() -> Search:
        def append(entry: dict[str, Any]) -> None:
            ledger.append({"seq": len(ledger), **entry})

        return oracle_search(scheduler, oracle, terms, members=members, append=append)

    search, cluster = begin(), _Cluster(oracle, workers)
    event: SearchEvent = Capacity(slots=workers)
    while True:
        cluster.carry_out(search.feed(event))
        if len(ledger) == crash_at:
            cluster.crash()
            search = begin()
            search.replay(ledger)
            cluster.carry_out(search.feed(Restored()))
            crash_at = None
        if search.state.finished is not None or not cluster.running:
            break
        assignment = cluster.next_done()
        if assignment.attempt in lose:
            event = MemberLost(member=assignment.member, attempt=assignment.attempt, reason="simulated loss")
        else:
            event = measure(oracle, assignment)
    return _result(search, cluster, ledger)


def measure(oracle: Oracle, assignment: Assignment) -> Measured:
    """Ask the oracle about every lineage; its answers are exact, so no look is spent."""
    lineages = []
    for lineage, seed in zip(assignment.lineages, assignment.seeds, strict=True):
        passes = oracle.passes(assignment.budget.cap, seed)
        lineages.append(
            LineageMeasurement(
                lineage=lineage,
                seed=seed,
                ended="reached" if passes else "exhausted",
                train_steps=1,
                gates={"oracle": Count(correct=1, n=1, exact=True)} if passes else {},
                max_available_flops=assignment.budget.cap,
                parameters=0,
                serial_depth=0,
            )
        )
    return Measured(
        member=assignment.member,
        visit=assignment.visit,
        level=assignment.level,
        attempt=assignment.attempt,
        lineages=lineages,
        training_flops=oracle.cost(assignment.budget.cap) * len(lineages),
        verification_flops=0.0,
    )


def _result(search: Search, cluster: _Cluster, ledger: list[dict[str, Any]]) -> SimulationResult:
    state = search.state
    found = state.found.get(len(state.terms.milestones) - 1)
    caps = state.space.caps
    return SimulationResult(
        found_budget=None if found is None else caps[found],
        minimum=statistical_minimum(search, state.milestone),
        search_cost=cluster.paid,
        levels=state.history,
        events=ledger,
        virtual_time=cluster.now,
        utilisation=cluster.busy_time / (cluster.now * cluster.workers) if cluster.now else 0.0,
    )
