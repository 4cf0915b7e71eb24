"""A cluster that grows and shrinks, as a search and its scheduler hear of it; without Ray."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "flow"))

from table_runner import new_search

from sp_search.events import Capacity, MemberLost, Start
from sp_search.schedulers.annealing import Annealing
from sp_search.tune.actor import NODE_LABEL, LevelTrainable
from sp_search.tune.machines import Fit, fitting

MACHINES = [{"CPU": 4.0, "GPU": 1.0}, {"CPU": 1.5}, {"memory": 9.0}]


@pytest.mark.parametrize(
    ("cpu", "gpu", "slots"), [(1.0, 0.0, 5), (0.5, 0.0, 11), (1.0, 0.25, 4), (1.0, 1.0, 1), (8.0, 0.0, 0)]
)
def test_trials_fit_machine_by_machine(cpu, gpu, slots):
    assert fitting(MACHINES, cpu, gpu) == slots


def test_a_machine_that_is_known_to_be_gone_gets_no_trial_any_more():
    assert Fit(3, ("a", "b")).without("a") == Fit(3, ("b",))
    assert Fit(3, None).without("a") == Fit(3, None)


def test_a_trial_may_run_on_the_machines_that_it_names_alone():
    anywhere = {"cpu": 1.0, "gpu": 0.0}
    somewhere = LevelTrainable.default_resource_request({**anywhere, "nodes": "a,b"})
    assert somewhere != LevelTrainable.default_resource_request(anywhere)
    assert somewhere == LevelTrainable.default_resource_request({**anywhere, "nodes": "a,b"})
    assert somewhere._bound.kwargs == {"bundle_label_selector": [{NODE_LABEL: "in(a,b)"}]}


def started(actions):
    return [action.assignment.member for action in actions if isinstance(action, Start)]


def test_more_is_proposed_as_soon_as_more_fits_and_a_replay_agrees():
    lines = []
    search = new_search(Annealing(), lines.append, proposals=6, replicas=1)
    assert started(search.feed(Capacity(slots=1))) == [0]
    assert started(search.feed(Capacity(slots=3))) == [1, 2]
    search.feed(Capacity(slots=2))
    again = new_search(Annealing(), proposals=6, replicas=1)
    again.replay([{**line, "seq": number} for number, line in enumerate(lines)])
    assert again.state == search.state
    assert again.state.slots == 2


def test_trials_that_went_with_their_machine_are_no_failures_of_the_study():
    search = new_search(Annealing(), distinct=True)
    starts = [action.assignment for action in search.feed(Capacity(slots=2))]
    for at in starts:
        search.feed(MemberLost(member=at.member, attempt=at.attempt, reason="its worker died"))
    assert (search.broken, search.forgiven) == (2, 0)
    search.feed(Capacity(slots=1, gone=1))
    assert (search.broken, search.forgiven) == (2, 1)
    search.feed(Capacity(slots=1, gone=5))
    assert search.forgiven == 2, "no later failure is forgiven in advance"
