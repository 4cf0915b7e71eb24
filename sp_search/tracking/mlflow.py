"""Ships a study's ledger to MLflow: one daemon thread that follows the file, so the search never waits for a server.

Nothing is queued and nothing can be dropped: the ledger is the queue, and `mlflow.json` beside it remembers how far it
was shipped. Shipping twice is harmless (runs are found by their tags, and a store keeps a metric's value at a step and
time once), so a crash between the two leaves every event there once.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from sp_search.errors import StudyError
from sp_search.folder import header_of, tracking_uri
from sp_search.ledger import LEDGER_NAME
from sp_search.tracking.probe import in_words, require_answer
from sp_search.tracking.updates import Updates
from sp_search.tracking.words import run_page

if TYPE_CHECKING:
    from sp_search.tracking.store import Store

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
}
"""Of MLflow's client: whether a call is made again is decided here, where it is known what may be made again."""
SERVER_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_WORKERS": "1",
}
"""Of a server that shows runs to one person: one process, and none for jobs that nobody asks for."""
MEMORY = "mlflow.json"
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
LAST_TRIES = 3
"""How often a store that failed is tried again when the study is over; one that had failed before, or hangs, once."""
BATCH_LINES = 1_000
"""Ledger lines that are shipped together: after so many, what a kill would repeat is remembered."""
PORT = 5000


class Lag(NamedTuple):
    """How far MLflow is behind the ledger, and a sentence about it; the sentence is empty when all arrived."""

    events: int
    message: str


class Shipper:
    """Follows the ledger of `folder` from its making on. `finish` waits a bounded time; no method ever raises."""

    def __init__(self, uri: str, study_name: str, folder: Path, *, memory: str = MEMORY, alive: bool = False) -> None:
        """Start following; the store is opened, and if need be made, on the thread.

        Args:
            uri: of the store.
            study_name: of the experiment.
            folder: of the study.
            memory: the name of the file in it that remembers how far this store is.
            alive: another process drives the study: what runs is left running.
        """
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        self.uri = absolute_uri(uri)
        self.study_name = study_name
        self.folder = folder.resolve()
        self.memory = self.folder / memory
        self.alive = alive
        self.error: str | None = None
        self._updates = Updates()
        self._offset = 0
        self._read = 0
        self._shipped = 0
        self._complete = False
        self._told = False
        self._closing = threading.Event()
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="mlflow-shipper", daemon=True)
        self._thread.start()

    def finish(self, timeout_s: float = 60.0) -> Lag:
        """Ship the rest, and the answer's files if there are any; after `timeout_s` give up and say what is missing."""
        self._closing.set()
        self._thread.join(timeout_s)
        if self._complete:
            return Lag(0, "")
        self._abandoned.set()
        lines = (self.folder / LEDGER_NAME).read_bytes().count(b"\n")
        cause = f" ({self.error})" if self.error else ""
        message = (
            f"MLflow lags by {lines - self._shipped} of {lines} events{cause}; the study does not depend on it: "
            f"`sp-search mlflow-sync {shlex.quote(str(self.folder))}` ships the rest"
        )
        return Lag(lines - self._shipped, message)

    def __enter__(self) -> Shipper:
        """Return the running shipper."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ship what is there; after an error wait only briefly."""
        self.finish(60.0 if kind is None else 3.0)

    def _follow(self) -> None:
        """Read and ship until closed; a failing store is tried again after ever longer waits."""
        store: Store | None = None
        wait, last_tries = FIRST_WAIT_S, LAST_TRIES
        while not self._abandoned.is_set():
            closing = self._closing.is_set()
            try:
                with _alone(self.memory):
                    while True:
                        closing = self._closing.is_set()
                        store = self._open() if store is None else store
                        self._ship(store)
                        self.error, wait = None, FIRST_WAIT_S
                        if closing:
                            if not self.alive:
                                store.close(self._updates)
                            self._complete = True
                            return
                        self._closing.wait(FIRST_WAIT_S)
            except Exception as error:  # whatever the store does, the study goes on
                known = self.error is not None or isinstance(error, ConnectionError)
                last_tries = last_tries - 1 if closing else 1 if known else LAST_TRIES
                self._tell(error, aloud=not closing)
                if store is not None and store.is_gone(error):
                    store = None
                    self._begin_anew()
                wait = min(LONGEST_WAIT_S, 2 * wait)
            if closing and last_tries <= 0:
                return
            (self._abandoned if closing else self._closing).wait(FIRST_WAIT_S if closing else wait)

    def _tell(self, error: Exception, *, aloud: bool) -> None:
        """Keep what went wrong; say the first of it at once, as somebody may mend it while the study goes on."""
        self.error = in_words(error)
        if aloud and not self._told:
            self._told = True
            sys.stderr.write(f"MLflow: {self.error}; the study goes on, and MLflow is asked again\n")

    def _open(self) -> Store:
        require_answer(self.uri)
        from sp_search.tracking.store import Store

        return Store(self.uri, self.study_name, self.folder, self.memory)

    def _begin_anew(self) -> None:
        """Read the ledger again from its first line: somebody deleted runs of the study."""
        self._updates, self._offset, self._read, self._shipped = Updates(), 0, 0, 0
        self.memory.unlink(missing_ok=True)

    def _ship(self, store: Store) -> None:
        for number, line in enumerate(self._new_lines(), start=1):
            self._updates.read(json.loads(line))
            self._offset += len(line)
            self._read += 1
            store.find_runs(self._updates.study_id)
            if self._read <= store.cursor:  # shipped by an earlier driver: read only to know what came before
                self._updates.pending.clear()
            if number % BATCH_LINES == 0:
                self._write(store)
        self._write(store)

    def _write(self, store: Store) -> None:
        if self._abandoned.is_set():
            raise TimeoutError("the study did not wait any longer")
        if self._updates.pending:
            store.write(self._updates, self._read)
        self._shipped = self._read

    def _new_lines(self) -> list[bytes]:
        """Return the whole lines that were added since the last look; a torn last one waits for its end."""
        try:
            with open(self.folder / LEDGER_NAME, "rb") as file:
                os.fsync(file.fileno())  # a store is never ahead of what the disk holds
                file.seek(self._offset)
                added = file.read()
        except FileNotFoundError:
            return []
        return added[: added.rfind(b"\n") + 1].splitlines(keepends=True)


@contextmanager
def _alone(memory: Path) -> Iterator[None]:
    """Be the only process that ships this study to this store; two would make its runs twice."""
    with memory.with_suffix(".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RuntimeError("another process ships this study") from error
        yield


def sync(folder: Path, uri: str | None, *, alive: bool = False, timeout_s: float = 3600.0) -> Lag:
    """Ship a study's whole ledger to a store, and wait for it.

    Args:
        folder: of the study.
        uri: of the store; None for the study's own.
        alive: another process drives the study.
        timeout_s: how long to wait.
    """
    own = tracking_uri(folder)
    target = absolute_uri(uri) if uri is not None else own
    if target is None:
        raise StudyError([f"{folder}: the study was not tracked (tracking.uri: null): say where to with --uri"])
    name = header_of(folder)["name"]
    memory = MEMORY if target == own else f"mlflow-{sha256(target.encode()).hexdigest()[:12]}.json"
    return Shipper(target, name, folder, memory=memory, alive=alive).finish(timeout_s)


def absolute_uri(uri: str) -> str:
    """Return a tracking URI that means the same from every working directory."""
    prefix = "sqlite:///"
    if not uri.startswith(prefix) or uri == prefix + ":memory:":
        return uri
    return prefix + str(Path(uri.removeprefix(prefix)).absolute())


def ui_command(uri: str, port: int = PORT) -> str:
    """Return the exact command that shows the store in a browser, or the address where a server already does."""
    if uri.startswith(("http://", "https://")):
        return uri
    beside = Path(sys.executable).with_name("mlflow")
    program = "mlflow" if shutil.which("mlflow") == str(beside) or not beside.exists() else shlex.quote(str(beside))
    return f"{program} ui --backend-store-uri {shlex.quote(absolute_uri(uri))} --port {port}"


def study_page(folder: Path, uri: str, port: int = PORT) -> str | None:
    """Return the address of a study's page in MLflow, or None where nothing of it was shipped yet."""
    try:
        remembered = json.loads((folder / MEMORY).read_text(encoding="utf-8"))
        experiment, run = str(remembered["experiment"]), str(remembered["run"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if not (experiment.isalnum() and run.isalnum()):  # the folder may be a stranger's
        return None
    server = uri.rstrip("/") if uri.startswith(("http://", "https://")) else f"http://127.0.0.1:{port}"
    return f"{server}/{run_page(experiment, run)}"
