"""What is read of a folder that a stranger may have filled: plain files of a bounded size, and JSON that is no trap.

A link could lead a report to somebody's secrets, or a resumed study to write over them; a pipe or a device never ends.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EINVAL
from pathlib import Path
from typing import Any

from sp_search.errors import StorageError

MOST_BYTES = {".json": 64 << 20, ".yaml": 1 << 20, ".jsonl": 4 << 30, ".html": 64 << 20, ".safetensors": 64 << 30}
"""The largest file of each kind that is opened; a ledger of 10,000 trials takes some 30 MB."""


def plain_folder(folder: Path) -> Path:
    """Return a study's folder, once all that lies in it is known to be a folder or a plain file of a bounded size.

    Raises:
        StorageError: names the first link, pipe, device or oversized file, and says what to do.
    """
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # a study that runs replaces its files
            continue
        if not stat.S_ISREG(status.st_mode):
            kind = "link" if stat.S_ISLNK(status.st_mode) else "pipe, socket or device"
            raise StorageError(
                f"{entry.path} is a {kind}, and a study's folder holds plain files: remove it, or copy it"
            )
        most = MOST_BYTES.get(Path(entry.name).suffix)
        if most is not None and status.st_size > most:
            raise StorageError(
                f"{entry.path} has {status.st_size:,} bytes, at most {most:,} are read: restore the file"
            )
    return folder


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield all that lies below a folder, no link followed; nothing of one that is missing or cannot be listed."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError:  # what needs the folder says so better
        return
    for entry in entries:
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(Path(entry.path))


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """Return what a file that somebody named holds, at most `most` bytes and one more; a link to a file will do.

    Raises:
        OSError: it cannot be read, or is no plain file: a pipe would be waited for, and a device has no end.
    """
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(opened, "rb") as file:
        mode = os.fstat(opened).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(EINVAL, f"it is {_kind(mode)}, and should be a file")
        return file.read() if most is None else file.read(most + 1)


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        StorageError: it cannot be read, or holds no JSON object; names it.
    """
    try:
        content = json.loads(read_bytes(path).decode("utf-8"))
    except FileNotFoundError:
        raise
    except RecursionError:
        raise StorageError(f"{path} is nested too deeply to be read: restore it from a copy") from None
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} is no JSON that can be read ({error}): restore it from a copy") from error
    if not isinstance(content, dict):
        raise StorageError(
            f"{path} holds a {type(content).__name__}, and it should be an object: restore it from a copy"
        )
    return content


@contextmanager
def understood(folder: Path) -> Iterator[None]:
    """Name the folder where its files, each of them whole, do not make a study together.

    Raises:
        StorageError: in place of whatever reading them led to.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, AssertionError, OSError) as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise StorageError(
            f"{folder} cannot be read ({said}): it is damaged, or of another version (manifest.json says which). "
            "Restore it from a copy; --debug shows where"
        ) from error
