"""The ledger of a study in an object store, line by line while the study runs: a driver that is lost loses seconds.

An object cannot be appended to, so the lines go there in segments. A segment is written once, holds whole lines, and
says in its name which, with the chained checksum of the last, which vouches for all before it:
`ledger/000002-3f9a12bc/00000017-00000020-SUM.jsonl`. The newest is replaced by a longer one until it is full, so a
long study has hundreds of them. Every driver that takes a study up has a folder of its own, numbered, in which an
object says from which line on it speaks: what another one wrote there before it was found out is nobody's.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sp_search.bucket import Bucket
from sp_search.errors import StorageError
from sp_search.ledger import LEDGER_NAME, checked_line

SEGMENTS = "ledger"
SHIP_S = 2.0
"""Seconds between two looks at the ledger: what a driver loses that is killed, and the time that a write takes."""
LOOKS_ALONE = 10
"""Every so many looks without a new line it is asked all the same whether another driver has taken over."""
FULL_BYTES = 128 * 1024
TRIES = 5
"""A segment that a running driver replaces may be gone between the list and the reading."""
_DRIVER = re.compile(r"\d{6}-[0-9a-f]{8}")
_SEGMENT = re.compile(
    rf"ledger/(?P<driver>{_DRIVER.pattern})/(?P<first>\d{{8}})-(?P<last>\d{{8}})-(?P<sum>[0-9a-f]{{16}})\.jsonl"
)
_BEGIN = re.compile(rf"ledger/(?P<driver>{_DRIVER.pattern})/from-(?P<first>\d{{8}})\.json")


class Segment(NamedTuple):
    """Lines `first` to `last` of the ledger, counted from 0, as one driver wrote them; `sum` is the last one's.

    One without lines stands for what a driver wrote when it began.
    """

    driver: str
    first: int
    last: int
    sum: str

    @property
    def name(self) -> str:
        """Its object's name."""
        if self.last < self.first:
            return f"{SEGMENTS}/{self.driver}/from-{self.first:08}.json"
        return f"{SEGMENTS}/{self.driver}/{self.first:08}-{self.last:08}-{self.sum}.jsonl"


class Piece(NamedTuple):
    """What of a segment is part of the ledger: its lines below `end`."""

    segment: Segment
    end: int


def pieces(names: list[str]) -> list[Piece]:
    """Return what makes up the ledger, in order, of the objects below an address: each driver from where it began."""
    found = [
        Segment(one["driver"], int(one["first"]), int(one["last"]), one["sum"]) for one in _matching(_SEGMENT, names)
    ]
    began = {one["driver"]: int(one["first"]) for one in _matching(_BEGIN, names)}
    chain: list[Piece] = []
    for driver in sorted({one.driver for one in found} | set(began)):
        own = sorted(one for one in found if one.driver == driver)
        begin = began.get(driver, own[0].first if own else 0)
        chain = [Piece(one.segment, min(one.end, begin)) for one in chain if one.segment.first < begin]
        chain.append(Piece(Segment(driver, begin, begin - 1, ""), begin))
        longest = {one.first: one for one in own}  # of two that begin alike the shorter one was about to be removed
        chain += [Piece(one, one.last + 1) for one in longest.values()]
    return chain


def _matching(pattern: re.Pattern[str], names: list[str]) -> list[dict[str, str]]:
    return [found.groupdict() for name in names if (found := pattern.fullmatch(name))]


class Assembled(NamedTuple):
    """The lines of a ledger as a file holds them, how many they are, and the last one's checksum."""

    content: bytes
    lines: int
    sum: str


def assemble(bucket: Bucket) -> Assembled:
    """Return the ledger that lies in segments below an address; of none, no line.

    Raises:
        StorageError: names the segment that is torn or damaged, or the lines that no segment holds.
    """
    for left in reversed(range(TRIES)):
        try:
            return _assembled(bucket, pieces(bucket.names(SEGMENTS)))
        except FileNotFoundError as error:
            if not left:
                raise StorageError(f"{bucket.address}: {error}: a segment goes while it is read: try again") from error
    raise AssertionError("unreachable")


def _assembled(bucket: Bucket, chain: list[Piece]) -> Assembled:
    content, count, checksum = bytearray(), 0, ""
    for segment, end in chain:
        name = f"{bucket.address}/{segment.name}"
        if segment.first > count:
            lines = f"lines {count + 1} to {segment.first}"
            raise StorageError(f"{lines} of the ledger are missing before {name}: restore their segment from a copy")
        if segment.last < segment.first:
            continue
        for line in bucket.read(segment.name).splitlines()[: end - segment.first]:
            entry = checked_line(line, checksum, count)
            if entry is None:
                raise StorageError(f"{name} is damaged at line {count + 1} of the ledger: restore it from a copy")
            checksum = entry["sum"]
            count += 1
            content += line + b"\n"
        if count < end:
            raise StorageError(f"{name} is torn: it ends with line {count} of {end}: restore it from a copy")
    return Assembled(bytes(content), count, checksum)


def fetch_ledger(bucket: Bucket, folder: Path) -> int:
    """Write the ledger that lies in segments below an address into a folder; return how many lines it has.

    Raises:
        StorageError: as `assemble`.
    """
    found = assemble(bucket)
    if found.lines:
        (folder / LEDGER_NAME).write_bytes(found.content)
    return found.lines


class OwnDisk:
    """A ledger that lies on its driver's disk alone.

    Attributes:
        driver: the number of this driver among those that took the study up; 0 where nobody counts.
    """

    driver = 0

    def when_safe(self, act: Callable[[], object]) -> None:
        """Do what is safe once nobody can resume from an earlier line than the ledger's last: at once."""
        act()

    def check(self) -> None:
        """Go on: nobody else can have taken the study over."""


class LedgerCopy(OwnDisk):
    """Keeps a copy of a ledger in an object store, on a thread of its own which the search never waits for.

    Attributes:
        superseded: by whom; empty while nobody else has taken the study over.

    Raises:
        StorageError: the store cannot be reached, or holds lines that this folder does not.
    """

    def __init__(self, folder: Path, bucket: Bucket) -> None:
        """Take the study over, from the line behind the last that the store holds."""
        self._path, self._bucket = folder / LEDGER_NAME, bucket
        try:
            held = assemble(bucket)
            self._refuse_older(folder, held)
            self.driver = 1 + int(self._newest(none="000000-").partition("-")[0])
            self._name = f"{self.driver:06}-{secrets.token_hex(4)}"
            who = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
            begin = Segment(self._name, held.lines, held.lines - 1, "")
            bucket.write(begin.name, json.dumps(who).encode() + b"\n")
            self.superseded = self._newer()
        except OSError as error:
            raise StorageError(f"cannot reach {bucket.address}: {error}. Mend the storage, then resume") from error
        self.check()
        self._offset, self._count = len(held.content), held.lines
        self._first, self._lines = held.lines, b""
        self._open: Segment | None = None
        self._waiting: deque[tuple[int, Callable[[], object]]] = deque()
        self._lags, self._alone = False, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ship_on, name="ledger copy", daemon=True)
        self._thread.start()

    def _refuse_older(self, folder: Path, held: Assembled) -> None:
        own = self._path.read_bytes()
        if not own.startswith(held.content):
            ahead = held.lines - own.count(b"\n")
            how = f"goes on for {ahead} lines" if held.content.startswith(own) else "has gone another way"
            raise StorageError(
                f"the ledger in {self._bucket.address} {how} behind that of {folder}: another driver took the study "
                f"over; fetch it into a new folder: sp-search fetch {self._bucket.address} DIR"
            )

    def when_safe(self, act: Callable[[], object]) -> None:
        """Do `act`, on the copy's own thread, once the store holds every line that the ledger has by now."""
        self._waiting.append((self._path.stat().st_size, act))

    def check(self) -> None:
        """Refuse to go on when a newer driver has taken the study over.

        Raises:
            StorageError: names it.
        """
        if self.superseded:
            raise StorageError(f"this driver was superseded: {self.superseded} goes on with the study")

    def finish(self, *, patient: bool = True) -> bool:
        """Ship what is left, and say what could not be; return whether the store holds it all.

        Args:
            patient: try once more where the store was away by the last try, which takes many seconds.
        """
        self._over.set()
        self._thread.join()
        if not self.superseded and (patient or not self._lags):
            self._ship_or_say()
        return not self.superseded and not self._lags

    def _ship_on(self) -> None:
        while not self._over.wait(SHIP_S) and not self.superseded:
            self._ship_or_say()

    def _ship_or_say(self) -> None:
        """Ship, and say once that it fails and once that it has caught up: tracking a study never stops it."""
        try:
            self._ship()
        except OSError as error:
            if not self._lags:
                sys.stderr.write(f"the ledger's copy in {self._bucket.address} lags (tried again meanwhile): {error}\n")
            self._lags = True
            return
        if self._lags:
            sys.stderr.write(f"the ledger's copy in {self._bucket.address} has caught up\n")
        self._lags = False

    def _ship(self) -> None:
        with self._path.open("rb") as file:
            file.seek(self._offset)
            new = file.read()
        new = new[: new.rfind(b"\n") + 1]
        self._alone += 1
        if new or self._alone >= LOOKS_ALONE:
            self._alone, self.superseded = 0, self._newer()
        if new and not self.superseded:
            self._put(new)
        while self._waiting and self._waiting[0][0] <= self._offset and not self.superseded:
            self._waiting.popleft()[1]()

    def _put(self, new: bytes) -> None:
        lines, count = self._lines + new, self._count + new.count(b"\n")
        segment = Segment(self._name, self._first, count - 1, json.loads(lines.splitlines()[-1])["sum"])
        self._bucket.write(segment.name, lines)
        shorter, self._open = self._open, segment
        self._offset, self._count, self._lines = self._offset + len(new), count, lines
        if len(lines) >= FULL_BYTES:
            self._first, self._lines, self._open = count, b"", None
        if shorter is not None:
            self._bucket.remove(shorter.name)

    def _newest(self, none: str) -> str:
        return max(filter(_DRIVER.fullmatch, self._bucket.folders(SEGMENTS)), default=none)

    def _newer(self) -> str:
        """Return who has taken the study over from this driver; nothing where nobody has."""
        newest = self._newest(none=self._name)  # somebody may have emptied the store
        if newest <= self._name:
            return ""
        with suppress(OSError, ValueError, KeyError, IndexError):
            (begin,) = (name for name in self._bucket.names(f"{SEGMENTS}/{newest}") if _BEGIN.fullmatch(name))
            who = json.loads(self._bucket.read(begin))
            return f"pid {int(who['pid'])} on {str(who['host'])[:100]} since {str(who['since'])[:30]}"
        return f"driver {newest}"
