"""The driver in this process: what is a member's failure, what is not, and what a limit leaves."""

import re
from typing import Any

import pytest

from sp_search.drive.inprocess import run_inprocess
from sp_search.errors import Interrupted, StorageError
from sp_search.levels import Terms
from sp_search.records import (
    Assignment,
    Budget,
    Count,
    LevelSpace,
    LineageMeasurement,
    Measured,
    Member,
    Population,
    RunnerState,
)
from sp_search.schedulers.rollout_growth import RolloutGrowth
from sp_search.search import Search
from sp_search.store import MemoryStore, Stored


class Table:
    """A runner that takes two slices and passes from level 2 up; `trouble` is raised at an assignment's first slice."""

    def __init__(self, trouble: dict[int, Exception] | None = None) -> None:
        self.trouble = trouble or {}
        self.begun: list[tuple[int, int | None]] = []
        self.inherited_slices: set[int] = set()

    def begin(self, assignment: Assignment, inherited: RunnerState | None) -> RunnerState:
        self.begun.append((assignment.visit, None if inherited is None else inherited.meta["visit"]))
        if inherited is not None:
            self.inherited_slices.add(inherited.meta["slices"])
        return RunnerState(meta={"visit": assignment.visit, "slices": 0})

    def step(self, assignment: Assignment, state: RunnerState) -> tuple[RunnerState, Measured | None]:
        if assignment.attempt in self.trouble:
            raise self.trouble[assignment.attempt]
        state = RunnerState(meta={**state.meta, "slices": state.meta["slices"] + 1})
        return state, self.measured(assignment) if state.meta["slices"] == 2 else None

    def measured(self, assignment: Assignment) -> Measured:
        gates = {"iid": Count(correct=1, n=1, exact=True)} if assignment.budget.cap >= 2 else {}
        rows: list[dict[str, Any]] = [
            {"lineage": lineage, "seed": seed, "ended": "reached" if gates else "exhausted", "train_steps": 1}
            for lineage, seed in zip(assignment.lineages, assignment.seeds, strict=True)
        ]
        extra = {"gates": gates, "max_available_flops": 1.0, "parameters": 1, "serial_depth": 1}
        return Measured(
            member=assignment.member,
            visit=assignment.visit,
            level=assignment.level,
            attempt=assignment.attempt,
            lineages=[LineageMeasurement.model_validate({**row, **extra}) for row in rows],
            training_flops=1.0,
            verification_flops=1.0,
        )


def search(members: int = 2) -> Search:
    space = LevelSpace(kind="max", measure="rollouts", axis="rollouts", caps=[1, 2, 3, 4])
    budgets = [Budget(kind="max", measure="rollouts", cap=cap) for cap in space.caps]
    population = Population(
        members=[Member(member=index, config={"width": index}, budgets=list(budgets)) for index in range(members)],
        replicas=3,
    )
    return Search(RolloutGrowth(), space, population, Terms(seed=0, milestones=[0.9], lineages_to_fail=3), 0.99)


def test_a_search_runs_to_its_answer_and_levels_inherit() -> None:
    found, runner = search(), Table()
    run_inprocess(found, runner, MemoryStore())
    assert found.state.found == {0: 1}
    assert runner.begun == [(0, None), (0, None), (1, 0)]


def test_a_level_that_one_member_passes_is_closed_without_the_others() -> None:
    found, runner = search(members=4), Table()
    run_inprocess(found, runner, MemoryStore())
    last = found.state.history[-1]
    assert (last.verdict, last.passing, last.cut) == ("passed", [(0, 0), (1, 0), (2, 0)], 9)
    assert found.spent["training"] == len(runner.begun) == 5


def test_without_a_quorum_a_level_hears_everybody() -> None:
    found, runner = search(members=4), Table()
    found.state = found.state.model_copy(update={"terms": found.state.terms.model_copy(update={"quorum": False})})
    run_inprocess(found, runner, MemoryStore())
    assert (found.state.history[-1].passed, found.state.history[-1].cut, len(runner.begun)) == (12, 0, 8)


def test_what_a_member_raises_is_its_own_failure_and_no_verdict_on_the_budget() -> None:
    found = search()
    run_inprocess(found, Table({1: ValueError("broken on purpose")}), MemoryStore())
    assert re.fullmatch(r"ValueError: broken on purpose \(test_inprocess.py:\d+\)", found.state.dropped[0])
    assert found.failures == {"member_failed": 1}
    assert found.state.found == {0: 1}
    assert found.state.history[0].undecided == 3


def test_when_every_member_fails_the_search_ends_and_says_so() -> None:
    found = search()
    run_inprocess(found, Table({1: ValueError("a"), 2: ValueError("b")}), MemoryStore())
    assert found.state.finished == "no_members"
    assert found.state.found == {}


@pytest.mark.parametrize("trouble", [StorageError("the disk is full"), KeyboardInterrupt()])
def test_trouble_with_the_machine_is_nobodys_failure(trouble: BaseException) -> None:
    found = search()
    with pytest.raises(type(trouble)):
        run_inprocess(found, Table({2: trouble}), MemoryStore())  # type: ignore[dict-item]
    assert found.failures == {}


def test_an_interruption_passes_through(tmp_path: Any) -> None:
    with pytest.raises(Interrupted):
        run_inprocess(search(), Table({1: Interrupted(tmp_path, 15)}), MemoryStore())


def test_a_limit_ends_the_search_at_the_next_slice() -> None:
    found = search()
    run_inprocess(found, Table(), MemoryStore(), limit=lambda one: "trials" if one.state.attempts > 2 else None)
    assert found.state.finished == "trials"
    assert [(outcome.verdict, outcome.tried) for outcome in found.state.history] == [("failed", 6), ("undecided", 0)]
    assert found.spent["training"] == 2.0


def test_what_was_measured_before_a_limit_is_judged_and_counts() -> None:
    found = search()
    found.state = found.state.model_copy(update={"terms": found.state.terms.model_copy(update={"quorum": False})})
    run_inprocess(found, Table(), MemoryStore(), limit=lambda one: "search_flops" if one.verified else None)
    last = found.state.history[-1]
    assert (found.state.finished, last.verdict, last.passed) == ("search_flops", "passed", 3)
    assert (last.cut, last.undecided) == (3, 0), "nothing was lost"
    assert found.verified == 3


def test_a_lost_last_slice_of_a_finished_level_is_run_again_before_it_is_inherited() -> None:
    class Forgetful(MemoryStore):
        """Keeps every first slice only, as if each last checkpoint were corrupt."""

        def save(self, stored: Stored) -> None:
            if not stored.finished:
                super().save(stored)

    whole, torn = search(), search()
    steady, repeating = Table(), Table()
    run_inprocess(whole, steady, MemoryStore())
    run_inprocess(torn, repeating, Forgetful())
    assert torn.state.history == whole.state.history
    assert repeating.inherited_slices == steady.inherited_slices == {2}


def test_weights_that_are_gone_are_never_silently_begun_anew() -> None:
    class Empty(MemoryStore):
        def newest(self, member: int, visit: int, lineages: list[int]) -> Stored | None:
            return None

    with pytest.raises(StorageError, match="no good checkpoint of member 0 at visit 0 is left"):
        run_inprocess(search(), Table(), Empty())
