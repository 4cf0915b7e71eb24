"""The Ray driver takes the decisions of the in-process driver, in live actors, whatever happens to them."""

import json
import os
import time

import pytest
import ray
from oracle_runner import OracleRunner, Steep
from table_runner import Falling, TableRunner, new_search, price, recipe

from sp_search.drive.inprocess import run_inprocess
from sp_search.drive.simulated import oracle_search, simulate
from sp_search.errors import Interrupted, StorageError, StudyError
from sp_search.events import LimitReached, MemberAdded, MemberStopped, PauseAsked
from sp_search.levels import Terms
from sp_search.plugins import discover
from sp_search.store import MemoryStore
from sp_search.tune.actor import RunnerRecipe
from sp_search.tune.launch import run_tune

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(120)]

SCHEDULERS = [
    kind if kind == "annealing" else pytest.param(kind, marks=pytest.mark.slow)
    for kind in sorted(discover("schedulers"))
]


def inprocess(kind="annealing", arguments=None, **options):
    search = new_search(discover("schedulers")[kind](), **options)
    run_inprocess(search, TableRunner(**arguments or {}), MemoryStore())
    return search


def drive(folder, search, arguments=None, **options):
    """Run a search on Ray, and return what its runners wrote down."""
    log = folder / "slices.jsonl"
    run_tune(search, recipe(log=str(log), **arguments or {}), folder, **options)
    return [json.loads(line) for line in log.read_text().splitlines()]


def on_ray(folder, kind="annealing", members=2, append=None, arguments=None, **options):
    """Return the search after a run on Ray, and what its runners wrote down."""
    search = new_search(discover("schedulers")[kind](), append, members=members)
    return search, drive(folder, search, arguments, **options)


def decisions(search):
    return (
        search.state.found,
        search.state.history,
        search.state.dropped,
        search.looks,
        search.cheapest,
        search.verified,
    )


def paid(rows):
    """What the slices that were begun cost."""
    return sum(price(row["cap"], row["lineages"]) for row in rows)


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_every_scheduler_decides_on_ray_what_it_decides_in_process(kind, tmp_path):
    search, rows = on_ray(tmp_path, kind)
    assert decisions(search) == decisions(inprocess(kind))
    visits = {(row["member"], row["visit"], tuple(row["lineages"]), row["slice"]) for row in rows}
    assert len(visits) == len(rows), "a slice ran twice"
    assert search.cut == {}, "every trial that was cut said what it had spent"
    assert paid(rows) - search.spent["training"] in (0.0, price(rows[-1]["cap"], rows[-1]["lineages"]))
    for member in {row["member"] for row in rows}:
        processes = {row["pid"] for row in rows if row["member"] == member}
        assert len(processes) == 1, "a budget that grows or shrinks stays in its live actor"


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(discover("schedulers")))
def test_every_scheduler_takes_the_same_decisions_through_all_three_drivers(kind, tmp_path):
    scheduler, terms = discover("schedulers")[kind](), Terms(seed=3, milestones=[1.0])
    simulated = simulate(scheduler, Steep(), workers=3, seed=3, terms=terms)
    here, there = (oracle_search(scheduler, Steep(), terms) for _ in range(2))
    run_inprocess(here, OracleRunner(), MemoryStore())
    run_tune(there, RunnerRecipe(factory="tests.flow.oracle_runner:build", arguments={}), tmp_path)
    assert simulated.levels == here.state.history == there.state.history
    assert here.state.found == there.state.found
    if not there.state.space.controls:  # whose levels share one cap
        assert there.state.space.caps[there.state.found[0]] == simulated.found_budget


def test_a_trial_that_is_cut_ends_its_slice_drops_it_and_takes_up_its_next_assignment(tmp_path):
    """Member 1 is slow: all levels but the last are decided without it, and it is cut at each of them."""
    lines = []
    search = new_search(Falling(), lines.append)
    rows = drive(tmp_path, search, {"rate": 1.0, "seconds": 0.3, "slow": {"1": 0.5}})
    cut = [line["event"] for line in lines if line["event"]["event"] == "parked"]
    assert len(cut) >= 2
    last = {row["attempt"]: row for row in rows}
    for event in cut:
        row = last.get(event["attempt"])
        assert event["training_flops"] == (
            0 if row is None else (row["slice"] + 1) * price(row["cap"], row["lineages"])
        )
    assert search.cut == {}
    assert search.spent["training"] == paid(rows), "every slice that ran is paid, once"
    assert len({row["pid"] for row in rows}) == 2, "a trial that is cut keeps its actor"
    here = new_search(Falling())
    run_inprocess(here, TableRunner(rate=1.0), MemoryStore())
    assert decisions(search) == decisions(here)


def test_fifty_proposals_share_two_actors(tmp_path):
    """Every member of a search by proposals is new; its trial ends with its report, and its actor goes on."""
    times = []

    def note(line):
        if line["event"]["event"] == "measured":
            times.append(time.monotonic())

    search = new_search(Falling(), note, replicas=1, proposals=50)
    rows = drive(tmp_path, search, {"slices": 1, "least": 99.0})
    assert len(times) == 50
    assert len({row["pid"] for row in rows}) <= 2
    assert times[-1] - times[5] < 20


def test_members_take_turns_where_there_are_fewer_slots(tmp_path):
    search, rows = on_ray(tmp_path, members=4, concurrent=1)
    assert decisions(search) == decisions(inprocess(members=4))
    assert len({row["pid"] for row in rows}) == 1, "an actor is handed on to the next member"


@pytest.mark.parametrize(
    ("fault", "options"), [("SIGKILL", {}), pytest.param("SIGSTOP", {"deadline_s": 12.0}, marks=pytest.mark.slow)]
)
def test_a_lost_worker_is_no_evidence_and_its_member_goes_on_from_the_slice_before(fault, options, tmp_path):
    search, rows = on_ray(tmp_path, arguments={"faults": {"3": fault}}, **options)
    assert search.failures == {"member_lost": 1}
    reference = inprocess()
    assert search.state.history == reference.state.history
    assert search.state.found == reference.state.found
    work = [(row["member"], row["visit"], tuple(row["lineages"]), row["slice"]) for row in rows]
    assert len(work) - len(set(work)) == 1, "only the slice that was lost ran again"


@pytest.mark.parametrize(("store_s", "saves"), [(60.0, 2), (0.0, 4)])
def test_of_short_slices_the_first_and_the_last_are_stored_and_those_between_once_in_a_while(store_s, saves, tmp_path):
    drive(tmp_path, new_search(Falling(), members=1, levels=1), {"slices": 4, "least": 99.0}, store_s=store_s)
    marks = (tmp_path / "checkpoints").rglob("state-*.json")
    assert max(int(path.stem.removeprefix("state-")) for path in marks) == saves - 1, "numbers never repeat"


def test_a_lost_worker_runs_again_what_it_had_not_stored_and_decides_alike(tmp_path):
    arguments = {"slices": 4, "faults": {"3": "SIGKILL"}, "fault_at": 2}
    search, rows = on_ray(tmp_path, arguments=arguments, store_s=60.0)
    assert decisions(search) == decisions(inprocess(arguments={"slices": 4}))
    work = [(row["member"], row["visit"], tuple(row["lineages"]), row["slice"]) for row in rows]
    again = {one for one in work if work.count(one) == 2}
    assert {one[-1] for one in again} == {1, 2}
    assert len(work) - len(set(work)) == 2, "its first slice and its last levels were stored"


def test_an_exception_of_the_members_own_code_is_its_failure_and_no_retry(tmp_path):
    search, _ = on_ray(tmp_path, arguments={"faults": {"3": "raise"}})
    assert search.state.dropped[0].startswith("ZeroDivisionError: in the member's own code (table_runner.py:")
    assert search.failures == {"member_failed": 1}
    assert decisions(search) == decisions(inprocess(arguments={"faults": {"3": "raise"}}))


def test_a_limit_ends_the_search_at_once_though_slices_are_long(tmp_path):
    seen = []
    search, _ = on_ray(
        tmp_path,
        arguments={"seconds": 0.3},
        limit=lambda search: "trials" if search.state.attempts > 4 else None,
        append=seen.append,
    )
    assert search.state.finished == "trials"
    assert seen[-1]["event"] == LimitReached(limit="trials").model_dump()


def test_no_more_trials_begin_than_may_and_one_that_was_lost_is_the_same(tmp_path):
    search = new_search(discover("schedulers")["annealing"](), members=5, distinct=True)
    rows = drive(
        tmp_path,
        search,
        {"least": 99.0, "faults": {"2": "SIGKILL"}},
        limit=lambda search: "trials" if search.trials >= 4 else None,
        room=lambda search: 4 - search.trials,
    )
    assert (search.state.finished, search.failures) == ("trials", {"member_lost": 1})
    assert len({(row["member"], row["visit"], *row["lineages"]) for row in rows}) == search.trials == 4


@pytest.mark.parametrize("room", [0, pytest.param(3, marks=pytest.mark.slow)])
def test_a_ledger_that_cannot_be_written_stops_the_driver_with_its_own_error(room, tmp_path):
    lines = []

    def full(entry):
        if len(lines) == room:
            raise StorageError("no space left")
        lines.append(entry)

    with pytest.raises(StorageError, match="no space left"):
        on_ray(tmp_path, append=full)
    assert ray.is_initialized(), "a connection that was there before stays"


def test_resources_that_no_machine_has_are_refused_before_anything_starts(tmp_path):
    search = new_search(discover("schedulers")["annealing"]())
    with pytest.raises(StudyError, match=r"asks for 1 CPU and 1 GPU, .* has 2 CPU and 0 GPU"):
        run_tune(search, recipe(), tmp_path, gpu=1)
    assert search.state.slots == 0
    assert os.listdir(tmp_path) == []


def test_what_people_ask_of_a_live_study_is_done_on_ray_and_replays(tmp_path):
    """A member is stopped in the middle of a slice, one is added and tried, and a pause leaves it to be resumed."""
    lines = []
    search = new_search(discover("schedulers")["annealing"](), lines.append)
    added = search.state.population.members[1].model_copy(update={"member": 2, "config": {"width": 99}})
    asked = [MemberStopped(member=0, by="ada"), MemberAdded(added=added, by="ada"), PauseAsked(by="ada")]

    def ask(search):
        if search.cut or not search.live_assignments():
            return []
        if not asked:
            raise Interrupted(tmp_path, 15)
        return [asked.pop(0)]

    with pytest.raises(Interrupted):
        run_tune(search, recipe(seconds=0.3), tmp_path, asked=ask)
    assert [line["event"]["event"] for line in lines if "by" in line["event"]][:3] == [
        "member_stopped", "member_added", "pause_asked"
    ]  # fmt: skip
    again = new_search(discover("schedulers")["annealing"](), lines.append)
    again.replay([{"seq": number, **line} for number, line in enumerate(lines)])
    run_tune(again, recipe(), tmp_path)
    assert again.state.finished == "resolved"
    heard = {member for outcome in again.state.history for _, member in outcome.conclusive}
    assert heard == {1, 2}
    assert again.cut == {}
