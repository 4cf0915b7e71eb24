"""`limits.trials` is the number of trials that begin: no more where a level opens many, none twice for a loss."""

from collections.abc import Callable
from typing import Any

import pytest

from sp_search.drive.inprocess import run_inprocess
from sp_search.errors import Interrupted
from sp_search.events import LimitReached
from sp_search.levels import Terms
from sp_search.plugins import discover
from sp_search.records import Assignment, Budget, RunnerState
from sp_search.search import Search
from sp_search.store import MemoryStore
from sp_search.tune.slots import Slots
from tests.flow.table_runner import TableRunner, new_search

HEARD = Terms(seed=0, milestones=[1.0], quorum=False)


class Counting(TableRunner):
    """Remembers the trials that it has stepped, and is interrupted after `most` slices."""

    def __init__(self, most: float = float("inf"), **table: Any) -> None:
        super().__init__(**table)
        self.begun: set[tuple[int, int, tuple[int, ...]]] = set()
        self.left = most

    def step(self, assignment: Assignment, state: RunnerState) -> Any:
        if not self.left:
            raise Interrupted(None, 15)  # type: ignore[arg-type]
        self.left -= 1
        self.begun.add((assignment.member, assignment.visit, tuple(assignment.lineages)))
        return super().step(assignment, state)


def at_most(trials: int) -> Callable[[Search], str | None]:
    return lambda search: "trials" if search.trials >= trials else None


@pytest.mark.parametrize("kind", sorted(discover("schedulers")))
@pytest.mark.parametrize("trials", [1, 4, 7])
@pytest.mark.parametrize("options", [{"members": 5}, {"members": 5, "terms": HEARD}, {"proposals": 8}])
def test_as_many_trials_begin_as_may(kind: str, trials: int, options: dict[str, Any]) -> None:
    search = new_search(discover("schedulers")[kind](), distinct=True, **options)
    runner = Counting(least=99.0)
    run_inprocess(search, runner, MemoryStore(), limit=at_most(trials))
    assert search.state.finished == "trials"
    assert len(runner.begun) == search.trials == trials


def test_a_trial_that_a_crash_interrupted_is_no_further_one() -> None:
    lines: list[dict[str, Any]] = []
    store, search = MemoryStore(), new_search(discover("schedulers")["annealing"](), lines.append, members=3)
    begun: set[Any] = set()
    for slices in (4, 2, float("inf")):
        runner = Counting(slices, least=99.0)
        try:
            run_inprocess(search, runner, store, limit=at_most(3))
        except Interrupted:
            search = new_search(discover("schedulers")["annealing"](), lines.append, members=3)
            search.replay([{"seq": number, **line} for number, line in enumerate(lines)])
        begun |= runner.begun
    assert (search.state.finished, search.trials, len(begun)) == ("trials", 3, 3)


def test_trials_that_another_limit_cut_had_begun_if_they_had_spent_anything() -> None:
    search = new_search(discover("schedulers")["annealing"](), members=3)
    run_inprocess(search, Counting(), MemoryStore(), limit=lambda one: "seconds" if one.trials else None)
    assert search.trials == 1
    cut = new_search(discover("schedulers")["annealing"](), members=3)
    cut.feed(LimitReached(limit="seconds").cutting([2.5, 0.0, 1.5]))
    assert (cut.trials, cut.spent["training"]) == (2, 4.0)


def test_slots_begin_no_more_trials_than_there_is_room_for_and_those_that_were_lost_first() -> None:
    def waiting(slots: Slots, *members: int, again: bool = False) -> None:
        budget = Budget(kind="max", measure="rollouts", cap=1, axis={"rollouts": 1})
        for member in members:
            at = {"member": member, "visit": 0, "level": 0, "attempt": 1, "milestone": 1.0, "budget": budget}
            slots.wait(Assignment(**at, config={}, lineages=[0], seeds=[0]), has_trial=False, again=again)  # type: ignore[arg-type]

    room = 2
    slots = Slots(4, lambda: room)
    waiting(slots, 0, 1, 2)
    started = [slots.next_start() for _ in range(3)]
    assert [one and one.member for one in started] == [0, 1, None], "of four slots two stay free"
    slots.forget(1)
    waiting(slots, 1, again=True)
    again = slots.next_start()
    assert again is not None
    assert again.member == 1, "its place is no other's"
    room = 1
    slots.forget(0)
    assert slots.next_start() is None
