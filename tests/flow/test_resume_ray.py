"""A driver that is killed on Ray, at any ledger line, and resumed gives the answer of an unbroken run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from table_driver import RUNNER, STUDIES, answer
from table_runner import TableRunner, price

from sp_search.drive.inprocess import run_inprocess
from sp_search.errors import StorageError
from sp_search.events import EVENT, Parked
from sp_search.ledger import LEDGER_NAME, Ledger, read_ledger
from sp_search.records import Assignment, Measured
from sp_search.store import MemoryStore

ROOT = Path(__file__).parents[2]
SLOTS = 2


class Driver:
    """A driver in its own process. Ray's workers look for modules first where it runs."""

    where = ROOT

    def __init__(self, folder, study="annealing", *address):
        self.folder = folder
        command = [sys.executable, "-m", "tests.flow.table_driver", str(folder), study, *address]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        if not address:
            del environment["RAY_AUTH_MODE"]  # a cluster of its own, as users have it: with a token
        self.process = subprocess.Popen(command, cwd=self.where, env=environment, start_new_session=True)

    def wait_for(self, reached, limit_s=120.0):
        """Wait until `reached()`, while the driver runs."""
        deadline = time.monotonic() + limit_s
        while not reached():
            assert self.process.poll() is None, f"the driver ended by itself: {self.process.returncode}"
            assert time.monotonic() < deadline, "the driver made no progress"
            time.sleep(0.01)

    def end(self, number, *, whole=False):
        """Send a signal, perhaps to the whole process group; return the exit code, and the seconds that it took."""
        started = time.monotonic()
        os.kill(-self.process.pid if whole else self.process.pid, number)
        return self.process.wait(30), time.monotonic() - started

    def left(self):
        """Return the processes of the driver's session that live."""
        told = subprocess.run(["ps", "-s", str(self.process.pid), "-o", "stat=,args="], capture_output=True, text=True)
        return [line for line in told.stdout.splitlines() if line[0] != "Z"]

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


def unbroken(study="annealing"):
    search = STUDIES[study](None)
    run_inprocess(search, TableRunner(**RUNNER), MemoryStore())
    return answer(search)


def check_work(folder, ends, repeated_by_hand=0):
    """No finished level ran again, every end of a driver repeated at most one slice of each slot, none is paid twice.

    A slice that was begun is paid, unless its trial ended in the middle of it and had nothing more to do.
    """
    entries = [entry for entry in read_ledger(folder) if "event" in entry]
    assignments = [
        Assignment.model_validate(a["assignment"]) for e in entries for a in e["actions"] if "assignment" in a
    ]
    owner = {one.attempt: (one.member, one.visit, tuple(one.lineages)) for one in assignments}
    cost = {owner[one.attempt]: price(one.budget.cap, one.lineages) for one in assignments}
    begun = [(row["member"], row["visit"], tuple(row["lineages"]), row["slice"]) for row in slices(folder)]
    assert len(begun) - len(set(begun)) <= ends * SLOTS + repeated_by_hand
    begun_of = Counter(slice_[:3] for slice_ in set(begun))
    ended = [event for e in entries if isinstance(event := EVENT.validate_python(e["event"]), Measured | Parked)]
    whose = [owner[event.attempt] for event in ended]
    assert len(whose) == len(set(whose)), "measured twice, or paid twice"
    assert set(begun_of) <= set(whose), "a trial that began is paid"
    for event, work in zip(ended, whose, strict=True):
        paid = event.training_flops / cost[work]
        assert paid == 3 if event.event == "measured" else begun_of[work] - 1 <= paid <= begun_of[work]
    return sum(event.training_flops for event in ended)


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
    found = Driver(tmp_path).answer()
    assert found.pop("spent") == check_work(tmp_path, ends=1, repeated_by_hand=1)
    assert found == unbroken()


KILLS = {
    "annealing": {"visit": [1, 3, 4, 6]},  # up fast, down slowly, up slower, and where the last failure is confirmed
    "growing": {"visit": [0, 3]},
    "descending": {"visit": [1, 4]},
    "proposals": {"member": [1, 8, 13]},
}


def test_the_kills_meet_every_phase_of_annealing():
    history = unbroken()["history"]
    assert {history[visit]["phase"] for visit in KILLS["annealing"]["visit"]} == {visit["phase"] for visit in history}
    assert len({visit["phase"] for visit in history}) == 4


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("study", sorted(STUDIES))
def test_a_driver_killed_in_every_phase_gives_the_answer_of_an_unbroken_run(study, tmp_path):
    [(key, values)] = KILLS[study].items()
    for value in values:
        driver = Driver(tmp_path, study)
        driver.wait_for(lambda value=value: any(row[key] >= value and row["slice"] for row in slices(tmp_path)))
        assert not (tmp_path / "answer.json").exists()
        assert driver.end(signal.SIGKILL)[0] == -signal.SIGKILL
    found = Driver(tmp_path, study).answer()
    assert found.pop("spent") == check_work(tmp_path, ends=len(values))
    assert found == unbroken(study)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("whole", [False, True], ids=["driver", "group"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_driver_asked_to_stop_ends_within_seconds_and_can_be_resumed(number, whole, tmp_path):
    """A terminal, `timeout`, systemd and Slurm signal all processes at once, those of Ray too."""
    driver = Driver(tmp_path)
    driver.wait_for(lambda: lines(tmp_path) >= 4)
    code, seconds = driver.end(number, whole=whole)
    assert code == 128 + number
    assert seconds < 8
    deadline = time.monotonic() + 60
    while driver.left():
        assert time.monotonic() < deadline, driver.left()
        time.sleep(0.1)
    found = Driver(tmp_path).answer()
    assert found.pop("spent") == check_work(tmp_path, ends=1)
    assert found == unbroken()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_driver_joins_a_running_cluster_and_leaves_it_running(ray_session, tmp_path):
    address = ray_session.get_runtime_context().gcs_address
    driver = Driver(tmp_path, "annealing", address)
    driver.wait_for(lambda: lines(tmp_path) >= 4)
    assert driver.end(signal.SIGTERM)[0] == 128 + signal.SIGTERM
    found = Driver(tmp_path, "annealing", address).answer()
    assert found.pop("spent") == check_work(tmp_path, ends=1)
    assert found == unbroken()
    assert ray_session.get(ray_session.remote(lambda: "alive").remote(), timeout=30) == "alive"
