"""The ledger: append-only, checksummed lines, one owner at a time. Restoring is replaying.

Every line is one JSON object with a sequence number and a chained SHA-256, written at once, so that a kill leaves
either the whole line or a torn last one, which is dropped on reading. It is on the disk before anybody acts on it. A
line that is whole but wrong stops everything: a study never begins anew by itself.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from sp_search.errors import StorageError
from sp_search.plain_files import read_bytes

LEDGER_NAME = "ledger.jsonl"
ATTEMPTS, AGAIN_S = 5, 0.05
"""Tries for the lock: whoever asks for a study's driver holds it for an instant."""
LATEST = 1e11
"""Seconds since 1970 that a calendar can still show, in the year 5138."""


def _digest(previous: str, body: str) -> str:
    return hashlib.sha256((previous + body).encode()).hexdigest()[:16]


def _encode(entry: dict[str, Any]) -> str:
    return json.dumps(entry, sort_keys=True, separators=(",", ":"), allow_nan=False)


def read_ledger(folder: Path) -> list[dict[str, Any]]:
    """Return the entries of a study's ledger; a torn last line is left out.

    Raises:
        StorageError: there is no ledger, or a line before the last does not carry its checksum.
    """
    return _read(folder / LEDGER_NAME)[0]


def is_over(entries: list[dict[str, Any]]) -> bool:
    """Whether a search has ended, and nothing was begun since: a study that was extended goes on."""
    decisive = {"finish": True, "start": False, "set_budget": False, "propose": False}
    actions = (action["action"] for entry in reversed(entries) for action in reversed(entry.get("actions", [])))
    return next((decisive[action] for action in actions if action in decisive), False)


def was_begun(folder: Path) -> bool:
    """Whether a ledger with an entry lies in `folder`; a kill before the first one was whole leaves none."""
    return (folder / LEDGER_NAME).exists() and bool(read_ledger(folder))


def _read(path: Path) -> tuple[list[dict[str, Any]], int, str]:
    """Return the entries, the number of bytes that are good, and the last checksum."""
    try:
        raw = read_bytes(path)
    except FileNotFoundError as error:
        raise StorageError(
            f"{path} does not exist: {path.parent} is no study folder; name one that run wrote"
        ) from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error}. Mend the storage, then try again") from error
    entries, good, checksum = [], 0, ""
    lines = raw.split(b"\n")
    for number, line in enumerate(lines):
        entry = checked_line(line, checksum, number)
        if entry is None:
            if any(lines[number + 1 :]):
                raise StorageError(f"{path} line {number + 1} is damaged and not the last: restore it from a copy")
            break
        checksum = entry.pop("sum")
        entries.append(entry)
        good += len(line) + 1
    return entries, min(good, len(raw)), checksum


def checked_line(line: bytes, previous: str, number: int) -> dict[str, Any] | None:
    """Return the entry of line `number` with its checksum `sum`, or None where it is not whole or not the one behind.

    Args:
        line: without its end.
        previous: the checksum of the line before; empty at the first.
        number: counted from 0.
    """
    try:
        entry = json.loads(line)
        if not isinstance(entry, dict) or "sum" not in entry or entry.get("seq") != number:
            return None
        if not isinstance(at := entry.get("time"), int | float) or not 0 <= at < LATEST:
            return None
        body = _encode({key: value for key, value in entry.items() if key != "sum"})
    except (ValueError, RecursionError):
        return None
    return entry if entry["sum"] == _digest(previous, body) else None


class Ledger:
    """An open ledger. Use it as a context manager; it holds the study's lock until it is closed.

    Raises:
        StorageError: another driver holds the study (its pid, host and since when), or the disk refuses.
    """

    def __init__(self, folder: Path, *, create: bool = False) -> None:
        """Lock `folder` and open its ledger for appending; `create` starts one and refuses one that holds entries."""
        self.folder = folder
        self.path = folder / LEDGER_NAME
        self._lock = _acquire(folder / "driver.lock")
        self._reopened = not create
        try:
            self._count, self._checksum = self._open(create)
        except BaseException:
            self._lock.close()
            raise

    def _open(self, create: bool) -> tuple[int, str]:
        if create:
            if was_begun(self.folder):
                raise StorageError(f"{self.path} exists: resume the study in {self.folder}, or choose another --output")
            self._file = open(self.path, "wb")  # noqa: SIM115 - closed with the ledger
            return 0, ""
        entries, good, checksum = _read(self.path)
        self._file = open(self.path, "ab")  # noqa: SIM115 - closed with the ledger
        self._file.truncate(good)
        if good and not self.path.read_bytes().endswith(b"\n"):
            self._file.write(b"\n")
            self._file.flush()
        return len(entries), checksum

    @property
    def entries(self) -> list[dict[str, Any]]:
        """All entries so far, read from the file: kept in memory they would be the most of a long study's driver."""
        entries = [json.loads(line) for line in self.path.read_bytes().splitlines()]
        return [{key: value for key, value in entry.items() if key != "sum"} for entry in entries]

    def append(self, entry: dict[str, Any]) -> None:
        """Write one entry and wait until it is on the disk, with all before it, unless nothing depends on that.

        The first of a later session says `reopened`: what passed before it was a pause.

        Raises:
            StorageError: the disk is full or gone; what was written before stays good.
        """
        opens = {"reopened": True} if self._reopened else {}
        stamped = {"seq": self._count, "time": round(time.time(), 3), **opens, **entry}
        body = _encode(stamped)
        checksum = _digest(self._checksum, body)
        try:
            self._file.write(f'{body[:-1]},"sum":"{checksum}"}}\n'.encode())
            self._file.flush()
            if not _can_wait(entry):
                os.fsync(self._file.fileno())
        except OSError as error:
            raise StorageError(f"cannot write {self.path}: {error}. Make room, then resume {self.folder}") from error
        self._checksum = checksum
        self._count += 1
        self._reopened = False

    def close(self) -> None:
        """Close the file and give the lock back."""
        with suppress(OSError):  # every line was flushed; what a full disk refused is lost
            self._file.close()
        self._lock.close()

    def __enter__(self) -> Ledger:
        """Return the open ledger."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it, whatever happened."""
        self.close()


def _can_wait(entry: dict[str, Any]) -> bool:
    """Whether an entry may go to the disk with the next: nobody acts on it, and its trial's stored state says it again.

    Only a machine that goes down can lose it then; a driver that is killed cannot. Of a level with many members almost
    every line is of this kind.
    """
    return entry.get("event", {}).get("event") == "measured" and not entry["actions"]


def _acquire(path: Path) -> TextIO:
    """Take the lock file, which the kernel frees when its owner dies, however it dies."""
    try:
        lock = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - held as long as the ledger is open
    except OSError as error:
        raise StorageError(f"cannot open {path}: {error}. Drive the study as its owner, or make room") from error
    try:
        _lock(lock)
    except OSError as error:
        lock.seek(0)
        owner = lock.read().strip() or "an unknown process"
        lock.close()
        raise StorageError(f"another driver holds {path.parent}: {owner}. Stop it first, or wait for it") from error
    lock.seek(0)
    lock.truncate()
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    lock.write(f"pid {os.getpid()} on {socket.gethostname()} since {since}\n")
    lock.flush()
    return lock


def _lock(file: TextIO) -> None:
    for left in reversed(range(ATTEMPTS)):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not left:
                raise
            time.sleep(AGAIN_S)
