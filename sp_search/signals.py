"""What SIGINT and SIGTERM do: they end a run within seconds, whatever it is in, and the last line says how it goes on.

A driver without Ray is interrupted where it stands (`interruptible`); one on Ray ends its trials first (`Signals`).
Neither helps where a signal to the whole process group, or to all of a job, has ended Ray's own processes too: the main
thread may then wait in one of Ray's calls for a minute. `bounded` ends such a process from another thread. Nothing is
lost by that: the ledger is written line by line, and what Ray runs under a process ends with it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from sp_search.errors import Interrupted

GRACE_S = 3.0
"""How long after SIGTERM a session of Ray may take to end by itself."""
WATCHED = (signal.SIGINT, signal.SIGTERM)

_runs: list[Interrupted] = []
"""What the runs that we are in would raise, the outermost first: how a user goes on is for that one to say."""
_heard: list[float] = []
"""When the signal came that ends the outermost run."""
_bounds: list[threading.Thread] = []
"""The threads that hear signals also while the main thread waits in somebody's call."""
ECHO_S = 1.0
"""A SIGTERM so soon after another is the same one: Slurm sends it to all of a job, and a job's script hands it on."""
OWN_S = 0.3
"""How long the main thread may take to end the process itself, at a second signal."""


@contextmanager
def interruptible(folder: Path, command: str | None = None) -> Iterator[None]:
    """Turn both signals into `Interrupted`, so that whoever called can print how to go on.

    Args:
        folder: of the run; what is interrupted inside it is its own.
        command: goes on with it, if not `sp-search resume`.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        if _echo(number, _heard):
            return
        interrupted = Interrupted(folder, number, command)
        _hear(interrupted)
        raise interrupted

    main = threading.current_thread() is threading.main_thread()  # elsewhere signals are the caller's business
    previous = [signal.signal(number, interrupt) for number in WATCHED] if main else []
    _runs.append(Interrupted(folder, signal.SIGTERM, command))
    try:
        yield
    except Interrupted as interrupted:
        raise Interrupted(folder, interrupted.signal_number, command) from None
    finally:
        _runs.pop()
        _forget()
        for number, handler in zip(WATCHED, previous, strict=False):
            signal.signal(number, handler)


def _echo(number: int, heard: list[float]) -> bool:
    return number == signal.SIGTERM and bool(heard) and time.monotonic() - heard[0] < ECHO_S


def _hear(interrupted: Interrupted) -> None:
    """Say how to go on; a second time, end this process. Not by `print`, in the middle of which a signal may come."""
    command = (_runs[0] if _runs else interrupted).command
    if _heard:
        _end_at_once(interrupted.signal_number, command)
    _heard.append(time.monotonic())
    os.write(2, f"\nstopping; to go on: {command} (a second signal ends this at once)\n".encode())


def _end_at_once(number: int, command: str) -> NoReturn:
    cursor = "\x1b[?25h" if os.isatty(2) else ""  # the live line hides it
    os.write(2, f"{cursor}\nended at once; to go on: {command}\n".encode())
    os._exit(128 + number)


def _forget() -> None:
    if not _runs:
        _heard.clear()


class Signals:
    """Notes the first signal for the next safe moment; a second one ends the process at once.

    Outside the main thread signals are the caller's business.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.received: list[int] = []
        self.before = {number: signal.getsignal(number) for number in WATCHED}

    def arm(self) -> None:
        """Take the signals over, again where Ray has put its own handlers."""
        if threading.current_thread() is threading.main_thread():
            for number in self.before:
                signal.signal(number, self._note)

    def interrupted(self) -> Interrupted | None:
        """Return what to raise when a signal came."""
        return Interrupted(self.folder, self.received[0]) if self.received else None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if _echo(number, _heard):
            return
        self.received.append(number)
        _hear(Interrupted(self.folder, number))
        if not _bounds:
            signal.signal(number, signal.SIG_DFL)  # which also ends a main thread that waits in one of Ray's calls

    def __enter__(self) -> Signals:
        self.arm()
        return self

    def __exit__(self, kind: object, value: BaseException | None, trace: object) -> None:
        if threading.current_thread() is threading.main_thread():
            for number, handler in self.before.items():
                signal.signal(number, handler)
        _forget()
        if isinstance(value, SystemExit):  # Ray ends its driver so, at SIGTERM and when the machinery under it is gone
            raise self.interrupted() or Interrupted(self.folder, signal.SIGTERM) from value


@contextmanager
def bounded(grace_s: float = GRACE_S) -> Iterator[None]:
    """End this process `grace_s` after SIGTERM, should what runs inside not have let go by then; or at a second signal.

    One SIGINT is left alone: Ray's processes do not hear it, and in a notebook it means no end of the process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    left, (heard, told) = threading.Event(), socket.socketpair()
    told.setblocking(False)
    before = signal.set_wakeup_fd(
        told.fileno(), warn_on_full_buffer=False
    )  # told at once, whatever the main thread does
    watch = threading.Thread(target=_end_late, args=(heard, left, grace_s), name="bounded", daemon=True)
    _bounds.append(watch)
    watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        left.set()
        _bounds.remove(watch)
        told.close()
        watch.join()
        heard.close()


def _end_late(heard: socket.socket, left: threading.Event, grace_s: float) -> None:
    came: list[float] = []
    ends = None
    while True:
        heard.settimeout(None if ends is None else max(1e-3, ends - time.monotonic()))
        try:
            told = heard.recv(1)
        except TimeoutError:
            _end_interrupted(left)
            return
        if not told:
            return
        if told[0] == signal.SIGTERM and ends is None:  # also right after SIGINT, which bounds nothing
            ends = time.monotonic() + grace_s
        if told[0] not in WATCHED or _echo(told[0], came):
            continue
        came.append(time.monotonic())
        if len(came) > 1 and not left.wait(OWN_S):
            _end_at_once(told[0], _runs[0].command if _runs else "the same command")


def _end_interrupted(left: threading.Event) -> None:
    if not left.is_set():
        said = _runs[0] if _runs else f"interrupted by signal {signal.SIGTERM}"
        sys.stderr.write(f"{said}\n")
        sys.stderr.flush()
        os._exit(128 + signal.SIGTERM)
