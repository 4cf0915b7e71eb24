"""Ctrl-C at a terminal: the first says at once how to go on and ends resumably, a second one ends at once."""

import os
import pty
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from sp_search.cli import main
from sp_search.ledger import read_ledger

STUDY = """\
name: tiny
task: {kind: prefix_sums, bits: 5}
model: {kind: recall_conv, width: 8}
scheduler: {kind: annealing, stop: 4}
population: {members: [{width: 8}], replicas: 2}
verdict: {false_negative: 0.3}
train: {steps: 1000000, evaluate_every: 5}
milestones: [0.95]
tracking: {uri: null}
"""
STUBBORN = """
import sys, threading
from pathlib import Path
from sp_search.signals import interruptible
with interruptible(Path("runs/a b")):
    try:
        print("here", flush=True)
        threading.Event().wait()
    finally:
        print("ending", flush=True)
        threading.Event().wait()
"""


@contextmanager
def at_terminal(*command):
    """Start a command whose stderr is a terminal of its own; give the process and the terminal's other end."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        try:
            yield process, ours
        finally:
            process.kill()
            os.close(ours)


def read_until(terminal, words):
    """Return what the terminal was told until it has been told `words`, or is closed."""
    told = b""
    while words.encode() not in told:
        try:
            told += os.read(terminal, 4096)
        except OSError:  # closed by its last writer
            break
    return told.decode(errors="replace")


def test_the_first_signal_says_how_to_go_on_and_leaves_a_study_that_does(tmp_path):
    study, folder = tmp_path / "study.yaml", tmp_path / "a study"
    study.write_text(STUDY)
    run = ["-m", "sp_search", "run", str(study), "--in-process", "--output", str(folder)]
    with at_terminal(*run) as (process, terminal):
        read_until(terminal, "up fast")
        process.send_signal(signal.SIGINT)
        told = read_until(terminal, "interrupted by signal 2; to go on: sp-search resume")
        assert f"stopping; to go on: sp-search resume '{folder}' (a second signal ends this at once)" in told
        assert process.wait() == 130
    assert read_ledger(folder)[0]["header"]["name"] == "tiny"
    assert main(["status", str(folder)]) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_at_once_what_does_not_end(number):
    with at_terminal("-c", STUBBORN) as (process, terminal):
        assert process.stdout.readline() == "here\n"
        process.send_signal(number)
        assert process.stdout.readline() == "ending\n"
        process.send_signal(signal.SIGINT)
        words = "ended at once; to go on: sp-search resume 'runs/a b'"
        assert words in read_until(terminal, words)
        assert process.wait() == 130
