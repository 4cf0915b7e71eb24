"""A signal ends a run soon, wherever it is, and the outermost run says how it goes on."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sp_search.errors import Interrupted
from sp_search.signals import WATCHED, Signals, bounded, interruptible

STUCK = """
import threading
from pathlib import Path
from sp_search.signals import Signals, bounded, interruptible
with interruptible(Path("runs/all of them"), {command!r}), interruptible(Path("runs/one")):
    with Signals(Path("runs/one")), bounded(0.1):
        print("here", flush=True)
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()  # as a call of Ray's that waits for a process that is gone
"""


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (None, "interrupted by signal 15; to go on: sp-search resume 'runs/all of them'"),
        ("the same command", "interrupted by signal 15; to go on: the same command"),
    ],
)
def test_a_process_that_is_stuck_at_sigterm_says_how_to_go_on_and_ends(command, line):
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK.format(command=command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "here\n"
    process.terminate()
    said = process.communicate(timeout=50)[1]
    assert (process.returncode, said.splitlines()[-1]) == (143, line)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_a_process_that_is_stuck_at_once(number):
    stuck = STUCK.format(command=None).replace("bounded(0.1)", "bounded(1000.0)")
    with subprocess.Popen([sys.executable, "-c", stuck], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"here\n"
        process.send_signal(number)
        assert process.stderr.readline() + process.stderr.readline() == (
            b"\nstopping; to go on: sp-search resume 'runs/all of them' (a second signal ends this at once)\n"
        )
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=50)[1]
    assert (process.returncode, said.splitlines()[-1]) == (
        130, b"ended at once; to go on: sp-search resume 'runs/all of them'"
    )  # fmt: skip


def test_sigterm_heard_from_two_senders_is_one():
    stuck = STUCK.format(command=None).replace("bounded(0.1)", "bounded(0.6)")
    with subprocess.Popen([sys.executable, "-c", stuck], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"here\n"
        process.terminate()
        assert process.stderr.readline() + process.stderr.readline()
        process.terminate()
        said = process.communicate(timeout=50)[1]
    assert (process.returncode, said) == (
        143, b"interrupted by signal 15; to go on: sp-search resume 'runs/all of them'\n"
    )  # fmt: skip


def test_a_sigterm_right_after_ctrl_c_bounds_what_is_stuck():
    stuck = STUCK.format(command=None)
    with subprocess.Popen([sys.executable, "-c", stuck], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"here\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() + process.stderr.readline()
        process.terminate()
        said = process.communicate(timeout=50)[1]
    assert (process.returncode, said.splitlines()[-1]) == (
        143, b"interrupted by signal 15; to go on: sp-search resume 'runs/all of them'"
    )  # fmt: skip


def test_a_process_that_lets_go_in_time_lives_on(tmp_path):
    with Signals(tmp_path) as signals, bounded(50.0):
        signal.raise_signal(signal.SIGTERM)
    assert str(signals.interrupted()) == str(Interrupted(tmp_path, signal.SIGTERM))
    assert not [thread for thread in threading.enumerate() if thread.name == "bounded"]


def test_sigint_leaves_a_process_alone(tmp_path):
    with Signals(tmp_path) as signals, bounded(0.0):
        signal.raise_signal(signal.SIGINT)
        threading.Event().wait(0.2)
    assert signals.received == [signal.SIGINT]


@pytest.mark.parametrize("number", WATCHED)
def test_an_interruption_is_that_of_the_outermost_run_and_the_handlers_come_back(number, tmp_path):
    before = signal.getsignal(number)
    with (
        pytest.raises(Interrupted) as caught,
        interruptible(tmp_path / "all", "the same command"),
        interruptible(tmp_path / "one"),
    ):
        signal.raise_signal(number)
    assert (caught.value.folder, caught.value.command, caught.value.signal_number) == (
        tmp_path / "all", "the same command", number
    )  # fmt: skip
    assert signal.getsignal(number) is before


def test_what_ray_ends_by_an_exit_is_an_interruption(tmp_path):
    with pytest.raises(Interrupted, match="signal 15"), Signals(tmp_path):
        sys.exit(15)


def test_a_thread_of_somebody_leaves_signals_to_its_process(tmp_path):
    before, seen = signal.getsignal(signal.SIGTERM), []

    def run():
        with interruptible(tmp_path), Signals(tmp_path), bounded():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_folder_with_a_space_is_quoted():
    assert str(Interrupted(Path("a b"), 2)) == "interrupted by signal 2; to go on: sp-search resume 'a b'"
