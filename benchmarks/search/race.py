"""One search by one method, in virtual time: jobs on N workers, charged as they start, until the purse is empty.

A method asks for jobs and is told their outcomes; a job trains one lineage of one configuration, or a share of its
training. What a lineage costs, a repeated confirmation and a crashed job are all charged. Free for everybody: a job
that cannot help any more (it computes as much as what passed already, or costs more than what is left) is not run.

A configuration becomes the method's *claim* when `confirm.passes` of at most `confirm.of` of its lineages pass and it
computes less than the standing claim. Claims are judged afterwards, against the truth. A search that claims the least
compute at which any lineage passes has nothing left to find: it is cut short, and counts as having spent its purse.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from benchmarks.search.worlds import Config, World
from sp_search.records import derive_seed

PATIENCE = 200
"""Useless proposals in a row after which a method is taken to have no better ones."""
KEPT_LINEAGES = 5
"""Lineages that take turns where they inherit, as many as a level of sp_search needs to fail."""


class Confirm(NamedTuple):
    """How many of how many lineages of a configuration have to pass before a method claims it."""

    passes: int = 1
    of: int = 1


ONCE = Confirm()


@dataclass(frozen=True)
class Job:
    """Train one lineage of a configuration, from one share of its training to another."""

    config: Config
    begin: float = 0.0
    end: float = 1.0
    lineage: int | None = None


@dataclass(frozen=True)
class Outcome:
    """`shortfall` 0 passes. `skipped`: it was not run, for it could not have helped."""

    shortfall: float
    skipped: bool = False

    @property
    def passed(self) -> bool:
        """Whether the configuration passed."""
        return self.shortfall == 0.0 and not self.skipped


class Peer(Protocol):
    """A search method. `ask` gives a job, or None while it waits for outcomes (for ever: it is done)."""

    def ask(self, below: float) -> Job | None:
        """Return what to train next; only what computes less than `below` can still help."""
        ...

    def tell(self, job: Job, outcome: Outcome) -> None:
        """Take the outcome of a job that was asked."""
        ...


class Claim(NamedTuple):
    """A program that a method says is enough: what had been spent, and when, what it computes, and the truth.

    `true`: the program passes. `rate`: the share of its configuration's lineages that would.
    """

    spent: float
    time: float
    compute: float
    true: bool
    rate: float


@dataclass
class Run:
    """What one search claimed, in order, and what it took.

    `stopped`: the method ended by itself; `cut_short`: it was ended, having nothing left to find.
    """

    claims: list[Claim] = field(default_factory=list)
    spent: float = 0.0
    time: float = 0.0
    busy: float = 0.0
    jobs: int = 0
    stopped: bool = False
    cut_short: bool = False


@dataclass
class _Open:
    job: Job
    seed: int
    passed: int = 0
    failed: int = 0
    missed: float = 0.0


class _Race:
    def __init__(self, world: World, seed: int, confirm: Confirm, crash_rate: float, *, inherit: bool) -> None:
        self.world, self.confirm, self.crash_rate, self.inherit = world, confirm, crash_rate, inherit
        self.rng = random.Random(f"race {seed}")  # noqa: S311
        self.study, self.drawn, self.looks = seed, 0, 0
        self.run, self.now = Run(), 0.0
        self.running: list[tuple[float, int, _Open, bool]] = []
        self.trained: dict[int, float] = {}
        self.below = float("inf")

    def affordable(self, job: Job) -> bool:
        price = self.world.price(job.config, 0) * (job.end - job.begin)
        return self.world.compute(job.config) < self.below and self.run.spent + price <= self.world.purse

    def lineage(self, job: Job) -> int:
        """Return the seed of the job's lineage: its own, or the next; with inheritance, five are kept and take turns.

        They are the seeds that a study of sp_search with five members draws, so that searches of a seed are paired.
        """
        index = job.lineage
        if index is None:
            index = self.drawn % KEPT_LINEAGES if self.inherit else self.drawn
            self.drawn += 1
        return derive_seed(self.study, index % KEPT_LINEAGES, index // KEPT_LINEAGES)

    def start(self, opened: _Open) -> None:
        """Charge the job's lineage and let it run."""
        seed = opened.seed
        before = self.trained.get(seed) if self.inherit else None
        price = self.world.price(opened.job.config, seed, before) * (opened.job.end - opened.job.begin)
        crashes = self.rng.random() < self.crash_rate
        self.run.spent += price
        self.run.busy += price
        self.run.jobs += 1
        heapq.heappush(self.running, (self.now + price, self.run.jobs, opened, crashes))

    def finish(self) -> tuple[Job, Outcome] | None:
        """Let the next running lineage end; return the job's outcome once it is decided."""
        self.now, _, opened, crashed = heapq.heappop(self.running)
        if crashed:
            self.start(opened)
            return None
        job, seed = opened.job, opened.seed
        self.looks += job.end == 1.0
        final = self.world.shortfall(job.config, seed, max(self.looks, 1))
        if job.end < 1.0:  # curves never cross: the share of the training shows how the lineage ends
            return job, Outcome(1.0 - job.end * (1.0 - final))
        self.trained[seed] = max(self.world.compute(job.config), self.trained.get(seed, 0.0))
        opened.passed += final == 0.0
        opened.failed += final > 0.0
        opened.missed = max(opened.missed, final)
        if opened.passed and opened.passed < self.confirm.passes and self.possible(opened):
            opened.seed = self.lineage(Job(job.config))
            self.start(opened)
            return None
        if opened.passed < self.confirm.passes:
            return job, Outcome(opened.missed or 1.0)
        self.claim(job.config, seed)
        return job, Outcome(0.0)

    def possible(self, opened: _Open) -> bool:
        """Whether enough lineages may still pass, and one more can be paid for."""
        left = self.confirm.of - opened.passed - opened.failed
        return opened.passed + left >= self.confirm.passes and self.affordable(opened.job)

    def claim(self, config: Config, seed: int) -> None:
        compute = self.world.compute(config)
        if compute < self.below:
            self.below = compute
            self.run.claims.append(
                Claim(self.run.spent, self.now, compute, self.world.passes(config, seed), self.world.rate(config))
            )


def race(
    peer: Peer,
    world: World,
    seed: int,
    *,
    workers: int = 1,
    confirm: Confirm = ONCE,
    crash_rate: float = 0.0,
    inherit: bool = False,
) -> Run:
    """Return what `peer` claims in `world` on that study seed.

    `crash_rate`: chance that a job dies at the end of its training; what it cost is lost, and it runs again.
    """
    state, useless = _Race(world, seed, confirm, crash_rate, inherit=inherit), 0
    while useless < PATIENCE and state.below > world.lowest:
        job = peer.ask(state.below) if len(state.running) < workers else None
        if job is not None and not state.affordable(job):
            peer.tell(job, Outcome(1.0, skipped=True))
            useless += 1
        elif job is not None:
            state.start(_Open(job, state.lineage(job)))
            useless = 0
        elif state.running:
            ended = state.finish()
            if ended is not None:
                peer.tell(*ended)
        else:
            state.run.stopped = True
            break
    while state.running:
        ended = state.finish()
        if ended is not None:
            peer.tell(*ended)
    state.run.time = state.now
    state.run.cut_short = state.below <= world.lowest
    return state.run
