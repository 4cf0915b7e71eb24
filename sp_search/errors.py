"""The errors that users meet, each with the exit code that a script can rely on."""

from __future__ import annotations

import shlex
import traceback
from pathlib import Path


def describe(error: BaseException) -> str:
    """Return an error as `Type: message (file:line)`, the place being where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


class StudyError(Exception):
    """A study file is not valid; holds every problem, each as `file:line: path: message`. Exit code 2."""

    def __init__(self, problems: list[str]) -> None:
        """Keep all problems."""
        super().__init__("\n".join(problems))
        self.problems = problems


class StorageError(Exception):
    """The study's folder, ledger, checkpoints or tracking store cannot be used. Exit code 5."""


class Interrupted(Exception):
    """A signal ended the driver; the study in `folder` can be resumed. Exit code 128 + signal."""

    def __init__(self, folder: Path, signal_number: int, command: str | None = None) -> None:
        """Say how to go on: by `command`, or by resuming `folder`."""
        command = command or f"sp-search resume {shlex.quote(str(folder))}"
        super().__init__(f"interrupted by signal {signal_number:d}; to go on: {command}")
        self.folder = folder
        self.command = command
        self.signal_number = signal_number
