"""Drives a search against an oracle in virtual time: discrete events, N virtual workers, crashes at any event.

No training, no Ray and no clock. Virtual durations are the oracle's prices, so stragglers and utilisation are real
consequences of the schedule. A crash throws the search away and replays what the ledger had.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import Any, NamedTuple

from pydantic import Field

from sp_search.levels import LevelOutcome, Terms
from sp_search.oracles.base import InheritingOracle, MeasuredOracle, Oracle, SpaceOracle
from sp_search.records import (
    Action,
    Assignment,
    Budget,
    Capacity,
    Count,
    Finish,
    LevelSpace,
    LineageMeasurement,
    Measured,
    Member,
    MemberLost,
    Minimum,
    Park,
    Parked,
    Population,
    Proposer,
    Record,
    Restored,
    SearchEvent,
    SetBudget,
    Start,
    Stop,
    derive_seed,
)
from sp_search.schedulers.base import BudgetScheduler
from sp_search.search import Append, Search, statistical_minimum

CONFIDENCE = 0.99
VERIFIED_ON = 8192
"""Examples of a simulated verification draw, where the oracle's programs have an accuracy."""


class Stragglers(Record):
    """Virtual trials that take longer than their price: each with chance `share`, `factor` times as long."""

    share: float = Field(0.0, ge=0, le=1)
    factor: float = Field(10.0, ge=1)

    def stretch(self, seed: int, attempt: int) -> float:
        """Return how many times longer an attempt takes."""
        return self.factor if derive_seed(seed, "straggler", attempt) % 10**6 < self.share * 10**6 else 1.0


class SimulationResult(Record):
    """What a simulated search found and paid. `curve` holds (virtual time, paid, least cap found) as it fell."""

    found_budget: float | None
    minimum: Minimum
    search_cost: float = Field(description="what was paid for training, in the oracle's prices, repeated work included")
    levels: list[LevelOutcome]
    events: list[dict[str, Any]] = Field(description="the ledger's lines, as a study's folder would hold them")
    trials: int
    virtual_time: float
    utilisation: float
    curve: list[tuple[float, float, float]]


class _Run(NamedTuple):
    """A virtual trial: when it began, when it will end, and what it will say then."""

    started: float
    ends: float
    measured: Measured


class _Cluster:
    """Virtual workers: a queue of assignments, and a heap of what ends when. A trial that is cut pays what it used."""

    def __init__(self, world: World, workers: int, stragglers: Stragglers, seed: int) -> None:
        self.world, self.workers, self.stragglers, self.seed = world, workers, stragglers, seed
        self.now = self.busy_time = self.paid = 0.0
        self.trials = 0
        self.queue: dict[int, Assignment] = {}
        self.running: dict[int, _Run] = {}
        self.ends: list[tuple[float, int, int]] = []

    def carry_out(self, actions: list[Action]) -> list[Parked]:
        """Queue what is to run, cut what is not, and fill the workers; return what cut trials had paid."""
        parked = []
        for action in actions:
            match action:
                case Start() | SetBudget():
                    self.queue[action.assignment.member] = action.assignment
                case Park() | Stop():
                    parked += self._cut(action.member)
                case Finish():
                    parked += [one for member in list(self.running) for one in self._cut(member)]
                    self.queue.clear()
        while self.queue and len(self.running) < self.workers:
            self._run(self.queue.pop(next(iter(self.queue))))
        return parked

    def next_done(self) -> Measured | None:
        """Let time pass until a trial ends, and return what it measured."""
        while self.ends:
            end, attempt, member = heapq.heappop(self.ends)
            if member in self.running and self.running[member].measured.attempt == attempt:  # else it was cut
                run = self.running.pop(member)
                self._pay(run, until=end)
                self.now = end
                return run.measured
        return None

    def crash(self) -> None:
        """Lose whatever was running or waiting; what had been paid for it is not given back."""
        for run in self.running.values():
            self._pay(run, until=self.now)
        self.queue.clear()
        self.running.clear()
        self.ends.clear()

    def _run(self, assignment: Assignment) -> None:
        measured = self.world.measure(assignment)
        ends = self.now + measured.training_flops * self.stragglers.stretch(self.seed, assignment.attempt)
        self.trials += 1
        self.running[assignment.member] = _Run(self.now, ends, measured)
        heapq.heappush(self.ends, (ends, assignment.attempt, assignment.member))

    def _cut(self, member: int) -> list[Parked]:
        self.queue.pop(member, None)
        if member not in self.running:
            return []
        run = self.running.pop(member)
        spent = self._pay(run, until=self.now)
        return [Parked(member=member, attempt=run.measured.attempt, training_flops=spent)]

    def _pay(self, run: _Run, *, until: float) -> float:
        share = (until - run.started) / (run.ends - run.started) if run.ends > run.started else 1.0
        self.busy_time += until - run.started
        self.paid += run.measured.training_flops * share
        return run.measured.training_flops * share


class World:
    """An oracle's answers to assignments. It remembers at which cap a lineage was last, to price what it inherits."""

    def __init__(self, oracle: Oracle, seed: int) -> None:
        """Ask `oracle`; `seed` draws the samples with which an accuracy is measured."""
        self.oracle, self.seed = oracle, seed
        self.caps: dict[int, float] = {}

    def measure(self, assignment: Assignment) -> Measured:
        """Ask about every lineage. An oracle that knows pass or fail is exact, and spends no look."""
        self.caps[assignment.visit] = assignment.budget.cap
        prices, lineages = [], []
        for lineage, seed in zip(assignment.lineages, assignment.seeds, strict=True):
            gates = self._gates(assignment, seed)
            prices.append(self._price(assignment, seed))
            lineages.append(
                LineageMeasurement(
                    lineage=lineage,
                    seed=seed,
                    ended="reached" if gates else "exhausted",
                    train_steps=1,
                    gates=gates,
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
            training_flops=sum(prices),
            verification_flops=0.0,
        )

    def _gates(self, assignment: Assignment, seed: int) -> dict[str, Count]:
        oracle, cap = self.oracle, assignment.budget.cap
        if isinstance(oracle, MeasuredOracle):
            accuracy = oracle.accuracy(cap, seed)
            draw = derive_seed(self.seed, "verification", assignment.visit, seed)
            return {"oracle": Count(correct=_binomial(accuracy, VERIFIED_ON, draw), n=VERIFIED_ON)}
        if assignment.config and isinstance(oracle, SpaceOracle):
            passes = oracle.score(assignment.config, seed) >= oracle.threshold
        else:
            passes = oracle.passes(cap, seed)
        return {"oracle": Count(correct=1, n=1, exact=True)} if passes else {}

    def _price(self, assignment: Assignment, seed: int) -> float:
        oracle, cap, donor = self.oracle, assignment.budget.cap, assignment.init_from
        if assignment.config and isinstance(oracle, SpaceOracle):
            return oracle.price(assignment.config)
        if donor is not None and isinstance(oracle, InheritingOracle):
            return oracle.cost_inherited(cap, self.caps[donor.visit], seed)
        return oracle.cost(cap)


def _binomial(probability: float, n: int, seed: int) -> int:
    """Return a binomial count that follows from the seed."""
    import numpy

    return int(numpy.random.default_rng(seed).binomial(n, probability))


def oracle_search(
    scheduler: BudgetScheduler,
    oracle: Oracle,
    terms: Terms,
    *,
    members: int = 5,
    proposer: Proposer | None = None,
    append: Append | None = None,
) -> Search:
    """Return a search over an oracle's levels: by members of one replica each, or by `members` proposals a visit."""
    caps = [float(cap) for cap in oracle.levels]
    space = LevelSpace(kind=scheduler.budget, measure="flops", axis=scheduler.axis, caps=caps)
    if proposer is None:
        budgets: list[Budget | None] = [Budget(kind=scheduler.budget, measure="flops", cap=cap) for cap in caps]
        listed = [Member(member=index, config={}, budgets=budgets) for index in range(members)]
        population = Population(members=listed, replicas=1)
    else:
        population = Population(members=[], replicas=1, proposals=members)
    return Search(scheduler, space, population, terms, CONFIDENCE, append, proposer)


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
    stragglers: Stragglers | None = None,
    proposer: Proposer | None = None,
) -> SimulationResult:
    """Run `scheduler` against `oracle`.

    Args:
        scheduler: the part under test; its own ladder is replaced by the oracle's levels.
        oracle: any object with `levels`, `cost(cap)` and `passes(cap, seed)`, and perhaps more (`oracles.base`).
        workers: virtual workers.
        seed: of the study; lineage seeds follow from it.
        crash_at: number of ledger lines after which the driver dies once and is restored by replay.
        lose: attempts that the machinery loses instead of finishing.
        members: population size, one replica each; of proposals, how many a visit asks for.
        terms: milestones and evidence; by default one milestone and five lineages to fail.
        stragglers: trials that take longer than their price.
        proposer: chooses configurations, for an oracle that has a space of them; it has to take a replay.

    Raises:
        ValueError: the oracle has no levels or they do not ascend.
    """
    terms = Terms(seed=seed, milestones=[1.0]) if terms is None else terms.model_copy(update={"seed": seed})
    ledger: list[dict[str, Any]] = []

    def begin() -> Search:
        def append(entry: dict[str, Any]) -> None:
            ledger.append({"seq": len(ledger), **entry})

        return oracle_search(scheduler, oracle, terms, members=members, proposer=proposer, append=append)

    search = begin()
    cluster = _Cluster(World(oracle, seed), workers, stragglers or Stragglers(), seed)
    curve: list[tuple[float, float, float]] = []
    known = 0
    events: deque[SearchEvent] = deque([Capacity(slots=workers)])
    while events:
        events.extend(cluster.carry_out(search.feed(events.popleft())))
        if crash_at is not None and len(ledger) >= crash_at:
            cluster.crash()
            search, crash_at = begin(), None
            search.replay(ledger)
            events = deque([Restored()])
            continue
        best = min((selection.budget.cap for selection, _ in search.candidates[known:]), default=None)
        known = len(search.candidates)
        if best is not None and (not curve or best < curve[-1][2]):
            curve.append((cluster.now, cluster.paid, best))
        if events or search.state.finished is not None:
            continue
        measured = cluster.next_done()
        if measured is not None and measured.attempt in lose:
            events.append(MemberLost(member=measured.member, attempt=measured.attempt, reason="simulated loss"))
        elif measured is not None:
            events.append(measured)
    return _result(search, cluster, ledger, curve)


def _result(
    search: Search, cluster: _Cluster, ledger: list[dict[str, Any]], curve: list[tuple[float, float, float]]
) -> SimulationResult:
    state = search.state
    found = state.found.get(len(state.terms.milestones) - 1)
    caps = state.space.caps
    return SimulationResult(
        found_budget=None if found is None else caps[found],
        minimum=statistical_minimum(search, state.milestone),
        search_cost=cluster.paid,
        levels=state.history,
        events=ledger,
        trials=cluster.trials,
        virtual_time=cluster.now,
        utilisation=cluster.busy_time / (cluster.now * cluster.workers) if cluster.now else 0.0,
        curve=curve,
    )
