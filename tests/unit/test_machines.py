"""A cluster that grows and shrinks, as a search and its scheduler hear of it; without Ray."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.tune.experiment import Trial

sys.path.insert(0, str(Path(__file__).parents[1] / "flow"))

from table_runner import new_search

from sp_search.events import Capacity, MemberLost, Start
from sp_search.schedulers.annealing import Annealing
from sp_search.store import MemoryStore
from sp_search.tune import machines as looking
from sp_search.tune.actor import NODE_LABEL, LevelTrainable
from sp_search.tune.lost_actors import NODE
from sp_search.tune.machines import UNSURE_S, Fit, Machines, fitting
from sp_search.tune.scheduler import TuneBudgetScheduler
from sp_search.tune.slots import Slots

MACHINES = [{"CPU": 4.0, "GPU": 1.0}, {"CPU": 1.5}, {"memory": 9.0}]


@pytest.mark.parametrize(
    ("cpu", "gpu", "slots"), [(1.0, 0.0, 5), (0.5, 0.0, 11), (1.0, 0.25, 4), (1.0, 1.0, 1), (8.0, 0.0, 0)]
)
def test_trials_fit_machine_by_machine(cpu, gpu, slots):
    assert fitting(MACHINES, cpu, gpu) == slots


@pytest.mark.parametrize(("gpu", "slots"), [(0.3, 9), (0.4, 6), (0.6, 3), (1.0, 3), (2.0, 1), (0.1, 30)])
def test_no_trial_is_split_between_two_gpus(gpu, slots):
    assert fitting([{"CPU": 64.0, "GPU": 3.0}], 1.0, gpu) == slots


def test_a_machine_that_is_known_to_be_gone_gets_no_trial_any_more():
    assert Fit(3, ("a", "b")).without("a") == Fit(3, ("b",))
    assert Fit(3, None).without("a") == Fit(3, None)
    assert Fit(3, ("a",)).without("a") == Fit(0, ())


def driven(limit=lambda search: None):
    """A driver's scheduler over two machines of which `a` gets trials; nothing of Ray runs."""
    machines = Machines("", cpu=1.0, gpu=0.0, concurrent=None)
    machines.fit, machines.unsure_s = Fit(2, ("a",)), UNSURE_S
    search = new_search(Annealing(), members=4, distinct=True)
    scheduler = TuneBudgetScheduler(
        search, Slots(2), MemoryStore(), limit=limit, progress=lambda search: None, asked=lambda search: [],
        interrupted=lambda: None, deadline_s=60.0, machines=machines,
    )  # fmt: skip
    scheduler.begin()
    return machines, search, scheduler


def start(scheduler):
    at = scheduler.next_start()
    if at is None:
        return None
    trial = Trial("level", stub=True, config=scheduler.place({"member": at.member, "attempt": at.attempt}))
    scheduler.on_trial_add(None, trial)
    return trial


def lose(scheduler, trial, node):
    named = NODE.set(node)
    scheduler.on_trial_error(None, trial)
    NODE.reset(named)


def test_without_the_last_machine_no_trial_begins_anywhere():
    _, search, scheduler = driven()
    first, second = start(scheduler), start(scheduler)
    assert [trial.config["nodes"] for trial in (first, second)] == ["a", "a"]
    lose(scheduler, first, "a")
    assert search.state.open.order[0] == 0, "it waits to be issued again"
    assert start(scheduler) is None


def test_losses_that_go_on_put_the_limit_of_failures_off_only_once(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("sp_search.tune.places.time", SimpleNamespace(monotonic=lambda: now[0]))
    _, search, scheduler = driven(lambda search: "failures" if search.broken > 1 else None)
    while (trial := start(scheduler)) is not None:
        lose(scheduler, trial, "a")
        now[0] += UNSURE_S / 3
    assert search.state.finished == "failures"
    assert search.broken == 2 + 3, "three more in the time that two may be a machine's"


def test_a_trial_that_was_cut_before_its_machine_left_is_no_failure_to_be_forgiven():
    machines, search, scheduler = driven()
    kept, cut = start(scheduler), start(scheduler)
    search.feed(MemberLost(member=3, attempt=search.assignments[3].attempt, reason="its worker died"))
    scheduler._slots.cut(cut.config["member"])
    lose(scheduler, cut, "a")
    machines._left.add("a")
    scheduler._heed_machines(None)
    assert (search.broken, search.forgiven) == (1, 0)
    lose(scheduler, kept, "a")
    scheduler._heed_machines(None)
    assert (search.broken, search.forgiven) == (2, 1)


def test_whatever_goes_wrong_with_looking_it_is_said_and_looked_again(monkeypatch):
    monkeypatch.setattr(looking, "LOOK_S", 0.01)
    answers = iter([TimeoutError(), ValueError("no machine's words")])

    def alive():
        if (error := next(answers, None)) is not None:
            raise error
        return [{"NodeID": "a", "Resources": {"CPU": 3.0}}]

    monkeypatch.setattr(looking, "alive", alive)
    with Machines("", cpu=1.0, gpu=0.0, concurrent=None) as machines:
        machines._names["a"] = "machine a"
        machines._thread.start()
        said = [machines._news.get(timeout=50) for _ in range(2)]
        while machines.fit.slots != 3:
            assert machines._thread.is_alive()
    assert [one.split(" (")[0] for one in said] == [
        "the cluster's machines cannot be looked at: TimeoutError: ",
        "the cluster's machines cannot be looked at: ValueError: no machine's words",
    ]


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
