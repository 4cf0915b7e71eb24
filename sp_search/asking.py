"""Ask something of a study: tried on its ledger first, so that a mistake is said at once, then put before its driver.

The study is a folder here, or the copy of one in an object store whose driver runs elsewhere.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

from sp_search.bucket import Bucket, is_bucket
from sp_search.control import INBOX, driver_of, send, signed
from sp_search.courier import brought_here, copy_at, driver_at, reaching, requests_at
from sp_search.errors import StorageError, StudyError
from sp_search.folder import holds_arms, manifest
from sp_search.ledger import read_ledger
from sp_search.requested import Request, changed_study, event_of
from sp_search.running import replayed

WAIT_S = 10.0


class Heard(NamedTuple):
    """What became of a request: whether a driver has taken it in, who drives the study, and what is to be done now."""

    taken: bool
    driver: str | None
    text: str


class Door(ABC):
    """The way to a study's driver.

    Attributes:
        place: the study, as it was named.
        resume: how somebody goes on with it.
        poll_s: seconds between two looks whether a request was heard.
    """

    place: str
    resume: str
    poll_s: float

    @abstractmethod
    def folder(self) -> AbstractContextManager[Path]:
        """Give the study's folder, or what of it says where it stands."""

    @abstractmethod
    def driver(self) -> str | None:
        """Return who drives the study now."""

    @abstractmethod
    def put(self, request: Request) -> str:
        """Put a request where its driver finds it; return its name."""

    @abstractmethod
    def waits(self, name: str) -> bool:
        """Whether a request was not heard yet."""

    @abstractmethod
    def refusal(self, name: str) -> str | None:
        """Return why the driver refused a request, if it did."""


class FolderDoor(Door):
    """By the study's folder, on this machine or on a disk that its driver sees too."""

    poll_s = 0.1

    def __init__(self, folder: Path) -> None:
        """Ask the study in `folder`."""
        self.place, self.resume, self._folder = str(folder), f"sp-search resume {folder}", folder

    def folder(self) -> AbstractContextManager[Path]:
        """Give it."""
        return nullcontext(self._folder)

    def driver(self) -> str | None:
        """Return who holds its lock."""
        return driver_of(self._folder)

    def put(self, request: Request) -> str:
        """Write the request's file."""
        return send(self._folder, request).name

    def waits(self, name: str) -> bool:
        """Whether its file is still there."""
        return (self._folder / INBOX / name).exists()

    def refusal(self, name: str) -> str | None:
        """Return the last line of what was put aside."""
        refused = (self._folder / INBOX / name).with_suffix(".refused")
        return refused.read_text(encoding="utf-8").rstrip().rpartition("\n")[2] if refused.exists() else None


class BucketDoor(Door):
    """By the study's copy in an object store, from where its driver brings requests."""

    poll_s = 1.0

    def __init__(self, bucket: Bucket) -> None:
        """Ask the study whose copy `bucket` is."""
        self.place, self._bucket = bucket.address, bucket
        self.resume = f"sp-search fetch {bucket.address} DIR, then sp-search resume DIR,"

    def folder(self) -> AbstractContextManager[Path]:
        """Bring here what says where the study stands."""
        return brought_here(self._bucket)

    def driver(self) -> str | None:
        """Return who said lately that he drives it."""
        with reaching(self._bucket):
            return driver_at(self._bucket)

    def put(self, request: Request) -> str:
        """Store the request."""
        name, text = signed(request)
        try:
            self._bucket.write(f"{INBOX}/{name}", text.encode())
        except OSError as error:
            raise StorageError(f"cannot ask anything of {self.place}: {error}. Ask with the right to write") from error
        return name

    def waits(self, name: str) -> bool:
        """Whether the request is still stored; it was, so it is where the store does not answer."""
        try:
            return name in requests_at(self._bucket)
        except OSError:
            return True

    def refusal(self, name: str) -> str | None:
        """Return the last line of what stands in its place."""
        try:
            refused = self._bucket.read(f"{INBOX}/{Path(name).with_suffix('.refused')}")
        except OSError:  # there is none, or nobody can say
            return None
        return refused.decode(errors="replace").rstrip().rpartition("\n")[2]


def door_to(place: str | Path) -> Door:
    """Return the way to a study in a folder, or to one whose copy lies at s3://..."""
    return BucketDoor(copy_at(str(place))) if is_bucket(str(place)) else FolderDoor(Path(place))


def _arm(folder: Path, request: Request) -> Path:
    """Return the arm of a comparison that a request is for: a pause is for the one that runs."""
    arms: list[Path] = [folder / "arms" / name for name in manifest(folder)["arms"]]
    running = [arm for arm in arms if driver_of(arm) is not None]
    if request.ask == "pause" and running:
        return running[0]
    raise StudyError([f"{folder} holds a comparison: ask one of its arms, {', '.join(map(str, arms))}"])


def ask(place: str | Path, request: Request, *, wait_s: float = WAIT_S) -> Heard:
    """Put a request to a study, and wait a moment for its driver to take it in.

    Args:
        place: the study's folder, or the address of its copy, s3://BUCKET/.../study.
        request: what is asked.
        wait_s: how long to wait for a driver that runs; without one the request waits for `resume`.

    Raises:
        StudyError: the study cannot do what is asked; nothing was written.
        StorageError: there is no study.
    """
    door = door_to(place)
    with door.folder() as folder:
        if holds_arms(folder):
            return ask(_arm(folder, request), request, wait_s=wait_s)
        study, _, search = replayed(read_ledger(folder), folder)
        changed_study(study, event_of(request, study, search))
    driver = door.driver()
    if driver is None and request.ask == "pause":
        raise StudyError([f"nobody drives {door.place} now, so there is nothing to pause"])
    name = door.put(request)
    until = time.monotonic() + (wait_s if driver is not None else 0.0)
    while (waits := door.waits(name)) and time.monotonic() < until:
        time.sleep(door.poll_s)
    refusal = None if waits else door.refusal(name)
    if refusal is not None:
        raise StudyError([f"the driver ({driver}) refused, as the study had moved on: {refusal}"])
    if not waits:
        return Heard(True, driver, f"heard by {driver}")
    if driver is None:
        return Heard(False, None, f"nobody drives the study now: {door.resume} hears it")
    if door.driver() is None:
        return Heard(False, None, f"the driver ended before it heard: {door.resume} hears it")
    ended = search.state.finished is not None
    when = "it measures its answer, and looks between two measurements" if ended else "it looks between slices"
    return Heard(False, driver, f"not heard yet by {driver}: {when}; sp-search status {door.place} tells")
