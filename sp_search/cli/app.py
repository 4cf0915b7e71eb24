"""What every command shares: the application, what a command answers, and the exit codes that a script can rely on."""

from __future__ import annotations

import errno
import signal
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from cyclopts import App, Parameter

from sp_search import __version__
from sp_search.bucket import is_bucket
from sp_search.errors import Interrupted, StorageError, StudyError
from sp_search.plain_files import plain_folder
from sp_search.plugins import UnknownPluginError

MOST_SAID = 100
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
DISK_ERRORS |= {errno.EISDIR, errno.ENOTDIR, errno.ELOOP}  # a file of a study's folder that is none


class ExitCode(IntEnum):
    """What a script can rely on."""

    MET = 0
    INTERNAL = 1
    USAGE = 2
    NOT_MET = 3
    FAILURES = 4
    STORAGE = 5
    FLAGGED = 6
    INTERRUPTED = 128 + signal.SIGINT
    TERMINATED = 128 + signal.SIGTERM


class Answer(NamedTuple):
    """What a command says: for machines, for people, and to the shell."""

    payload: Any
    text: str
    code: int = ExitCode.MET


app = App(
    name="sp-search",
    help="Find the program that performs a task well with the least computation, and say how sure that is.",
    version=__version__,
    help_format="plaintext",
    help_epilogue=(
        "Exit codes: 0 all milestones met, 1 internal error, 2 bad usage or study, 3 not all milestones met, "
        "4 too many trials failed, 5 storage or tracking, 6 an audit flagged, 130/143 interrupted and resumable."
    ),
    default_parameter=Parameter(negative="", show_default=False),
    suppress_keyboard_interrupt=False,
)

Overrides = Annotated[list[str] | None, Parameter(name="--set")]
StudyFile = Annotated[Path, Parameter(name="STUDY")]


def _plain(_: object, given: Path | list[Path] | None) -> None:
    for folder in given if isinstance(given, list) else [given] if given else []:
        plain_folder(folder)


StudyFolder = Annotated[Path, Parameter(name="DIR", validator=_plain)]
FurtherFolder = Annotated[Path | None, Parameter(validator=_plain)]
FurtherFolders = Annotated[list[Path] | None, Parameter(validator=_plain)]


def _local_or_copy(_: object, place: str) -> None:
    if not is_bucket(place):
        plain_folder(Path(place))


StudyPlace = Annotated[str, Parameter(name="DIR", validator=_local_or_copy)]
"""A study's folder, or what stands for it where its driver runs elsewhere."""


def failure(error: Exception) -> tuple[int, list[str]]:
    """Return the exit code of an error, and what to say."""
    match error:
        case StudyError():
            more = len(error.problems) - MOST_SAID
            rest = [f"and {more:,} more: mend these first"] if more > 0 else []
            return ExitCode.USAGE, [*error.problems[:MOST_SAID], *rest]
        case Interrupted():
            return 128 + error.signal_number, [str(error)]
        case UnknownPluginError():
            return ExitCode.USAGE, [str(error)]
        case StorageError():
            return ExitCode.STORAGE, [str(error)]
        case OSError() if error.errno in DISK_ERRORS:
            return ExitCode.STORAGE, [str(error)]
        case _:
            said = f"{type(error).__name__}: {error}".splitlines()[0]
            return ExitCode.INTERNAL, [f"internal error: {said} (--debug shows where)"]
