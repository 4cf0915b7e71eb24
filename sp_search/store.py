"""Where runner states live between slices and between levels: by member, visit and lineages, never by order of arrival.

A state is the whole of a trial, stored after every slice with its hash and with the assignment that it belongs to. A
trial that died goes on from its newest good slice. What a later level inherits, and what is selected, is the *finished*
state of a visit: where only an earlier slice of it is left, the rest is run again, bit for bit.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import NamedTuple, Protocol

from sp_search.errors import StorageError
from sp_search.records import Assignment, LevelRunner, Parked, RunnerState


class Stored(NamedTuple):
    """A state as it was stored: of which assignment, and whether its level was measured with it."""

    assignment: Assignment
    state: RunnerState
    finished: bool


class Store(Protocol):
    """Keeps the newest state of every member, visit and set of lineages."""

    def save(self, stored: Stored) -> None:
        """Keep `stored` as the newest of its assignment."""
        ...

    def newest(self, member: int, visit: int, lineages: list[int]) -> Stored | None:
        """Return the newest good state of a member's lineages at `visit`, or None."""
        ...


class MemoryStore:
    """A store that forgets everything with the process: tests and simulations."""

    def __init__(self) -> None:
        """Begin empty."""
        self._states: dict[tuple[int, int, tuple[int, ...]], Stored] = {}

    def save(self, stored: Stored) -> None:
        """Keep `stored` in memory."""
        at = stored.assignment
        self._states[at.member, at.visit, tuple(at.lineages)] = stored

    def newest(self, member: int, visit: int, lineages: list[int]) -> Stored | None:
        """Return what was saved last."""
        return self._states.get((member, visit, tuple(lineages)))


class FolderStore:
    """States as hashed checkpoints under `folder`; a corrupt newest one falls back to the one before."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, which is made at the first save."""
        self.folder = folder

    def save(self, stored: Stored) -> None:
        """Write `stored` and keep the one before.

        Raises:
            StorageError: the disk is full, gone or read-only; what was stored before stays good.
        """
        from sp_search.train.checkpoint import save_checkpoint

        assignment, state, finished = stored
        meta = {"assignment": assignment.model_dump(mode="json"), "finished": finished, "runner": state.meta}
        path = self._path(assignment.member, assignment.visit, assignment.lineages)
        try:
            save_checkpoint(path, RunnerState(arrays=state.arrays, meta=meta))
        except OSError as error:
            raise StorageError(f"cannot write a checkpoint to {path}: {error}. Make room, then resume") from error

    def newest(self, member: int, visit: int, lineages: list[int]) -> Stored | None:
        """Return the newest state whose hash is right, or None."""
        from sp_search.train.checkpoint import newest_good

        written = newest_good(self._path(member, visit, lineages))
        if written is None:
            return None
        state = RunnerState(arrays=written.arrays, meta=written.meta["runner"])
        return Stored(Assignment.model_validate(written.meta["assignment"]), state, written.meta["finished"])

    def visits(self) -> dict[int, list[int]]:
        """Return by member the visits that states are stored of."""
        found: dict[int, list[int]] = {}
        for path in self.folder.glob("member*/visit*"):
            member, visit = path.parent.name.removeprefix("member"), path.name.removeprefix("visit")
            found.setdefault(int(member), []).append(int(visit))
        return found

    def remove(self, member: int, visit: int) -> None:
        """Throw a member's states of a visit away; what a dying trial still writes goes another time."""
        shutil.rmtree(self.folder / f"member{member}" / f"visit{visit}", ignore_errors=True)

    def _path(self, member: int, visit: int, lineages: list[int]) -> Path:
        """Return where a state lies; clones make indices with gaps, so the least and the largest name no set."""
        name = "-".join(str(end) for end in (lineages[0], lineages[-1]))
        if lineages != list(range(lineages[0], lineages[-1] + 1)):
            name += "-" + hashlib.sha256(str(lineages).encode()).hexdigest()[:8]
        return self.folder / f"member{member}" / f"visit{visit}" / f"lineages{name}"


def begin_state(runner: LevelRunner, store: Store, assignment: Assignment) -> RunnerState:
    """Return where a trial takes up its assignment: its newest stored slice, else inherited or fresh weights."""
    stored = store.newest(assignment.member, assignment.visit, assignment.lineages)
    if stored is not None:
        return stored.state
    donor = assignment.init_from
    if donor is None:
        return runner.begin(assignment, None)
    return runner.begin(assignment, finished_state(runner, store, assignment.member, donor.visit, donor.lineages))


def finished_state(runner: LevelRunner, store: Store, member: int, visit: int, lineages: list[int]) -> RunnerState:
    """Return the state in which a member's lineages ended `visit`, running its last slices again if need be.

    Raises:
        StorageError: no good state of that visit is left.
    """
    stored = store.newest(member, visit, lineages)
    if stored is None:
        who = f"member {member} at visit {visit}"
        raise StorageError(f"no good checkpoint of {who} is left: restore it from a copy, or run the study again")
    earlier, state, finished = stored
    while not finished:
        state, measured = runner.step(earlier, state)
        finished = measured is not None
    return state


def spent_flops(state: RunnerState | None) -> float:
    """Return the training FLOPs that a state says it took (0 where its runner does not count)."""
    return 0.0 if state is None else float(state.meta.get("training_flops", 0.0))


def parked(store: Store, assignment: Assignment) -> Parked:
    """Return what is said for an assignment that was cut while no trial of it was alive: as its newest slice has it."""
    stored = store.newest(assignment.member, assignment.visit, assignment.lineages)
    spent = spent_flops(None if stored is None else stored.state)
    return Parked(member=assignment.member, attempt=assignment.attempt, training_flops=spent)
