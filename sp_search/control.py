"""What people ask of a study from outside: one small file a request in the folder `control`, which its driver takes in.

A request changes nothing by itself. The driver of the study (the one that runs, or the next `resume`) turns it into an
event of the ledger, and then removes the file; a crash in between leaves both, and the event names its request. They
are data: reading one runs nothing.
"""

from __future__ import annotations

import fcntl
import getpass
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from sp_search.errors import Interrupted, StorageError, StudyError
from sp_search.events import LimitReached, PauseAsked, SearchEvent
from sp_search.ledger import LEDGER_NAME, read_ledger
from sp_search.logbook import printable
from sp_search.requested import Request, changed_study, event_of
from sp_search.search import Search
from sp_search.settings_file import dotted
from sp_search.study import Study
from sp_search.whole_files import write_whole

INBOX = "control"
LOOK_S = 1.0
"""How often a driver looks for requests."""
MOST_BYTES = 100_000


def send(folder: Path, request: Request) -> Path:
    """Put a request into a study's inbox, whole or not at all, and return its file.

    Raises:
        StorageError: the folder cannot be written to.
    """
    name, text = signed(request)
    path = folder / INBOX / name
    try:
        path.parent.mkdir(exist_ok=True)
        write_whole(path, text)
    except OSError as error:
        raise StorageError(f"cannot ask anything of {folder}: {error}. Ask as its owner, or make room") from error
    return path


def signed(request: Request) -> tuple[str, str]:
    """Return a name that no other request has and sorts by time, and the request with who asks and when."""
    by = request.model_copy(update={"by": _somebody(), "at": round(time.time(), 3)})
    return f"{time.time_ns():020}-{secrets.token_hex(4)}.json", by.model_dump_json() + "\n"


def pending(folder: Path) -> list[Path]:
    """Return the requests that nobody has taken in, oldest first."""
    return sorted((folder / INBOX).glob("*.json"))


def driver_of(folder: Path) -> str | None:
    """Return who drives a study now (pid, host and since when), or None."""
    try:
        with open(folder / "driver.lock", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return lock.read(500).strip() or "an unknown process"
    except FileNotFoundError:
        pass
    return None


class Inbox:
    """A driver's ear. Called between slices it returns the events that were asked for, and knows the study after them.

    Attributes:
        study: as it stands, with everything that was added and extended.
    """

    def __init__(self, folder: Path, study: Study) -> None:
        """Listen at a study's folder."""
        self.folder, self.study = folder, study
        self._looked = 0.0
        self._paused: str | None = None
        self._taken: list[Path] = []
        self._done: set[str] | None = None

    def look(self, search: Search) -> list[SearchEvent]:
        """Return at most one event, at most once in `LOOK_S`; the ledger holds what was returned before by now.

        Raises:
            Interrupted: somebody asked for a pause.
        """
        if self._paused is not None:
            self.forget()
            sys.stderr.write(f"paused by {printable(self._paused)}\n")
            raise Interrupted(self.folder, signal.SIGTERM)
        if time.monotonic() - self._looked < LOOK_S:
            return []
        self._looked = time.monotonic()
        event = self.take(search)
        if isinstance(event, PauseAsked):
            self._paused = event.by
        return [] if event is None else [event]

    def catch_up(self, search: Search, running_flops: Callable[[], Sequence[float]] = tuple) -> None:
        """Take in what was asked for while nobody drove the study; a pause is over by now.

        Args:
            search: replayed.
            running_flops: what each trial had spent that ran when its driver ended; a stop counts it.
        """
        while (event := self.take(search)) is not None:
            if isinstance(event, LimitReached):
                event = event.cutting(running_flops())
            if not isinstance(event, PauseAsked):
                search.feed(event)

    def look_up(self, search: Search) -> None:
        """Hear what is asked while the answer of an ended search is measured.

        Raises:
            Interrupted: somebody asked for a pause.
            GoesOn: somebody asked for more, and the search has something to do.
        """
        for event in self.look(search):
            if isinstance(event, PauseAsked):
                self.look(search)
            search.feed(event)
        if search.state.finished is None:
            raise GoesOn

    def take(self, search: Search) -> SearchEvent | None:
        """Take the oldest request in and return its event; one that cannot be done is said and put aside."""
        self.forget()
        for path in pending(self.folder):
            if path.stem in self._requests_done():
                path.unlink()
                continue
            try:
                request = _read(path)
                event = event_of(request, self.study, search).model_copy(update={"request": path.stem})
                changed = changed_study(self.study, event)
            except StudyError as error:
                self._refuse(path, error)
                continue
            if changed is not self.study:
                self.study = changed
                write_whole(self.folder / "study.yaml", changed.dump_yaml())
            self._taken.append(path)
            self._requests_done().add(path.stem)
            sys.stderr.write(f"{request.ask} asked for by {request.by!r}\n")
            return event
        return None

    def forget(self) -> None:
        """Remove the requests whose events were fed."""
        while self._taken:
            self._taken.pop().unlink(missing_ok=True)

    def _requests_done(self) -> set[str]:
        if self._done is None:
            entries = read_ledger(self.folder) if (self.folder / LEDGER_NAME).exists() else []
            events = (entry.get("event", {}) for entry in entries)
            self._done = {event["request"] for event in events if event.get("request")}
        return self._done

    def _refuse(self, path: Path, error: StudyError) -> None:
        refused = path.with_suffix(".refused")
        os.replace(path, refused)
        with suppress(OSError), refused.open("a", encoding="utf-8") as file:
            file.write(f"\n{printable(str(error))}\n")
        sys.stderr.write(printable(f"refused a request ({refused}): {error}") + "\n")


class GoesOn(Exception):
    """A search that had ended was asked for more while its answer was measured."""


def _read(path: Path) -> Request:
    try:
        with path.open("rb") as file:
            return Request.model_validate_json(file.read(MOST_BYTES))
    except OSError as error:
        raise StudyError(
            [f"{path} is no request: {error}; ask by sp-search stop, pause, add, extend or retry"]
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise StudyError([f"{path} is no request of this version: {dotted(first['loc'])}: {first['msg']}"]) from None


def _somebody() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"[:200]
