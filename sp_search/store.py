"""Where runner states live between slices and between levels: by member, visit and lineages, never by order of arrival.

A state is the whole of a trial, stored after every slice with its hash; a trial that died goes on from its newest good
slice, and a later level inherits the last slice of the visit that its assignment names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from sp_search.errors import StorageError
from sp_search.records import Assignment, LevelRunner, RunnerState


class Store(Protocol):
    """Where runner states live between slices and between levels, by member and visit."""

    def save(self, assignment: Assignment, state: RunnerState) -> None:
        """Keep `state` as the newest of this member, visit and set of lineages."""
        ...

    def newest(self, assignment: Assignment) -> RunnerState | None:
        """Return the newest good state of exactly this assignment's visit and lineages, or None."""
        ...

    def inherited(self, assignment: Assignment) -> RunnerState | None:
        """Return the last state of the visit that the assignment inherits from, or None for fresh weights."""
        ...


class MemoryStore:
    """A store that forgets everything with the process: tests and simulations."""

    def __init__(self) -> None:
        """Begin empty."""
        self._states: dict[tuple[int, int, tuple[int, ...]], RunnerState] = {}

    def save(self, assignment: Assignment, state: RunnerState) -> None:
        """Keep `state` in memory."""
        self._states[assignment.member, assignment.visit, tuple(assignment.lineages)] = state

    def newest(self, assignment: Assignment) -> RunnerState | None:
        """Return the state that was saved last for this assignment."""
        return self._states.get((assignment.member, assignment.visit, tuple(assignment.lineages)))

    def inherited(self, assignment: Assignment) -> RunnerState | None:
        """Return the donor visit's last state."""
        if assignment.init_from is None:
            return None
        return self._states.get((assignment.member, assignment.init_from, tuple(assignment.lineages)))


class FolderStore:
    """States as hashed checkpoints under `folder`; a corrupt newest one falls back to the one before."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, which is made at the first save."""
        self.folder = folder

    def save(self, assignment: Assignment, state: RunnerState) -> None:
        """Write `state` and keep the one before.

        Raises:
            StorageError: the disk is full, gone or read-only; what was stored before stays good.
        """
        from sp_search.train.checkpoint import save_checkpoint

        path = self.path(assignment, assignment.visit)
        try:
            save_checkpoint(path, state)
        except OSError as error:
            raise StorageError(f"cannot write a checkpoint to {path}: {error}. Make room, then resume") from error

    def newest(self, assignment: Assignment) -> RunnerState | None:
        """Return the newest state whose hash is right, or None."""
        return self._load(self.path(assignment, assignment.visit))

    def inherited(self, assignment: Assignment) -> RunnerState | None:
        """Return the donor visit's last good state, or None for fresh weights."""
        if assignment.init_from is None:
            return None
        return self._load(self.path(assignment, assignment.init_from))

    def path(self, assignment: Assignment, visit: int) -> Path:
        """Return the folder of the assignment's lineages at `visit`."""
        lineages = f"{assignment.lineages[0]}-{assignment.lineages[-1]}"
        return self.folder / f"member{assignment.member}" / f"visit{visit}" / f"lineages{lineages}"

    def _load(self, path: Path) -> RunnerState | None:
        from sp_search.train.checkpoint import newest_good

        return newest_good(path)


def begin_state(runner: LevelRunner, store: Store, assignment: Assignment) -> RunnerState:
    """Return where a trial takes up its assignment: its newest stored slice, else inherited or fresh weights."""
    stored = store.newest(assignment)
    return stored if stored is not None else runner.begin(assignment, store.inherited(assignment))
