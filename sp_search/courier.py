"""Requests to a study whose driver runs elsewhere travel through the object store that holds its copy.

Whoever asks puts a request below the copy's address. The driver's courier, a thread that the search never waits for,
brings it into the study's folder, where it is heard like any other, and takes it away once it was. What is brought
twice is done once: the ledger names the requests that it holds. An object with the time says that a driver is there.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from sp_search.bucket import Bucket, is_plain, told
from sp_search.control import INBOX, driver_of
from sp_search.errors import StorageError, StudyError
from sp_search.keeping import WhenSafe
from sp_search.ledger import read_ledger
from sp_search.segments import fetch_ledger
from sp_search.whole_files import write_whole

HERE = f"{INBOX}/driver"
LOOK_S = 2.0
ANNOUNCE_S = 15.0
SILENT_S = 60.0
"""A driver that was heard of this long ago is gone: it died, or cannot reach the store."""
FOLLOW_S = 5.0
_REQUEST = re.compile(rf"{INBOX}/(\d{{20}}-[0-9a-f]{{8}}\.json)")


class Courier:
    """Brings a driver's requests from the copy of its study. Use it as a context manager."""

    def __init__(
        self,
        folder: Path,
        bucket: Bucket,
        superseded: Callable[[], bool] = lambda: False,
        when_safe: WhenSafe = lambda act: act(),
    ) -> None:
        """Carry from `bucket`, where the copy lies, to the study's `folder`, until its driver is superseded.

        A request stays at the copy until `when_safe`: until the copy of the ledger holds what came of it.
        """
        self._folder, self._bucket, self._superseded, self._when_safe = folder, bucket, superseded, when_safe
        self._brought: set[str] = set()
        self._announced: float | None = None
        self._silent = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._carry_on, name="courier", daemon=True)

    def __enter__(self) -> Courier:
        """Begin to carry."""
        self._carry_or_say()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say what was heard to the last, and that nobody is here any more."""
        self._over.set()
        self._thread.join(LOOK_S)
        if kind is not None and self._silent:
            return  # the store is away, and somebody waits for us to end
        if not self._thread.is_alive() and self._carry_or_say() and not self._superseded():
            with suppress(OSError):
                self._bucket.remove(HERE)

    def carry(self) -> None:
        """Bring what is new, and take away what was heard; a refusal stays beside it, for who asked.

        Raises:
            OSError: the store cannot be reached.
        """
        now = time.monotonic()
        if self._announced is None or now - self._announced > ANNOUNCE_S:
            driver = driver_of(self._folder) or f"a driver on {socket.gethostname()}"
            self._bucket.write(HERE, json.dumps({"driver": driver, "at": time.time()}).encode() + b"\n")
            self._announced = now
        for name in requests_at(self._bucket):
            inside, here = f"{INBOX}/{name}", self._folder / INBOX / name
            refused = here.with_suffix(".refused")
            if name not in self._brought and not refused.exists():
                here.parent.mkdir(exist_ok=True)
                write_whole(here, self._bucket.read(inside).decode(errors="replace"))
            elif not here.exists():
                if refused.exists():
                    self._bucket.write(f"{INBOX}/{refused.name}", refused.read_bytes())
                self._when_safe(partial(self._bucket.remove, inside))
            self._brought.add(name)

    def _carry_on(self) -> None:
        while not self._over.wait(LOOK_S):
            self._carry_or_say()

    def _carry_or_say(self) -> bool:
        try:
            if not self._superseded():
                self.carry()
        except OSError as error:
            if not self._silent:
                sys.stderr.write(f"requests at {self._bucket.address} cannot be heard now: {error}\n")
            self._silent = True
            return False
        self._silent = False
        return True


def requests_at(bucket: Bucket) -> list[str]:
    """Return the names of the requests that wait at a study's copy, oldest first."""
    return [found[1] for name in bucket.names(INBOX) if (found := _REQUEST.fullmatch(name))]


def driver_at(bucket: Bucket) -> str | None:
    """Return who drives the study of a copy, or None where nobody was heard of lately."""
    try:
        here = json.loads(bucket.read(HERE))
        silent_s, driver = time.time() - float(here["at"]), str(here["driver"])
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return None
    return driver if silent_s < SILENT_S else None


def bucket_at(address: str) -> Bucket:
    """Return what lies at the address of an object store that somebody named.

    Raises:
        StudyError: it holds credentials, which are not repeated, or names no bucket.
    """
    if not is_plain(address):
        plain = "the address of an object store should be s3://BUCKET/PREFIX alone"
        raise StudyError([f"{plain}: credentials and endpoint come from the environment (AWS_*)"])
    return Bucket(address)


@contextmanager
def reaching(bucket: Bucket) -> Iterator[None]:
    """Say of a store that does not answer which one it is; an error of this machine's disk passes.

    Raises:
        StorageError: in its place.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise StorageError(
            f"cannot read {bucket.address}: {told(error)}. Mend the storage or wait for it, then try again"
        ) from error


def copy_at(address: str) -> Bucket:
    """Return the copy of a study in an object store, by its own address or by that of its checkpoints or their folder.

    Raises:
        StudyError: as `bucket_at`.
        StorageError: no study's copy lies there.
    """
    bucket_at(address)
    base = re.sub(r"/(study|checkpoints)/?$", "", address.rstrip("/"))
    bucket = Bucket(f"{base}/study")
    try:
        bucket.read("manifest.json")
    except OSError as error:
        raise StorageError(
            f"{address} holds no copy of a study ({error}): give the address that its driver said at its start, "
            "s3://BUCKET/.../study"
        ) from error
    return bucket


@contextmanager
def brought_here(bucket: Bucket) -> Iterator[Path]:
    """Give a temporary folder with what a study's copy says of where it stands: its manifest, file and ledger."""
    with TemporaryDirectory(prefix="sp_search-") as name:
        folder = Path(name)
        with reaching(bucket):
            for file in ("manifest.json", "study.yaml"):
                (folder / file).write_bytes(bucket.read(file))
            fetch_ledger(bucket, folder)
        yield folder


def ledgers(bucket: Bucket) -> Iterator[list[dict[str, Any]]]:
    """Yield the entries of a copy's ledger, again and again as it grows."""
    while True:
        with brought_here(bucket) as folder:
            yield read_ledger(folder)
        time.sleep(FOLLOW_S)
