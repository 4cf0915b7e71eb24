"""Files and folders that appear whole or not at all, whatever ends the process that writes them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sp_search.errors import StorageError


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file, text as UTF-8, in place of what has its name, and return its path.

    Raises:
        OSError: it cannot be written; what had its name is unchanged.
    """
    partial = path.with_suffix(".partial")
    partial.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(partial, path)
    return path


@contextmanager
def new_whole_folder(target: Path) -> Iterator[Path]:
    """Give a folder to write into that becomes `target` at the end, and vanishes where something went wrong.

    Raises:
        StorageError: `target` exists or cannot be written.
    """
    if target.exists():
        raise StorageError(f"{target} exists: name a new folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error}. Make room, or name another folder") from error
    try:
        yield folder
        folder.chmod(0o755)  # a temporary folder is its owner's alone
        folder.rename(target)
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error}. Make room, or name another folder") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
