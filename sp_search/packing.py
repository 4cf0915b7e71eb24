"""How a study's folder goes through the log of a job, of whatever size: a compressed archive in parts of base64 lines.

The jobs' server may be the only door of a cluster, and a log is what comes out of it. Each end holds one part in
memory, with its hash and number, so that a log that is cut short or told from its beginning again is noticed.
"""

from __future__ import annotations

import base64
import hashlib
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from sp_search.errors import StorageError

STAYS = ("tune", "control", "driver.lock")
"""What of a study is never fetched: it is its driver's own."""
CHECKPOINTS = "checkpoints"
PART_BYTES = 4 * 1024 * 1024
LINE = 60_000
BEGIN, PART, END = "sp_search packed", "sp_search part", "sp_search parts"
_PART = re.compile(rf"{PART} (\d+) sha256 ([0-9a-f]{{64}})")


class _Parts:
    """A file to write to, which says what was written, a part at a time."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say, self._waiting, self.count = say, bytearray(), 0

    def write(self, content: bytes) -> int:
        self._waiting += content
        while len(self._waiting) >= PART_BYTES:
            self._part(PART_BYTES)
        return len(content)

    def close(self) -> None:
        if self._waiting:
            self._part(len(self._waiting))

    def _part(self, size: int) -> None:
        content = bytes(self._waiting[:size])
        del self._waiting[:size]
        text = base64.b64encode(content).decode()
        for at in range(0, len(text), LINE):
            self._say(text[at : at + LINE])
        self._say(f"{PART} {self.count} sha256 {hashlib.sha256(content).hexdigest()}")
        self.count += 1


def pack(folder: Path, say: Callable[[str], object], *, checkpoints: bool) -> str:
    """Say a folder line by line, but for what stays, and return the last line.

    Raises:
        StorageError: it is no study's.
    """
    if not (folder / "manifest.json").exists():
        raise StorageError(f"{folder} holds no manifest.json, so it is no study's folder")
    stays = {*STAYS, *(() if checkpoints else (CHECKPOINTS,))}
    say(BEGIN)
    parts = _Parts(say)
    with tarfile.open(fileobj=parts, mode="w|gz") as tar:  # type: ignore[call-overload]  # it asks for `write` alone
        for file in sorted(folder.rglob("*")):
            inside = file.relative_to(folder)
            if file.is_file() and not file.is_symlink() and not set(inside.parts) & stays:
                tar.add(file, str(inside), recursive=False)
    parts.close()
    return f"{END} {parts.count}"


class Unpacking:
    """Takes in the log of a job that packs, in pieces of any size, and writes the folder. A context manager."""

    def __init__(self) -> None:
        """Have heard nothing yet."""
        self._archive: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `__exit__`
        self._line, self._part, self._count = "", list[str](), -1
        self._whole, self._last = False, "nothing"

    def __enter__(self) -> Unpacking:
        """Return it."""
        return self

    def __exit__(self, *error: object) -> None:
        """Forget what came."""
        self._archive.close()

    def hear(self, piece: str) -> None:
        """Take the next piece of the log in.

        Raises:
            StorageError: a part came damaged.
        """
        *lines, self._line = (self._line + piece).split("\n")
        for line in lines:
            self._hear_line(line.strip())

    def _hear_line(self, line: str) -> None:
        if line == BEGIN:  # or the log is told from its beginning again
            self._archive.seek(0)
            self._archive.truncate()
            self._part, self._count, self._whole = [], 0, False
        elif found := _PART.fullmatch(line):
            self._end_part(int(found[1]), found[2])
        elif self._count >= 0 and line == f"{END} {self._count}":
            self._whole = True
        elif self._count >= 0 and not self._whole:
            self._part.append(line)
        self._last = line[:200] or self._last

    def _end_part(self, number: int, hashed: str) -> None:
        try:
            content = base64.b64decode("".join(self._part), validate=True)
        except ValueError:
            content = b""
        if number != self._count or hashlib.sha256(content).hexdigest() != hashed:
            raise StorageError(f"part {number} of the folder came damaged: fetch it again")
        self._archive.write(content)
        self._part, self._count = [], self._count + 1

    def write(self, folder: Path) -> int:
        """Write the folder that came; return how many files.

        Raises:
            StorageError: there was none, or not all of it, or a file that would lie elsewhere.
        """
        self.hear("\n")
        if not self._whole:
            came = f"after part {self._count} of the folder" if self._count > 0 else "without a folder"
            raise StorageError(f"the cluster's log ended {came}; its last word: {self._last}")
        self._archive.seek(0)
        count = 0
        try:
            with tarfile.open(fileobj=self._archive, mode="r|gz") as tar:
                for member in tar:
                    tar.extract(member, folder, filter="data")
                    count += 1
        except (tarfile.TarError, OSError) as error:
            raise StorageError(f"the folder cannot be written to {folder}: {error}") from error
        return count


def unpack(log: Iterable[str], folder: Path) -> int:
    """Write what a log's lines hold of a packed folder; return how many files.

    Raises:
        StorageError: as `Unpacking`.
    """
    with Unpacking() as unpacking:
        for line in log:
            unpacking.hear(line + "\n")
        return unpacking.write(folder)
