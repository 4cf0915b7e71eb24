"""A driver that is killed on Ray, at any ledger line, and resumed gives the answer of an unbroken run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from table_driver import answer
from table_runner import TableRunner, new_search

from sp_search.drive.inprocess import run_inprocess
from sp_search.errors import StorageError
from sp_search.ledger import LEDGER_NAME, Ledger, read_ledger
from sp_search.plugins import discover
from sp_search.store import MemoryStore

ROOT = Path(__file__).parents[2]
MEMBERS = 2


class Driver:
    """A driver in its own process."""

    def __init__(self, folder, kind="annealing", *address):
        self.folder = folder
        command = [sys.executable, "-m", "tests.flow.table_driver", str(folder), kind, *address]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        if not address:
            del environment["RAY_AUTH_MODE"]  # a cluster of its own, as users have it: with a token
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment)

    def wait_for(self, reached, limit_s=90.0):
        """Wait until `reached()`, while the driver runs."""
        deadline = time.monotonic() + limit_s
        while not reached():
            assert self.process.poll() is None, f"the driver ended by itself: {self.process.returncode}"
            assert time.monotonic() < deadline, "the driver made no progress"
            time.sleep(0.01)

    def end(self, number):
        """Send a signal and return the exit code, and the seconds that it took."""
        started = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(30), time.monotonic() - started

    def answer(self):
        """Wait for the driver to finish, and return its answer."""
        assert self.process.wait(90) == 0
        return json.loads((self.folder / "answer.json").read_text())


def lines(folder):
    path = folder / LEDGER_NAME
    return path.read_bytes().count(b"\n") if path.exists() else 0


def slices(folder):
    path = folder / "slices.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def unbroken(kind="annealing"):
    search = new_search(discover("schedulers")[kind]())
    run_inprocess(search, TableRunner(), MemoryStore())
    return answer(search)


def check_work(folder, ends, repeated_by_hand=0):
    """No finished level ran again, and every end of a driver repeated at most one slice of each live trial."""
    events = [entry["event"] for entry in read_ledger(folder)]
    measured = [
        (event["member"], event["visit"], tuple(row["lineage"] for row in event["lineages"]))
        for event in events
        if event["event"] == "measured"
    ]
    assert len(measured) == len(set(measured))
    work = [(row["member"], row["visit"], tuple(row["lineages"]), row["slice"]) for row in slices(folder)]
    assert len(work) - len(set(work)) <= ends * MEMBERS + repeated_by_hand


@pytest.mark.ray
@pytest.mark.timeout(200)
def test_a_driver_killed_in_the_middle_of_a_level_resumes_from_the_slice_before_a_corrupt_one(tmp_path):
    first = Driver(tmp_path)
    first.wait_for(lambda: lines(tmp_path) >= 4 and slices(tmp_path)[-1]["slice"] == 2)
    live = slices(tmp_path)[-1]
    with pytest.raises(StorageError, match=f"another driver holds .*pid {first.process.pid}"):
        Ledger(tmp_path)
    assert first.end(signal.SIGKILL)[0] == -signal.SIGKILL
    time.sleep(3)  # what the dead driver's actors still write is written
    visit = tmp_path / "checkpoints" / f"member{live['member']}" / f"visit{live['visit']}"
    newest = max(visit.rglob("state-*.json"))
    newest.write_bytes(newest.read_bytes().replace(b"chain", b"chian"))
    assert Driver(tmp_path).answer() == unbroken()
    check_work(tmp_path, ends=1, repeated_by_hand=1)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", sorted(discover("schedulers")))
def test_a_driver_killed_again_and_again_gives_the_answer_of_an_unbroken_run(kind, tmp_path):
    for line in (1, 3, 6, 9):
        driver = Driver(tmp_path, kind)
        driver.wait_for(lambda line=line: lines(tmp_path) >= line + 1)
        driver.end(signal.SIGKILL)
    assert Driver(tmp_path, kind).answer() == unbroken(kind)
    check_work(tmp_path, ends=4)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_driver_asked_to_stop_ends_within_seconds_and_can_be_resumed(number, tmp_path):
    driver = Driver(tmp_path)
    driver.wait_for(lambda: lines(tmp_path) >= 4)
    code, seconds = driver.end(number)
    assert code == 128 + number
    assert seconds < 8
    assert Driver(tmp_path).answer() == unbroken()
    check_work(tmp_path, ends=1)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_driver_joins_a_running_cluster_and_leaves_it_running(ray_session, tmp_path):
    address = ray_session.get_runtime_context().gcs_address
    driver = Driver(tmp_path, "annealing", address)
    driver.wait_for(lambda: lines(tmp_path) >= 4)
    assert driver.end(signal.SIGTERM)[0] == 128 + signal.SIGTERM
    assert Driver(tmp_path, "annealing", address).answer() == unbroken()
    check_work(tmp_path, ends=1)
    assert ray_session.get(ray_session.remote(lambda: "alive").remote(), timeout=30) == "alive"
