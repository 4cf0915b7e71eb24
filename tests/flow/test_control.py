"""What people ask of a study: stop, pause, add, extend, retry; while it runs, after it has ended; what is refused."""

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import sp_search
from sp_search import api, control, running
from sp_search.answer import remeasure
from sp_search.control import send
from sp_search.errors import Interrupted, StudyError
from sp_search.folder import recorded_study
from sp_search.ledger import Ledger, read_ledger
from sp_search.requested import Request
from sp_search.rows import LedgerReader
from sp_search.running import replayed

pytestmark = pytest.mark.timeout(300)  # the first test trains for all, and others may be using the machine

TINY: dict[str, Any] = {
    "name": "tiny",
    "task": {"kind": "prefix_sums", "bits": 5},
    "model": {"kind": "recall_conv", "width": 8},
    "scheduler": {"kind": "annealing", "stop": 3.0},
    "population": {"members": [{"width": 8}], "replicas": 2},
    "train": {"steps": 200, "evaluate_every": 20},
    "milestones": [0.9],
    "tracking": {"uri": None},
}


def events(folder: Path) -> list[str]:
    return [entry["event"]["event"] for entry in read_ledger(folder) if "event" in entry]


def visits(folder: Path) -> int:
    return len(replayed(read_ledger(folder), folder)[2].state.history)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sp_search.run(TINY, output=tmp_path_factory.mktemp("runs") / "tiny", driver="inprocess").folder


@pytest.fixture
def finished(once: Path, tmp_path: Path) -> Path:
    return shutil.copytree(once, tmp_path / "finished")


def test_a_further_milestone_goes_on_from_what_was_found(finished: Path) -> None:
    before, known = read_ledger(finished), visits(finished)
    send(finished, Request(ask="extend", settings=["milestones=[0.9, 0.99]"]))
    result = api.resume(finished)
    assert [one["milestone"] for one in result.payload["milestones"]] == [0.9, 0.99]
    assert result.met
    assert read_ledger(finished)[: len(before)] == before
    assert visits(finished) > known
    assert "0.99" in (finished / "study.yaml").read_text()
    assert api.resume(finished).payload == result.payload, "and a second resume changes nothing"


def test_a_member_that_is_added_is_tried_where_others_failed_and_they_are_not_tried_again(finished: Path) -> None:
    failed = [one for one in replayed(read_ledger(finished), finished)[2].state.history if not one.passed]
    send(finished, Request(ask="add", config={"width": 12}))
    result = api.resume(finished)
    search = replayed(read_ledger(finished), finished)[2]
    again = [one for one in search.state.history if one.level in {old.level for old in failed}][len(failed) :]
    assert again
    assert all({member for _, member in one.conclusive} == {0, 1} for one in again)
    new = [entry for entry in read_ledger(finished) if entry.get("event", {}).get("event") == "measured"]
    tried = {(one["event"]["member"], one["event"]["level"]) for one in new[-len(again) :]}
    assert {member for member, _ in tried} == {1}
    assert result.met
    assert result.payload["budget"]["cap"] <= 3


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (Request(ask="extend", settings=["milestones=[0.95]"]), "should go on from"),
        (Request(ask="extend", settings=["task.bits=6"]), "can be extended in"),
        (Request(ask="extend", settings=["limits.seconds=9"]), "settled its milestones"),
        (Request(ask="extend", settings=["population.replicas=1", "milestones=[0.9, 0.95]"]), "at least 2"),
        (Request(ask="extend"), "--set is missing"),
        (Request(ask="add", config={"widht": 12}), "Did you mean 'width'"),
        (Request(ask="retry"), "no member has failed"),
        (Request(ask="stop"), "has ended"),
        (Request(ask="stop", member=7), "no such member"),
    ],
)
def test_what_cannot_be_done_is_refused_and_leaves_the_study_alone(finished: Path, asked: Request, says: str) -> None:
    before = (finished / "ledger.jsonl").read_bytes()
    study, _, search = replayed(read_ledger(finished), finished)
    with pytest.raises(StudyError, match=says):
        control.event_of(asked, study, search)
    path = send(finished, asked)
    control.Inbox(finished, study).catch_up(search)
    assert not path.exists()
    assert path.with_suffix(".refused").exists()
    assert (finished / "ledger.jsonl").read_bytes() == before


def test_a_damaged_request_is_put_aside(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    send(finished, Request(ask="retry")).write_text('{"ask": "rm -rf", "by": "\\u001b[31m"}')
    study, _, search = replayed(read_ledger(finished), finished)
    control.Inbox(finished, study).catch_up(search)
    assert "is no request of this version: ask: " in capsys.readouterr().err
    assert control.pending(finished) == []


class Asking:
    """Asks once while a study runs: at the first slice that it is told of."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, request: Request, after: int = 1) -> None:
        monkeypatch.setattr(control, "LOOK_S", 0.0)
        look, self.calls = control.Inbox.look, 0

        def asking(inbox: control.Inbox, search: Any) -> Any:
            self.calls += 1
            if self.calls == after:
                send(inbox.folder, request)
            return look(inbox, search)

        monkeypatch.setattr(control.Inbox, "look", asking)


def test_a_stop_ends_the_study_with_what_was_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Asking(monkeypatch, Request(ask="stop"), after=2)
    result = sp_search.run(TINY, output=tmp_path / "study", driver="inprocess")
    assert result.payload["ended"] == "stopped"
    assert not result.met
    assert result.exit_code == 3
    assert events(result.folder)[-1] == "limit_reached"
    send(result.folder, Request(ask="extend", settings=["limits.seconds=3600"]))
    assert api.resume(result.folder).met, "and an extension goes on with it"


def measuring(monkeypatch: pytest.MonkeyPatch, finished: Path, request: Request) -> Path:
    """Ask while the answer of an ended study is measured, and return the request's file."""
    (finished / "result.json").unlink()
    monkeypatch.setattr(control, "LOOK_S", 0.0)
    sent: list[Path] = []

    def measure(*arguments: Any) -> Any:
        if not sent:
            sent.append(send(finished, request))
        return remeasure(*arguments)

    monkeypatch.setattr(running, "remeasure", measure)
    with suppress(Interrupted):
        api.resume(finished)
    return sent[0]


def test_a_pause_is_heard_while_the_answer_is_measured(monkeypatch: pytest.MonkeyPatch, finished: Path) -> None:
    before = (finished / "ledger.jsonl").read_bytes()
    with monkeypatch.context() as patched:
        path = measuring(patched, finished, Request(ask="pause"))
    assert not path.exists()
    assert not (finished / "result.json").exists()
    assert (finished / "ledger.jsonl").read_bytes() == before
    assert api.resume(finished).met


def test_more_that_is_asked_for_while_the_answer_is_measured_is_searched_at_once(
    monkeypatch: pytest.MonkeyPatch, finished: Path
) -> None:
    path = measuring(monkeypatch, finished, Request(ask="extend", settings=["milestones=[0.9, 0.95]"]))
    assert not path.exists()
    assert [one["milestone"] for one in sp_search.open(finished).payload["milestones"]] == [0.9, 0.95]


def test_what_the_end_of_a_study_leaves_nothing_to_do_for_is_refused_while_it_is_measured(
    monkeypatch: pytest.MonkeyPatch, finished: Path
) -> None:
    path = measuring(monkeypatch, finished, Request(ask="stop"))
    assert "there is nothing to stop" in path.with_suffix(".refused").read_text()
    assert (finished / "result.json").exists()


@pytest.mark.parametrize("recorded", [False, True], ids=["before it was recorded", "after"])
def test_a_request_is_done_once_though_its_driver_dies_over_it(finished: Path, recorded: bool) -> None:
    path = send(finished, Request(ask="extend", settings=["milestones=[0.9, 0.99]"]))
    study, _, search = replayed(read_ledger(finished), finished)
    with Ledger(finished) as ledger:
        search.append = ledger.append
        event = control.Inbox(finished, study).take(search)
        assert event is not None
        if recorded:
            search.feed(event)
    assert path.exists(), "the driver died before it could remove the request"
    study, _, search = replayed(read_ledger(finished), finished)
    with Ledger(finished) as ledger:
        search.append = ledger.append
        control.Inbox(finished, study).catch_up(search)
    assert not path.exists()
    assert events(finished).count("extended") == 1
    assert recorded_study(read_ledger(finished), finished).milestones == [0.9, 0.99]


def test_a_pause_is_resumed_to_the_answer_of_an_undisturbed_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, finished: Path
) -> None:
    with monkeypatch.context() as patched:
        Asking(patched, Request(ask="pause"), after=3)
        with pytest.raises(Interrupted):
            sp_search.run(TINY, output=tmp_path / "paused", driver="inprocess")
    assert events(tmp_path / "paused")[-1] == "pause_asked"
    resumed = api.resume(tmp_path / "paused")
    undisturbed = json.loads((finished / "result.json").read_text())
    assert resumed.payload["visits"] == undisturbed["visits"]
    assert resumed.payload["program"] == undisturbed["program"]


def test_a_member_that_is_stopped_takes_no_further_part_and_is_no_evidence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Asking(monkeypatch, Request(ask="stop", member=0))
    study = {**TINY, "population": {"members": [{"width": 8}, {"width": 12}], "replicas": 2}}
    result = sp_search.run(study, output=tmp_path / "study", driver="inprocess")
    assert result.met
    assert result.payload["program"]["width"] == 12
    assert "stopped by" in result.payload["dropped_members"]["0"]
    measured = [
        entry["event"] for entry in read_ledger(result.folder) if entry.get("event", {}).get("event") == "measured"
    ]
    assert {event["member"] for event in measured} == {1}
    send(result.folder, Request(ask="retry", member=0))
    again = api.resume(result.folder)
    assert again.payload["dropped_members"] == {}
    assert again.met
    assert events(result.folder).count("retried") == 1


def test_the_page_and_the_tracker_read_a_study_as_it_stands(finished: Path) -> None:
    send(finished, Request(ask="extend", settings=["milestones=[0.9, 0.99]", "population.replicas=3"]))
    study, _, search = replayed(read_ledger(finished), finished)
    with Ledger(finished) as ledger:
        search.append = ledger.append
        control.Inbox(finished, study).catch_up(search)
    reader = LedgerReader()
    for entry in read_ledger(finished):
        reader.read(entry)
    assert reader.begun["terms"]["milestones"] == [0.9]
    assert reader.header["terms"]["milestones"] == [0.9, 0.99] == reader.header["study"]["milestones"]
    assert reader.header["population"]["replicas"] == 3
    assert reader.finished is None
    assert api.status(finished)["milestone"] == 0.99
    assert sp_search.open(finished).payload["ended"] == "interrupted", "and the result there is of the study before"
