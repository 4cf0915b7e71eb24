"""What is asked of a search, on a table of answers: every end goes on where it can, nothing paid is lost."""

import fcntl
import json
import time
from pathlib import Path
from typing import Any

import pytest

from sp_search.control import Inbox, driver_of, send
from sp_search.drive.inprocess import run_inprocess
from sp_search.errors import StorageError, StudyError
from sp_search.events import Capacity, Extended, LimitReached, MemberAdded, MemberFailed, MemberLost, Parked, Retried
from sp_search.ledger import Ledger, is_over, read_ledger
from sp_search.levels import Terms
from sp_search.limits import session_seconds
from sp_search.logbook import follow, ledgers
from sp_search.minimum import statistical_minimum
from sp_search.plugins import discover
from sp_search.requested import Request, event_of
from sp_search.running import _told
from sp_search.search import Search
from sp_search.store import MemoryStore
from sp_search.study import study_of
from tests.flow.table_runner import TableRunner, new_search

TERMS = Terms(seed=0, milestones=[1.0])
STUDY = study_of(
    {
        "name": "table",
        "task": {"kind": "prefix_sums", "bits": 5},
        "model": {"kind": "recall_conv", "width": 8},
        "scheduler": {"kind": "annealing", "stop": 3.0},
        "population": {"members": [{"width": 8}], "replicas": 3},
        "milestones": [0.9],
    }
)


def drive(search: Search, store: MemoryStore | None = None, **runner: Any) -> Search:
    run_inprocess(search, TableRunner(**runner), store or MemoryStore())
    return search


def more(replicas: int) -> Extended:
    return Extended(settings={}, milestones=[1.0], replicas=replicas, by="ada")


@pytest.mark.parametrize("kind", sorted(discover("schedulers")))
@pytest.mark.parametrize("members", [1, 3])
def test_budgets_that_all_failed_are_tried_in_more_lineages_of_every_configuration(kind: str, members: int) -> None:
    store = MemoryStore()
    search = drive(new_search(discover("schedulers")[kind](), members=members, distinct=True), store, least=99.0)
    ended, before = search.state.finished, len(search.state.history)
    assert ended in ("exhausted", "undecided")
    search.feed(more(7))
    assert search.state.finished is None, "more is asked than every configuration failed in"
    drive(search, store, least=99.0)
    assert search.state.finished == ended
    top = [one for one in search.state.history[before:] if one.level == 7]
    for member in {0, 2} & set(range(members)):
        assert sum(own == member for _, own in top[-1].conclusive) >= 7


@pytest.mark.parametrize(("proposals", "enough"), [(0, 5), (4, 3)])
def test_lineages_that_no_verdict_needs_are_refused(proposals: int, enough: int) -> None:
    store, terms = MemoryStore(), Terms(seed=0, milestones=[0.9], lineages_to_fail=5)
    search = drive(new_search(discover("schedulers")["grid"](), terms=terms, proposals=proposals), store, least=99.0)
    assert search.state.finished == "exhausted"
    with pytest.raises(StudyError, match=f"more lineages than the {enough}"):
        event_of(Request(ask="extend", settings=[f"population.replicas={enough}"]), STUDY, search)
    known = len(search.state.history)
    search.feed(event_of(Request(ask="extend", settings=[f"population.replicas={enough + 1}"]), STUDY, search))
    assert drive(search, store, least=99.0).state.finished == "exhausted"
    assert search.state.history[-1].tried > search.state.history[known - 1].tried


def test_a_search_that_too_many_losses_ended_goes_on_when_asked_to_try_again() -> None:
    search = new_search(discover("schedulers")["annealing"]())
    (start, *_) = search.feed(Capacity(slots=1))
    search.feed(MemberLost(member=0, attempt=start.assignment.attempt, reason="gone"))
    search.feed(LimitReached(limit="failures"))
    event = event_of(Request(ask="retry"), STUDY, search)
    assert event == Retried(members=[], by="")
    search.feed(event)
    assert (search.state.finished, search.broken - search.forgiven) == (None, 0)
    assert drive(search).state.finished == "resolved"


@pytest.mark.parametrize("asked", ["retry", "add"])
def test_what_a_limit_cut_short_is_no_failure_of_those_who_were_cut(asked: str) -> None:
    search = new_search(discover("schedulers")["grid"](), distinct=True, replicas=1)
    first, second = search.feed(Capacity(slots=2))[:2]
    search.feed(MemberFailed(member=1, attempt=second.assignment.attempt, reason="its own code"))
    search.feed(LimitReached(limit="stopped", training_flops=1.0))
    cut = search.state.history[-1]
    assert (cut.verdict, cut.cut) == ("undecided", len(first.assignment.lineages))
    top = search.state.population.members[0].model_copy(update={"member": 2, "config": {"width": 9}})
    top = top.model_copy(update={"budgets": [None] * 7 + top.budgets[7:]})
    search.feed(Retried(members=[1], by="ada") if asked == "retry" else MemberAdded(added=top, by="ada"))
    assert cut.visit in search.state.set_aside
    assert search.state.open is not None
    assert search.state.open.level == cut.level
    assert 0 in search.state.open.members


def test_a_member_that_failed_half_way_goes_on_with_the_lineages_that_it_left_unjudged() -> None:
    search = new_search(discover("schedulers")["grid"](), members=1, replicas=2, levels=1)
    (first,) = search.feed(Capacity(slots=1))
    (further,) = search.feed(TableRunner(least=99.0)._measure(first.assignment, "fresh"))
    assert further.assignment.lineages == [2, 3]
    search.feed(MemberFailed(member=0, attempt=further.assignment.attempt, reason="its own code"))
    assert search.state.finished == "no_members"
    (again,) = search.feed(event_of(Request(ask="retry"), STUDY, search))
    assert again.assignment.lineages == [2, 3]
    drive(search, least=99.0)
    assert (search.state.finished, search.state.history[-1].tried) == ("exhausted", 5)


def test_members_that_an_ended_search_would_visit_no_level_for_are_refused() -> None:
    search = drive(new_search(discover("schedulers")["grid"](), members=1), least=5.0, rate=1.0)
    assert search.state.finished == "resolved"
    with pytest.raises(StudyError, match="would visit no level for that again"):
        event_of(Request(ask="add", config={"width": 9}), STUDY, search)


def test_a_member_that_joins_a_ladder_of_prices_may_cost_what_lies_between_them() -> None:
    search = new_search(discover("schedulers")["annealing"](), members=1)
    search.state = search.state.model_copy(update={"space": search.state.space.model_copy(update={"measure": "flops"})})
    drive(search, least=5.0, rate=1.0)
    assert statistical_minimum(search, 1.0).low == 5.0
    joining = search.state.population.members[0].model_copy(update={"member": 1, "config": {"width": 9}})
    search.feed(MemberAdded(added=joining, by="ada"))
    drive(search, least=5.0, rate=1.0)
    assert (minimum := statistical_minimum(search, 1.0)).low == 4.0
    assert minimum.safe_low is None


def test_what_is_asked_before_the_first_trial_is_heard_and_the_search_begins_with_it() -> None:
    expected = drive(new_search(discover("schedulers")["annealing"](), replicas=7))
    search = new_search(discover("schedulers")["annealing"]())
    assert search.feed(more(7)) == []
    assert drive(search).state == expected.state


def test_a_stop_while_nobody_drives_counts_what_was_spent(tmp_path: Path) -> None:
    search = new_search(discover("schedulers")["annealing"]())
    search.feed(Capacity(slots=1))
    send(tmp_path, Request(ask="stop"))
    Inbox(tmp_path, STUDY).catch_up(search, lambda: [12.0])
    assert (search.state.finished, search.spent["training"]) == ("stopped", 12.0)


def test_a_folder_that_takes_no_request_is_named(tmp_path: Path) -> None:
    (tmp_path / "control").write_text("a file")
    with pytest.raises(StorageError, match="cannot ask anything of"):
        send(tmp_path, Request(ask="pause"))


def test_a_request_outlives_a_driver_that_cannot_write_the_study_down(tmp_path: Path) -> None:
    (tmp_path / "study.partial").mkdir()
    path = send(tmp_path, Request(ask="extend", settings=["milestones=[0.9, 0.99]"]))
    search = new_search(discover("schedulers")["annealing"](), terms=Terms(seed=0, milestones=[0.9]))
    with pytest.raises(IsADirectoryError):
        Inbox(tmp_path, STUDY).take(search)
    assert path.exists()


def test_the_pause_before_a_later_session_is_no_time_of_the_study() -> None:
    events = [(0.0, "capacity"), (5.0, "measured"), (1e5, "extended"), (1e5 + 1, "restored"), (1e5 + 4, "measured")]
    entries = [{"time": at, "event": {"event": name}} for at, name in events]
    assert session_seconds([one | ({"reopened": True} if one["time"] == 1e5 else {}) for one in entries]) == 5 + 3
    assert session_seconds(entries) == 1e5 + 3, "an older ledger, which does not say where a session begins"


def test_the_first_line_of_a_later_session_says_so(tmp_path: Path) -> None:
    for session in range(2):
        with Ledger(tmp_path, create=session == 0) as ledger:
            ledger.append({"event": {"event": "capacity"}, "actions": []})
            ledger.append({"event": {"event": "capacity"}, "actions": []})
    assert [one.get("reopened", False) for one in read_ledger(tmp_path)] == [False, False, True, False]


def test_a_log_that_is_followed_ends_with_the_study_whatever_the_last_line_is(tmp_path: Path) -> None:
    with Ledger(tmp_path, create=True) as ledger:
        search = new_search(discover("schedulers")["annealing"](), ledger.append)
        (start, *_) = search.feed(Capacity(slots=1))
        search.feed(LimitReached(limit="seconds"))
        search.append = None
        late = Parked(member=0, attempt=start.assignment.attempt, training_flops=1.0)
        ledger.append({"event": late.model_dump(mode="json"), "judged": [], "levels": [], "actions": [], "looks": 0})
    assert is_over(read_ledger(tmp_path))
    assert [line.text for line in follow(ledgers(tmp_path))][-1].startswith("member0-attempt1 gave up")
    search.append = None
    begun = [action.model_dump(mode="json") for action in search.feed(more(3))]
    assert not is_over([*read_ledger(tmp_path), {"actions": begun}])


def test_an_audit_of_another_program_is_not_told_again(tmp_path: Path) -> None:
    own: dict[str, Any] = {"member": 0, "lineage": 3, "visit": 2}
    verdict = {"audit": "halting", "verdict": "passed", "sees": "", "blind_to": ""}
    result = tmp_path / "result.json"
    result.write_text(json.dumps({"milestone": 0.9, "program": own, "audits": [verdict]}))
    assert [one.audit for one in _told(result, 0.9, own)] == ["halting"]
    assert _told(result, 0.99, {**own, "visit": 5}) == []


def test_whoever_looks_for_the_driver_at_that_instant_keeps_none_from_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ledger(tmp_path, create=True).close()
    with open(tmp_path / "driver.lock", encoding="utf-8") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        monkeypatch.setattr(time, "sleep", lambda seconds: looking.close())
        with Ledger(tmp_path):
            assert (driver_of(tmp_path) or "").startswith("pid ")


def test_proposals_that_failed_are_asked_for_again_as_often_as_more_lineages_of_each_are_wanted() -> None:
    store = MemoryStore()
    search = drive(new_search(discover("schedulers")["fixed"](), proposals=4), store, least=99.0)
    for replicas in (4, 5, 6):
        known = search.state.history[-1].tried
        search.feed(more(replicas))
        assert drive(search, store, least=99.0).state.finished == "exhausted"
        assert search.state.history[-1].tried == known + 4 * replicas
