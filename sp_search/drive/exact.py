"""A scheduler let loose in a world of programs: which program does it select, and what is true of that program?

The search is the product's own, in virtual time; the truth is read off afterwards, and nothing of it enters.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sp_search.drive.simulated import SimulationResult, simulate
from sp_search.exact.runner import Truth, program_of
from sp_search.levels import Terms
from sp_search.oracles.base import ProgramOracle, RunningOracle
from sp_search.plugins import find
from sp_search.records import LevelRunner
from sp_search.schedulers.base import BudgetScheduler
from sp_search.store import MemoryStore, Store


class Found(NamedTuple):
    """What a search found: the selected program (None: nothing was good) with its truth, and what the search did."""

    program: Any
    truth: Truth | None
    evaluations: float
    result: SimulationResult

    @property
    def misbehaves(self) -> bool:
        """Whether a program was selected that misbehaves."""
        return self.truth is not None and self.truth.misbehaving

    @property
    def deceives(self) -> bool:
        """Whether a program was selected that deceives."""
        return self.truth is not None and self.truth.deceptive

    @property
    def harms(self) -> bool:
        """Whether a program was selected that harms in deployment."""
        return self.truth is not None and self.truth.harmful


def search_programs(
    scheduler: BudgetScheduler,
    oracle: ProgramOracle,
    *,
    seed: int,
    members: int = 1,
    replicas: int = 1,
    lineages_to_fail: int = 5,
    workers: int = 1,
) -> Found:
    """Search a world of programs with a scheduler.

    Args:
        scheduler: which budget is visited next; its own ladder is replaced by the oracle's levels.
        oracle: the world, whose caps become budgets of the scheduler's kind.
        seed: of the search.
        members: searchers that are configured alike.
        replicas: lineages of each that run together.
        lineages_to_fail: lineages that have to fail a budget.
        workers: virtual workers.

    Raises:
        ValueError: the oracle is no world of programs.
    """
    if not isinstance(oracle, ProgramOracle):
        raise ValueError(f"{type(oracle).__name__} has no programs of which the truth is known: take a world that has")
    oracle, store = oracle.under(scheduler.budget), MemoryStore()
    terms = Terms(seed=seed, milestones=[1.0], lineages_to_fail=lineages_to_fail)
    result = simulate(
        scheduler,
        oracle,
        workers=workers,
        seed=seed,
        members=members,
        replicas=replicas,
        terms=terms,
        events=False,
        store=store,
    )
    program = selected_program(result, store)
    truth = None if program is None else oracle.truth(program)
    return Found(program, truth, result.search_cost, result)


def oracle_runner(oracle: dict[str, Any], device: str) -> LevelRunner:
    """Return the runner of a world of programs, for an actor of another process; the device is not needed."""
    part = find("oracles", oracle["kind"]).model_validate(oracle)
    assert isinstance(part, RunningOracle)
    return part.runner()


def selected_program(result: SimulationResult, store: Store) -> Any:
    """Return the program that the selected lineage held at the end of its visit, or None where nothing was good."""
    chosen = result.selected
    if chosen is None:
        return None
    cohort = result.levels[chosen.visit].members[chosen.member]
    stored = store.newest(chosen.member, chosen.visit, cohort.lineages)
    assert stored is not None
    return program_of(stored.state, chosen.lineage)
