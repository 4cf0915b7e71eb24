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
from typing import Any, Literal

from pydantic import Field, ValidationError

from sp_search.changes import CHANGES, changed_content
from sp_search.errors import Interrupted, StorageError, StudyError
from sp_search.events import Extended, LimitReached, MemberAdded, MemberStopped, PauseAsked, Retried, SearchEvent
from sp_search.interventions import least_tried
from sp_search.ledger import LEDGER_NAME, read_ledger
from sp_search.logbook import printable
from sp_search.plan import price_member
from sp_search.records import Record
from sp_search.search import Search
from sp_search.settings_file import dotted, read_changes, with_changes
from sp_search.study import Study, study_of

INBOX = "control"
LOOK_S = 1.0
"""How often a driver looks for requests."""
MOST_BYTES = 100_000
EXTENDABLE = ("milestones", "population.replicas", "limits")
"""What `extend` may set: more is asked, and nothing that was measured means anything else by it."""


class Request(Record):
    """One thing that somebody asks: `ask`, what it is about, who and when (seconds since the epoch)."""

    ask: Literal["stop", "pause", "add", "extend", "retry"]
    member: int | None = None
    config: dict[str, Any] | None = None
    settings: list[str] = Field([], max_length=100)
    by: str = Field("", max_length=200)
    at: float = 0.0


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


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


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


def event_of(request: Request, study: Study, search: Search) -> SearchEvent:
    """Return the event that a request means for a search.

    Raises:
        StudyError: it asks for what the study cannot do; says what can be asked.
    """
    match request.ask:
        case "pause":
            return PauseAsked(by=request.by)
        case "stop" if request.member is None:
            _refuse_ended(search)
            return LimitReached(limit="stopped", by=request.by)
        case "stop":
            return MemberStopped(member=_known_member(request, search), by=request.by)
        case "retry":
            return _retried(request, search)
        case "add":
            return _added(request, study, search)
        case "extend":
            return _extended(request, study, search)


def changed_study(study: Study, event: SearchEvent) -> Study:
    """Return the study as an event leaves it."""
    if event.event not in CHANGES:
        return study
    return study_of(changed_content(study.resolved(), event.model_dump(mode="json")))


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


def _known_member(request: Request, search: Search) -> int:
    member = request.member
    proposals = bool(search.state.population.proposals)
    known = search.state.live if proposals else [one.member for one in search.state.population.members]
    if member is None or member not in known:
        raise StudyError([f"--member {member}: there is no such member. {_listed(known)}"])
    if member in search.state.dropped:
        raise StudyError(
            [f"--member {member}: it is out of the search already ({search.state.dropped[member]}); see retry"]
        )
    _refuse_ended(search)
    return member


def _refuse_ended(search: Search) -> None:
    if search.state.finished is not None:
        raise StudyError(
            [f"the study has ended ({search.state.finished}): there is nothing to stop; extend and retry go on"]
        )


def _retried(request: Request, search: Search) -> Retried:
    state, member = search.state, request.member
    failed = sorted(state.dropped)
    if member is not None and member not in failed:
        raise StudyError([f"--member {member}: it has not failed. {_listed(failed, 'Failed')}"])
    if not failed and state.finished != "failures":
        raise StudyError(["no member has failed or was stopped: there is nothing to try again"])
    event = Retried(members=failed if member is None else [member], by=request.by)
    _refuse_unheard(search, event)
    return event


def _added(request: Request, study: Study, search: Search) -> MemberAdded:
    if search.state.population.proposals:
        own = "the study finds its members by proposals, and none can be added"
        raise StudyError([f"{own}: begin another study with search.warm_start on this folder"])
    grown = study_of(changed_content(study.resolved(), {"event": "member_added", "added": {"config": request.config}}))
    member = price_member(grown, len(grown.population.members) - 1, search.state.space)
    if not any(member.budgets):
        raise StudyError(
            [f"the member fits no level of the study's ladder, {search.state.space.caps}: make it cheaper"]
        )
    event = MemberAdded(added=member, by=request.by)
    _refuse_unheard(search, event)
    return event


def _extended(request: Request, study: Study, search: Search) -> Extended:
    changes = read_changes(request.settings)
    if not changes:
        raise StudyError([f"--set is missing: it can set {', '.join(EXTENDABLE)}"])
    settings = {".".join(map(str, change.path)): change.value for change in changes}
    for key in settings:
        if not any(key == name or key.startswith(f"{name}.") for name in EXTENDABLE):
            raise StudyError([f"--set {key}: a study that was begun can be extended in {', '.join(EXTENDABLE)}"])
    asked = study_of(with_changes(study.resolved(), settings))
    had, replicas = study.milestones, search.state.population.replicas
    if asked.milestones[: len(had)] != had:
        raise StudyError([f"milestones: got {asked.milestones}, and it should go on from {had}, which was begun with"])
    if asked.population.replicas < replicas:
        raise StudyError(
            [f"population.replicas: got {asked.population.replicas}, and it should be at least {replicas}"]
        )
    event = Extended(settings=settings, milestones=asked.milestones, replicas=asked.population.replicas, by=request.by)
    _refuse_idle(search, event)
    return event


def _gives_work(search: Search, event: SearchEvent) -> bool:
    """Whether an event opens a level, or finds the search at one. A scheduler is pure, so it can be tried."""
    after, _ = search.scheduler.advance(search.state, event)
    return after.finished is None or len(after.history) > len(search.state.history)


def _refuse_unheard(search: Search, event: MemberAdded | Retried) -> None:
    """Refuse members that an ended search would visit no level for, as where it ends with the first find."""
    if not _gives_work(search, event):
        ended = f"the study has ended ({search.state.finished}), and its schedule would visit no level for that again"
        raise StudyError([f"{ended}: begin another study, or extend this one by a milestone first"])


def _refuse_idle(search: Search, event: Extended) -> None:
    """Refuse an extension that gives a study that has ended nothing to do."""
    before = search.state
    if _gives_work(search, event):
        return
    if before.finished == "resolved":
        raise StudyError(["the study has settled its milestones: --set milestones=[...] with a further one goes on"])
    if before.finished in ("exhausted", "undecided"):
        population, failed = before.population, least_tried(before, before.history[-1])
        enough = population.replicas if population.proposals else max(population.replicas, failed)
        goes_on = f"--set population.replicas=N with more lineages than the {enough} that failed goes on"
        raise StudyError([f"the study has ended ({before.finished}): {goes_on}"])
    if before.finished == "no_members":
        raise StudyError(["every member has failed or was stopped: retry DIR --failed, or add DIR --member FILE"])


def _listed(members: Sequence[int], name: str = "Known") -> str:
    return f"{name}: {', '.join(map(str, members)) or 'none'}."


def _somebody() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"[:200]
