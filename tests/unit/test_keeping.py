"""What may be thrown away: never the answer, never what a later visit inherits, never what still runs."""

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "flow"))

from table_runner import Falling, TableRunner, new_search

from sp_search.drive.inprocess import run_inprocess
from sp_search.keeping import collecting, may_go
from sp_search.plugins import discover
from sp_search.store import FolderStore, MemoryStore

SCHEDULERS = discover("schedulers")
ANNEALING = {"up": 3}
RUNNER = {"least": 6.0, "rate": 0.4}


class Collected(MemoryStore):
    """Forgets what may go."""

    def visits(self):
        found = {}
        for member, visit, _ in self._states:
            found.setdefault(member, set()).add(visit)
        return {member: sorted(visits) for member, visits in found.items()}

    def remove(self, member, visit):
        self._states = {key: stored for key, stored in self._states.items() if key[:2] != (member, visit)}


def searched(kind, store, progress=lambda search: None, **options):
    fields = ANNEALING if kind == "annealing" else {}
    search = new_search(SCHEDULERS[kind](**fields, inherit=options.pop("inherit", "weights")), levels=12, **options)
    run_inprocess(search, TableRunner(**RUNNER), store, progress=progress)
    return search


@settings(deadline=None)
@given(
    kind=st.sampled_from(sorted(SCHEDULERS)),
    inherit=st.sampled_from(["off", "weights", "clones"]),
    distinct=st.booleans(),
    replicas=st.integers(1, 4),
    keep=st.integers(0, 2),
)
def test_a_search_that_throws_away_what_may_go_answers_as_one_that_keeps_everything(
    kind, inherit, distinct, replicas, keep
):
    options = {"inherit": inherit, "distinct": distinct, "replicas": replicas}
    store = Collected()
    collected = searched(kind, store, collecting(store, keep, lambda search: None), **options)
    assert collected.state == searched(kind, MemoryStore(), **options).state
    for milestone in collected.state.terms.milestones:
        if (chosen := collected.selection(milestone)) is not None:
            assert chosen[0].visit in store.visits()[chosen[0].member], "the answer stays"


@pytest.mark.parametrize(("inherit", "kept"), [("off", 1), ("weights", 3)])
def test_only_the_answer_and_what_may_be_inherited_stay_with_the_newest(inherit, kept):
    """Down from 8 to the first failure at 5, member 0 passes at each level; weights may be wanted from each again."""
    search = new_search(Falling(inherit=inherit))
    run_inprocess(search, TableRunner(least=6.0, rate=1.0), store := Collected())
    stored = store.visits()
    assert stored[0] == [0, 1, 2, 3]
    for keep, left in ((0, kept), (1, kept + 1), (9, 4)):
        gone = [visit for member, visit in may_go(search, stored, keep) if member == 0]
        assert len(stored[0]) - len(gone) == min(left, 4)
        assert search.selection(1.0)[0].visit == 2
        assert 2 not in gone


def test_a_limit_on_checkpoints_empties_a_studys_folder(tmp_path):
    store = FolderStore(tmp_path)
    search = searched("annealing", store, collecting(store, 0, lambda search: None), inherit="off")
    [(member, visits)] = [(member, visits) for member, visits in store.visits().items() if visits]
    selection, _ = search.selection(1.0)
    assert (member, visits) == (selection.member, [selection.visit])


def test_states_of_a_trial_that_was_cut_and_has_not_answered_stay():
    search = searched("annealing", MemoryStore(), inherit="off")
    search.cut = {}
    stored = {0: [0, 1]}
    assert may_go(search, stored, 0) == [(0, 1), (0, 0)]
    search.cut = {1: search.assignments[0].model_copy(update={"visit": 1})}
    assert may_go(search, stored, 0) == [(0, 0)]
