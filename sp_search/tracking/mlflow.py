"""Ships a study's ledger to MLflow: one daemon thread that follows the file, so the search never waits for a server.

Nothing is queued and nothing can be dropped: the ledger is the queue, and `mlflow.json` beside it remembers how far it
was shipped and the run ids. Shipping twice is harmless, so a crash between the two leaves every event there once.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from sp_search.ledger import LEDGER_NAME
from sp_search.tracking.updates import Updates

if TYPE_CHECKING:
    from sp_search.tracking.store import Store

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
PATIENCE_S = 5.0  # with a store whose last answer was an error
PORT = 5000


class Lag(NamedTuple):
    """How far MLflow is behind the ledger, and a sentence about it; the sentence is empty when all arrived."""

    events: int
    message: str


class Shipper:
    """Follows the ledger of `folder` from its making on. `finish` waits a bounded time; no method ever raises."""

    def __init__(self, uri: str, study_name: str, folder: Path) -> None:
        """Start following; the store is opened, and if need be made, on the thread."""
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        self.uri = absolute_uri(uri)
        self.study_name = study_name
        self.folder = folder.resolve()
        self.error: str | None = None
        self._updates = Updates()
        self._offset = 0
        self._read = 0
        self._shipped = 0
        self._complete = False
        self._closing = threading.Event()
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="mlflow-shipper", daemon=True)
        self._thread.start()

    def finish(self, timeout_s: float = 60.0) -> Lag:
        """Ship the rest, and the answer's files if there are any; after `timeout_s` give up and say what is missing."""
        self._closing.set()
        self._thread.join(timeout_s if self.error is None else min(timeout_s, PATIENCE_S))
        if self._complete:
            return Lag(0, "")
        self._abandoned.set()
        lines = (self.folder / LEDGER_NAME).read_bytes().count(b"\n")
        cause = f" ({self.error})" if self.error else ""
        message = (
            f"MLflow lags by {lines - self._shipped} of {lines} events{cause}; the study does not depend on it: "
            f"`sp-search resume {shlex.quote(str(self.folder))}` ships the rest"
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
        wait = FIRST_WAIT_S
        while not self._abandoned.is_set():
            closing = self._closing.is_set()
            try:
                store = self._open() if store is None else store
                self._ship(store)
                if closing:
                    store.close(self._updates)
                    self._complete = True
                    return
                self.error, wait = None, FIRST_WAIT_S
            except Exception as error:  # whatever the store does, the study goes on
                self.error = f"{type(error).__name__}: {str(error).splitlines()[0][:90] if str(error) else ''}"
                if store is not None and store.is_gone(error):
                    store = None
                    self._begin_anew()
                wait = min(LONGEST_WAIT_S, 2 * wait)
            (self._abandoned if closing else self._closing).wait(FIRST_WAIT_S if closing else wait)

    def _open(self) -> Store:
        from sp_search.tracking.store import Store

        return Store(self.uri, self.study_name, self.folder)

    def _begin_anew(self) -> None:
        """Read the ledger again from its first line: somebody deleted the runs that were remembered."""
        self._updates, self._offset, self._read, self._shipped = Updates(), 0, 0, 0
        (self.folder / "mlflow.json").unlink(missing_ok=True)

    def _ship(self, store: Store) -> None:
        for line in self._new_lines():
            self._updates.read(json.loads(line))
            self._offset += len(line)
            self._read += 1
            if self._read <= store.cursor:  # shipped by an earlier driver: read only to know what came before
                self._updates.pending.clear()
        if self._updates.pending:
            store.write(self._updates, self._read)
        self._shipped = self._read

    def _new_lines(self) -> list[bytes]:
        """Return the whole lines that were added since the last look; a torn last one waits for its end."""
        try:
            with open(self.folder / LEDGER_NAME, "rb") as file:
                file.seek(self._offset)
                added = file.read()
        except FileNotFoundError:
            return []
        return added[: added.rfind(b"\n") + 1].splitlines(keepends=True)


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
