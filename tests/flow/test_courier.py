"""A study asked from another machine, through the object store that holds its copy: heard once, refused, or told."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_bucket import address  # noqa: F401 - a fixture

from sp_search import api
from sp_search.bucket import Bucket
from sp_search.cli import main
from sp_search.control import INBOX, pending, signed
from sp_search.courier import Courier, copy_at, driver_at, requests_at
from sp_search.errors import StorageError
from sp_search.ledger import Ledger, read_ledger
from sp_search.requested import Request
from sp_search.segments import assemble
from sp_search.session import copied

pytestmark = pytest.mark.timeout(300)

STUDY = {
    "name": "tiny",
    "task": {"kind": "prefix_sums", "bits": 4},
    "model": {"kind": "recall_conv", "width": 4},
    "scheduler": {"kind": "annealing", "axis": "rollouts", "budget": "max", "stop": 3},
    "population": {"replicas": 2},
    "train": {"steps": 1_000_000, "evaluate_every": 5},
    "milestones": [1.0],
    "tracking": {"uri": None},
}


@pytest.fixture
def copy(address: str, tmp_path: Path) -> Bucket:  # noqa: F811
    return Bucket(f"{address}/{tmp_path.name}/study")


def put(copy: Bucket, request: Request) -> str:
    name, text = signed(request)
    copy.write(f"{INBOX}/{name}", text.encode())
    return name


def test_a_request_is_brought_once_and_taken_away_when_it_was_heard(copy: Bucket, tmp_path: Path) -> None:
    first, name = Courier(tmp_path, copy), put(copy, Request(ask="pause"))
    first.carry()
    assert [path.name for path in pending(tmp_path)] == [name]
    assert driver_at(copy) is not None
    first.carry()
    assert requests_at(copy) == [name], "nobody has heard it yet"
    pending(tmp_path)[0].unlink()
    first.carry()
    assert (requests_at(copy), pending(tmp_path)) == ([], [])


def test_a_driver_that_another_one_has_superseded_carries_nothing(copy: Bucket, tmp_path: Path) -> None:
    name = put(copy, Request(ask="pause"))
    with Courier(tmp_path, copy, lambda: True):
        pass
    assert (requests_at(copy), pending(tmp_path), driver_at(copy)) == ([name], [], None)


@pytest.mark.parametrize("said", [b"", b"[]", b"{}", b'{"driver": "ada", "at": "noon"}', b'{"driver": "ada", "at": 0}'])
def test_a_driver_that_was_not_heard_of_lately_is_not_there(copy: Bucket, said: bytes) -> None:
    copy.write("control/driver", said)
    assert driver_at(copy) is None


def test_why_a_request_was_refused_stands_in_its_place(copy: Bucket, tmp_path: Path) -> None:
    courier, name = Courier(tmp_path, copy), put(copy, Request(ask="stop"))
    courier.carry()
    (path,) = pending(tmp_path)
    path.rename(path.with_suffix(".refused")).write_text("the study has ended")
    courier.carry()
    assert requests_at(copy) == []
    assert copy.read(f"{INBOX}/{Path(name).stem}.refused") == b"the study has ended"


def test_what_else_lies_there_is_left_alone(copy: Bucket, tmp_path: Path) -> None:
    for name in ("driver", "a.json", "../escape.json", f"{0:020}-0123abcd.refused", f"0/{0:020}-0123abcd.json"):
        copy.write(f"{INBOX}/{name}", b"{}")
    Courier(tmp_path, copy).carry()
    assert not (tmp_path / INBOX).exists()


def test_an_address_without_a_study_is_named(address: str) -> None:  # noqa: F811
    with pytest.raises(StorageError, match=r"s3://studies/nothing holds no copy of a study .* that its driver said"):
        copy_at(f"{address}/nothing")


def test_a_store_that_is_gone_does_not_stop_a_driver(
    address: str,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Courier(tmp_path, Bucket("s3://no-such-bucket/study")):
        pass
    assert capsys.readouterr().err.count("cannot be heard now") == 1


def test_a_driver_that_another_one_superseded_while_it_measured_its_answer_says_so(
    copy: Bucket, tmp_path: Path
) -> None:
    place = copy.address.removesuffix("/study") + "/checkpoints"
    (tmp_path / "manifest.json").write_text(json.dumps({"driver": "inprocess", "checkpoints": place}))
    (tmp_path / "study.yaml").write_text("{}")

    def drive() -> None:
        with Ledger(tmp_path, create=True) as ledger:
            ledger.append({"header": {}})
            with copied(tmp_path):
                copy.write("ledger/000002-00000000/from-00000000.json", b"")
                ledger.append({"number": 1})

    with pytest.raises(StorageError, match="superseded: driver 000002-00000000 goes on"):
        drive()
    assert assemble(copy).lines == 0, "it sent nothing any more"


@pytest.fixture
def running(address: str, workplace: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:  # noqa: F811
    """A study that runs in a process of its own, and the address of its copy once that holds an event."""
    (workplace / "study.json").write_text(json.dumps(STUDY))
    (workplace / "cluster.yaml").write_text(f"storage: {address}/asked\n")
    words = ["run", "study.json", "--in-process", "--cluster", "cluster.yaml", "--output", "here"]
    with (workplace / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "sp_search", *words], stderr=log, stdout=log)
    try:
        until(lambda: (workplace / "here" / "manifest.json").exists(), process)
        copy = json.loads((workplace / "here" / "manifest.json").read_text())["checkpoints"].replace(
            "/checkpoints", "/study"
        )
        until(lambda: api.status(copy)["running"] > 0, process)
        yield process, copy
    finally:
        process.kill()
        process.wait()


def until(reached: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 200
    while True:
        assert process.poll() is None, Path("log").read_text()
        assert time.monotonic() < deadline, Path("log").read_text()
        try:
            if reached():
                return
        except StorageError:  # its copy is not begun yet
            pass
        time.sleep(0.1)


def test_a_running_study_is_told_of_asked_and_paused_from_elsewhere(
    running: tuple[subprocess.Popen[bytes], str], workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process, copy = running
    assert api.status(copy)["driver"].startswith(f"pid {process.pid} on ")
    assert main(["stop", copy, "--member", "7"]) == 2, "a mistake is said at once"
    assert requests_at(Bucket(copy)) == []
    assert main(["extend", copy, "--set", "limits.seconds=3600", "--wait", "100"]) == 0
    assert main(["pause", copy.replace("/study", ""), "--wait", "100"]) == 0
    assert f"pause: heard by pid {process.pid} on " in capsys.readouterr().out
    assert process.wait(100) == 143
    told = [entry["event"] for entry in read_ledger(workplace / "here") if "by" in entry.get("event", {})]
    assert [one["event"] for one in told] == ["extended", "pause_asked"]
    assert api.status(copy)["driver"] is None
    capsys.readouterr()
    assert main(["pause", copy]) == 2
    assert "nobody drives" in capsys.readouterr().err
    assert main(["stop", copy]) == 0
    said = capsys.readouterr().out
    assert f"nobody drives the study now: sp-search fetch {copy} DIR, then sp-search resume DIR, hears it" in said
    assert api.resume("here", driver="inprocess").payload["ended"] == "stopped", "and the next driver does"
    assert requests_at(Bucket(copy)) == []
    assert main(["logs", copy, "-f"]) == 0
    assert "stopped by" in capsys.readouterr().out
