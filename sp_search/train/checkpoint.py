"""Runner states on disk: tensors as safetensors, the rest as JSON with the tensors' SHA-256, written last.

The JSON file is the mark of completion: a kill before it leaves an ignored tensor file, and a file that changed
afterwards is refused, so that the state before it is used. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as bytes_from_tensors

from sp_search.records import RunnerState

KEEP = 2


class Encoded(NamedTuple):
    """A state as two files: its tensors, and the mark of completion with all the rest and both hashes."""

    tensors: bytes
    mark: bytes


class CorruptCheckpointError(ValueError):
    """A checkpoint's content is not what its recorded hash says."""


def write_durably(path: Path, content: bytes) -> None:
    """Write a file so that after a crash it is there as a whole or not at all."""
    _write_whole(path, content)
    _sync(path.parent)


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file as a whole; that it has its name is on the disk once its folder is synced."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save_checkpoint(folder: Path, state: RunnerState, keep: int = KEEP) -> Path:
    """Store a state as the newest of `folder`, keep `keep` in all, and return the path of its mark."""
    folder.mkdir(parents=True, exist_ok=True)
    marks = _marks(folder)
    index = _index(marks[-1]) + 1 if marks else 0
    path, (tensors, mark) = folder / f"state-{index:06d}.json", encoded(state)
    _write_whole(path.with_suffix(".safetensors"), tensors)
    _write_whole(path, mark)
    _sync(folder)  # once for both: a mark whose tensors a crash lost is refused, and the state before is used
    for old in [*marks, path][:-keep]:
        old.unlink(missing_ok=True)
        old.with_suffix(".safetensors").unlink(missing_ok=True)
    return path


def encoded(state: RunnerState) -> Encoded:
    """Return a state's two files."""
    tensors = bytes_from_tensors({name: array.contiguous() for name, array in state.arrays.items()})
    mark = {"tensors_sha256": _sha256(tensors), "meta_sha256": _sha256(_canonical(state.meta)), "meta": state.meta}
    return Encoded(tensors, _canonical(mark))


def decoded(files: Encoded, path: object) -> RunnerState:
    """Return the state of two files, of which `path` names the mark.

    Raises:
        CorruptCheckpointError: they are unreadable or not what was written.
    """
    try:
        mark = json.loads(files.mark)
        meta = mark["meta"]
        if (_sha256(files.tensors), _sha256(_canonical(meta))) != (mark["tensors_sha256"], mark["meta_sha256"]):
            raise CorruptCheckpointError(f"{path} does not hold what was written: its SHA-256 differs")
        return RunnerState(arrays=tensors_from_bytes(files.tensors), meta=meta)
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, SafetensorError) as error:
        raise CorruptCheckpointError(f"{path} cannot be read: {error}") from error


def load_checkpoint(path: Path) -> RunnerState:
    """Return the state whose mark is `path`.

    Raises:
        CorruptCheckpointError: a file is missing, unreadable or not what was written.
    """
    try:
        files = Encoded(path.with_suffix(".safetensors").read_bytes(), path.read_bytes())
    except OSError as error:
        raise CorruptCheckpointError(f"{path} cannot be read: {error}") from error
    return decoded(files, path)


def newest_good(folder: Path) -> RunnerState | None:
    """Return the newest state of `folder` that is whole, or None when there is none."""
    for path in reversed(_marks(folder)):
        try:
            return load_checkpoint(path)
        except CorruptCheckpointError:
            continue
    return None


def _marks(folder: Path) -> list[Path]:
    """Return the marks of completion, oldest first."""
    return sorted(folder.glob("state-*.json"), key=_index)


def _index(path: Path) -> int:
    return int(path.stem.removeprefix("state-"))


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
