"""A runner whose answers come from a table: importable in Ray's workers, without torch, and touchy about its state.

Its state is a chain of hashes over every slice that it ran and inherited, and the chain decides who passes: a slice
that is lost, repeated or inherited from the wrong visit changes the answer.
"""

import hashlib
import json
import os
import signal
import time
from pathlib import Path

from sp_search.events import Propose, Proposed
from sp_search.levels import Terms, Visit
from sp_search.records import (
    Assignment,
    Budget,
    Count,
    LevelReport,
    LevelSpace,
    LineageMeasurement,
    Measured,
    Member,
    Population,
    RunnerState,
    derive_seed,
)
from sp_search.schedulers.base import BudgetScheduler, Resolved, View
from sp_search.search import Append, Search
from sp_search.tune.actor import RunnerRecipe


class TableRunner:
    def __init__(
        self, least=5.0, rate=0.7, slices=3, seconds=0.0, slow=None, log=None, faults=None, fault_at=1, hold=None
    ):
        self.least, self.rate, self.slices, self.seconds, self.slow = least, rate, slices, seconds, slow or {}
        self.log, self.faults, self.fault_at = log and Path(log), faults or {}, fault_at
        self.hold = hold and Path(hold)

    def begin(self, assignment: Assignment, inherited: RunnerState | None) -> RunnerState:
        chain = inherited.meta["chain"] if inherited else "fresh"
        return RunnerState(meta={"chain": chain, "slices": 0, "training_flops": 0.0})

    def step(self, assignment: Assignment, state: RunnerState) -> tuple[RunnerState, Measured | None]:
        done = state.meta["slices"]
        if done == self.slices:
            return state, self._measure(assignment, state.meta["chain"])
        self._write(assignment, done)
        while self.hold is not None and self.hold.exists():
            time.sleep(0.05)
        self._fault(assignment, done)
        time.sleep(self.slow.get(str(assignment.member), self.seconds))
        chain = hashlib.sha256(f"{state.meta['chain']}/{assignment.visit}/{done}".encode()).hexdigest()
        spent = (done + 1) * price(assignment.budget.cap, assignment.lineages)
        state = RunnerState(meta={"chain": chain, "slices": done + 1, "training_flops": spent})
        return state, self._measure(assignment, chain) if done + 1 == self.slices else None

    def _measure(self, assignment: Assignment, chain: str) -> Measured:
        cap = assignment.budget.cap
        lineages = []
        for lineage, seed in zip(assignment.lineages, assignment.seeds, strict=True):
            passes = cap >= self.least and derive_seed(seed, chain) % 1000 < 1000 * self.rate
            lineages.append(
                LineageMeasurement(
                    lineage=lineage,
                    seed=seed,
                    ended="reached" if passes else "exhausted",
                    train_steps=self.slices,
                    gates={"table": Count(correct=1, n=1, exact=True)} if passes else {},
                    max_available_flops=cap,
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
            training_flops=self.slices * price(cap, assignment.lineages),
            verification_flops=0.0,
        )

    def _write(self, assignment: Assignment, done: int) -> None:
        if self.log is not None:
            row = {
                "pid": os.getpid(),
                "place": os.environ.get("PLACE"),
                "time": time.time(),
                "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
                "slice": done,
                **assignment.model_dump(include={"member", "visit", "attempt"}),
            }
            with self.log.open("a") as file:
                file.write(json.dumps({**row, "cap": assignment.budget.cap, "lineages": assignment.lineages}) + "\n")

    def _fault(self, assignment: Assignment, done: int) -> None:
        """Do what `faults` says of an attempt, after `fault_at` of its slices: a signal's name, or raise."""
        fault = self.faults.get(str(assignment.attempt)) if done == self.fault_at else None
        if fault == "raise":
            raise ZeroDivisionError("in the member's own code")
        if fault is not None:
            os.kill(os.getpid(), getattr(signal, fault))


def price(cap: float, lineages: list[int]) -> float:
    """What one slice costs."""
    return cap * len(lineages)


def build(device: str, **arguments) -> TableRunner:
    return TableRunner(**arguments)


def recipe(**arguments) -> RunnerRecipe:
    return RunnerRecipe(factory="tests.flow.table_runner:build", arguments=arguments)


class Falling(BudgetScheduler):
    """Goes down from the top, a level at a time, to the first that fails."""

    def next_visit(self, view: View) -> Visit | Resolved:
        if len(view.history) > view.top or (view.history and view.history[-1].verdict == "failed"):
            return Resolved(level=view.least_found)
        return Visit(level=view.top - len(view.history), phase="falling", evidence=view.evidence)


class Ladder:
    """A proposer without a generator: the n-th member computes the n-th of the space's caps that the request allows."""

    def __init__(self, caps: list[float]) -> None:
        self.caps, self.ends = caps, {}

    def propose(self, request: Propose) -> Proposed:
        fitting = [cap for cap in self.caps if cap <= request.cap]
        if not fitting:
            return Proposed(member=request.member, visit=request.visit)
        cap = fitting[request.member % len(fitting)]
        config = {"width": request.member}
        return Proposed(member=request.member, visit=request.visit, config=config, budget=budget_of(cap))

    def accepted(self, proposed: Proposed) -> None:
        self.ends.setdefault(proposed.member, "asked")

    def judged(self, report: LevelReport) -> None:
        self.ends[report.member] = "judged"

    def ended(self, member: int, reason: str) -> None:
        self.ends[member] = reason


def budget_of(cap: float) -> Budget:
    return Budget(kind="max", measure="rollouts", cap=cap, axis={"rollouts": int(cap)})


def new_search(
    scheduler: BudgetScheduler,
    append: Append | None = None,
    *,
    members: int = 2,
    replicas: int = 3,
    levels: int = 8,
    distinct: bool = False,
    proposals: int = 0,
    terms: Terms | None = None,
) -> Search:
    """A search over caps 1, 2, ... of which member 1 fits all but the largest, or by `proposals` a visit.

    `distinct`: no two members are configured alike, so that every one of them has to fail.
    """
    caps = [float(cap) for cap in range(1, levels + 1)]
    space = LevelSpace(kind="max", measure="rollouts", axis="rollouts", caps=caps)
    budgets = [budget_of(cap) for cap in caps]
    listed = [
        Member(
            member=index,
            config={"width": index} if distinct else {},
            budgets=[*budgets[:-1], None] if index == 1 else list(budgets),
        )
        for index in range(0 if proposals else members)
    ]
    population = Population(members=listed, replicas=replicas, proposals=proposals)
    proposer = Ladder(caps) if proposals else None
    return Search(scheduler, space, population, terms or Terms(seed=0, milestones=[1.0]), 0.99, append, proposer)
