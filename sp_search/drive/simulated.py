"""Drives a search against an oracle in virtual time: discrete events, N virtual workers, a crash at any ledger line.

No training, no Ray and no clock. Virtual durations are the oracle's prices, so stragglers and utilisation are real
consequences of the schedule. A crash throws the search away and replays what the ledger had.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from sp_search.drive.cluster import Cluster, Stragglers
from sp_search.drive.world import VERIFIED_ON, RunnerWorld, World
from sp_search.events import Action, Capacity, MemberLost, Proposer, Restored, SearchEvent
from sp_search.levels import LevelOutcome, Terms
from sp_search.minimum import found_cap, statistical_minimum
from sp_search.oracles.base import Config, Oracle, RunningOracle
from sp_search.records import Budget, LevelSpace, Member, Minimum, Population, Record, Selection
from sp_search.schedulers.base import BudgetScheduler
from sp_search.search import Append, Search
from sp_search.store import MemoryStore, Store

__all__ = ["CONFIDENCE", "VERIFIED_ON", "SimulationResult", "Stragglers", "World", "oracle_search", "simulate"]

CONFIDENCE = 0.99


class SimulationResult(Record):
    """What a simulated search found and paid. `curve` holds (virtual time, paid, least cap found) as it fell."""

    found_budget: float | None
    selected: Selection | None = Field(description="the verified program that computes least, of the last milestone")
    minimum: Minimum
    search_cost: float = Field(description="what was paid for training, in the oracle's prices, repeated work included")
    spent: float = Field(description="of it, what the search heard of, as a study's search_flops say it")
    lost: float = Field(description="of it, what crashes and lost trials threw away")
    levels: list[LevelOutcome]
    events: list[dict[str, Any]] = Field(description="the ledger's lines, as a study's folder would hold them")
    trials: int
    virtual_time: float
    utilisation: float
    curve: list[tuple[float, float, float]]


class _Died(Exception):
    """The driver died: its last line is written, and nothing that follows from it was carried out."""


def oracle_search(
    scheduler: BudgetScheduler,
    oracle: Oracle,
    terms: Terms,
    *,
    members: int | Sequence[Config] = 5,
    replicas: int = 1,
    confidence: float = CONFIDENCE,
    proposer: Proposer | None = None,
    append: Append | None = None,
) -> Search:
    """Return a search over an oracle's levels, by `members` that are listed (or alike), or so many proposals a visit.

    Where the scheduler moves a control, its strictest value stands for the oracle's least level, and so on.
    """
    caps = [float(cap) for cap in oracle.levels]
    space = LevelSpace(kind=scheduler.budget, measure="flops", axis=scheduler.axis, caps=caps)
    if scheduler.controls():
        controls = [{"strength": caps[-1] / cap} for cap in caps]
        space = space.model_copy(update={"caps": caps[-1:] * len(caps), "controls": controls})
    if proposer is None:
        budgets: list[Budget | None] = [Budget(kind=space.kind, measure="flops", cap=cap) for cap in space.caps]
        configs = [{}] * members if isinstance(members, int) else members
        listed = [Member(member=index, config=config, budgets=budgets) for index, config in enumerate(configs)]
        population = Population(members=listed, replicas=replicas)
    else:
        proposals = members if isinstance(members, int) else len(members)
        population = Population(members=[], replicas=replicas, proposals=proposals)
    return Search(scheduler, space, population, terms, confidence, append, proposer)


def simulate(
    scheduler: BudgetScheduler,
    oracle: Oracle,
    *,
    workers: int,
    seed: int,
    crash_at: int | None = None,
    lose: frozenset[int] = frozenset(),
    members: int | Sequence[Config] = 5,
    replicas: int = 1,
    terms: Terms | None = None,
    confidence: float = CONFIDENCE,
    stragglers: Stragglers | None = None,
    proposer: Proposer | None = None,
    events: bool = True,
    store: Store | None = None,
) -> SimulationResult:
    """Run `scheduler` against `oracle`.

    Args:
        scheduler: the part under test; its own ladder is replaced by the oracle's levels.
        oracle: any object with `levels`, `cost(cap)` and `passes(cap, seed)`, and perhaps more (`oracles.base`).
        workers: virtual workers.
        seed: of the study; lineage seeds follow from it.
        crash_at: the ledger line (1, 2, ...) after which the driver dies once, before anything of it is carried out;
            it is restored by replay.
        lose: attempts that the machinery loses instead of finishing.
        members: of the population: how many alike, or the configuration of each; of proposals, how many a visit asks
            for.
        replicas: lineages of a member that train together.
        terms: milestones and evidence; by default one milestone and five lineages to fail.
        confidence: of the study, where programs have an accuracy that is measured.
        stragglers: trials that take longer than their price.
        proposer: chooses configurations, for an oracle that has a space of them; it has to take a replay.
        events: keep the ledger's lines in the result (a search of 10^5 trials writes some hundred megabytes of them).
        store: keeps the states of an oracle's runner, for who wants to look at what was found.

    Raises:
        ValueError: the oracle has no levels or they do not ascend.
    """
    terms = Terms(seed=seed, milestones=[1.0]) if terms is None else terms.model_copy(update={"seed": seed})
    ledger: list[dict[str, Any]] = []

    def append(entry: dict[str, Any]) -> None:
        ledger.append({"seq": len(ledger), **entry})
        if len(ledger) == crash_at:
            raise _Died

    def begin() -> Search:
        return oracle_search(
            scheduler,
            oracle,
            terms,
            members=members,
            replicas=replicas,
            confidence=confidence,
            proposer=proposer,
            append=append if events or crash_at is not None else None,
        )

    search = begin()
    world: World | RunnerWorld = World(oracle, seed, chosen=proposer is not None)
    if isinstance(oracle, RunningOracle):
        world = RunnerWorld(oracle.runner(), store or MemoryStore(), oracle.levels)
    cluster = Cluster(world, workers, stragglers or Stragglers(), seed)
    curve: list[tuple[float, float, float]] = []
    queue: deque[SearchEvent] = deque([Capacity(slots=workers)])
    while queue:
        try:
            actions: list[Action] = search.feed(queue.popleft())
        except _Died:
            cluster.crash(queue)
            search = begin()
            search.replay(ledger)
            queue = deque([Restored()])
            continue
        queue.extend(cluster.carry_out(actions))
        best = min((selection.cost for selection, _ in search.cheapest.values()), default=None)
        if best is not None and (not curve or best < curve[-1][2]):
            curve.append((cluster.now, cluster.paid, best))
        if queue or search.state.finished is not None:
            continue
        measured = cluster.next_done()
        if measured is not None and measured.attempt in lose:
            cluster.lose(measured)
            queue.append(MemberLost(member=measured.member, attempt=measured.attempt, reason="simulated loss"))
        elif measured is not None:
            queue.append(measured)
    return _result(search, cluster, ledger if events else [], curve)


def _result(
    search: Search, cluster: Cluster, ledger: list[dict[str, Any]], curve: list[tuple[float, float, float]]
) -> SimulationResult:
    state = search.state
    found = state.found.get(len(state.terms.milestones) - 1)
    best = search.selection(state.milestone)
    return SimulationResult(
        found_budget=None if found is None else found_cap(search, state.milestone),
        selected=None if best is None else best[0],
        minimum=statistical_minimum(search, state.milestone),
        search_cost=cluster.paid,
        spent=search.spent["training"],
        lost=cluster.lost,
        levels=state.history,
        events=ledger,
        trials=cluster.trials,
        virtual_time=cluster.now,
        utilisation=cluster.busy_time / (cluster.now * cluster.workers) if cluster.now else 0.0,
        curve=curve,
    )
