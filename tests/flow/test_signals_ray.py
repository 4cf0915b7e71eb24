"""Ctrl-C and SIGTERM at `sp-search run` on a Ray of its own: the last line goes on, nothing is left, same answer."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sp_search

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
STUDY = {
    "name": "tiny",
    "task": {"kind": "prefix_sums", "bits": 4},
    "model": {"kind": "recall_conv", "width": 8},
    "scheduler": {"kind": "annealing", "stop": 3.0},
    "population": {"members": [{"width": 8}], "replicas": 2},
    "train": {"steps": 200, "evaluate_every": 5},
    "selection": {"n": 1024},
    "milestones": [0.9],
    "tracking": {"uri": None},
}
MARK = "SP_SEARCH_TEST_RUN"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return answer(sp_search.run(STUDY, output=tmp_path_factory.mktemp("runs") / "tiny", driver="inprocess").folder)


def answer(folder):
    told = json.loads((folder / "result.json").read_text())
    return {key: told[key] for key in ("met", "ended", "program", "budget", "minimum", "accuracy", "levels", "looks")}


def begin(folder, *words):
    """Begin a command of sp-search on a Ray of its own, whose processes all carry a mark of this folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), MARK: str(folder)}
    del environment["RAY_AUTH_MODE"]  # as users have it: with a token
    return subprocess.Popen(
        [sys.executable, "-m", "sp_search", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def left(folder):
    """Return the processes that carry the mark."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"{MARK}={folder}\0".encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # it has ended, or is somebody else's
            continue
    return found


def measured(folder):
    ledger = folder / "study" / "ledger.jsonl"
    return ledger.exists() and b'"event":"measured"' in ledger.read_bytes()


def wait_until(reached, process=None):
    deadline = time.monotonic() + 200
    while not reached():
        assert process is None or process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def interrupted(tmp_path):
    """Give a function that runs a study, signals it in the middle, and returns its exit code and its log."""
    (tmp_path / "study.json").write_text(json.dumps(STUDY))

    def interrupt(number, *, twice=False):
        process = begin(tmp_path, "run", "study.json", "--output", "study")
        wait_until(lambda: measured(tmp_path), process)
        process.send_signal(number)
        said = []
        while twice and not any("a second signal ends this at once" in line for line in said):
            said.append(process.stderr.readline())
            assert said[-1], "".join(said)
        if twice:
            process.send_signal(number)
        log = "".join(said) + process.communicate(timeout=100)[1]
        return process.returncode, log

    return interrupt


@pytest.mark.parametrize(
    ("number", "twice"),
    [(signal.SIGINT, False), (signal.SIGINT, True), (signal.SIGTERM, False)],
    ids=["ctrl-c", "ctrl-c twice", "sigterm"],
)
def test_a_study_that_a_signal_ends_goes_on_to_the_same_answer(number, twice, interrupted, undisturbed, tmp_path):
    code, log = interrupted(number, twice=twice)
    assert code == 128 + number, log
    last = log.strip().splitlines()[-1]
    words = "ended at once" if twice else f"interrupted by signal {number:d}"
    assert last == f"{words}; to go on: sp-search resume study", log
    assert "stopping; to go on: sp-search resume study (a second signal ends this at once)" in log
    assert "Traceback" not in log
    assert not (tmp_path / "study" / "result.json").exists()
    wait_until(lambda: not left(tmp_path))
    _, *resume = shlex.split(last.partition("to go on: ")[2])
    process = begin(tmp_path, *resume)
    _, log = process.communicate(timeout=300)
    assert process.returncode == 0, log
    assert answer(tmp_path / "study") == undisturbed
    wait_until(lambda: not left(tmp_path))
