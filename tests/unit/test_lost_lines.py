"""A ledger without its last lines, beside checkpoints of all that they said: the same answer, nothing of another's."""

import copy
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "flow"))

from table_runner import TableRunner, budget_of, new_search

from sp_search.drive.inprocess import run_inprocess
from sp_search.plugins import discover
from sp_search.records import Assignment, RunnerState
from sp_search.store import MemoryStore, Stored, begin_state, parked

SCHEDULERS = discover("schedulers")


def searched(kind, inherit, store, lines, known=()):
    fields = {"up": 3} if kind == "annealing" else {}
    search = new_search(SCHEDULERS[kind](**fields, inherit=inherit), lines.append, levels=12, distinct=True)
    search.replay(known)
    run_inprocess(search, TableRunner(least=6.0, rate=0.4), store)
    return search


@pytest.mark.parametrize("inherit", ["off", "weights", "clones"])
@pytest.mark.parametrize("kind", ["annealing", "doubling_bisect", "rollout_growth"])
def test_a_search_goes_on_from_any_earlier_line_to_the_same_answer(kind, inherit):
    store, lines = MemoryStore(), []
    whole = searched(kind, inherit, store, lines)
    for kept in range(len(lines)):
        again = searched(kind, inherit, copy.deepcopy(store), [], lines[:kept])
        assert again.state.history == whole.state.history
        assert (again.state.found, again.spent) == (whole.state.found, whole.spent)


def test_a_state_of_another_assignment_is_not_taken_up_whatever_its_name():
    """A driver that was lost may have proposed another configuration for the same member, visit and lineages."""
    at = Assignment(
        member=0,
        visit=0,
        level=0,
        attempt=0,
        milestone=1.0,
        budget=budget_of(2.0),
        config={"width": 4},
        lineages=[0],
        seeds=[7],
    )
    store, runner = MemoryStore(), TableRunner()
    store.save(Stored(at, RunnerState(meta={"chain": "far", "slices": 2, "training_flops": 9.0}), finished=False))
    for changed, taken in (
        ({"attempt": 5}, True),
        ({"config": {"width": 8}}, False),
        ({"budget": budget_of(3.0)}, False),
    ):
        other = at.model_copy(update=changed)
        assert (begin_state(runner, store, other).meta["slices"] == 2) is taken
        assert (parked(store, other).training_flops == 9.0) is taken
