"""Where runner states live between slices and between levels: by member, visit and lineages, never by order of arrival.

A state is the whole of a trial, stored between slices with its hash and with the assignment that it belongs to. A
trial that died goes on from its newest good slice. What a later level inherits, and what is selected, is the *finished*
state of a visit: where only an earlier slice of it is left, the rest is run again, bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import NamedTuple, Protocol

from sp_search.bucket import Bucket, is_bucket
from sp_search.errors import StorageError
from sp_search.events import Parked
from sp_search.records import Assignment, LevelRunner, RunnerState


class Stored(NamedTuple):
    """A state as it was stored: of which assignment, and whether its level was measured with it."""

    assignment: Assignment
    state: RunnerState
    finished: bool


class Claim(NamedTuple):
    """Whose a member's states are: the newest attempt's of the newest driver, wherever an earlier one still runs.

    Attempts alone do not say it where a driver is lost with its last lines: the next one counts on from before them.
    """

    driver: int
    attempt: int


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


class CheckpointStore(ABC):
    """States as hashed checkpoints; a corrupt newest one falls back to the one before. Says whose attempt is newest."""

    location: str

    def save(self, stored: Stored) -> None:
        """Write `stored` and keep the one before.

        Raises:
            StorageError: the storage is full, gone or read-only; what was stored before stays good.
        """
        assignment, state, finished = stored
        meta = {"assignment": assignment.model_dump(mode="json"), "finished": finished, "runner": state.meta}
        key = _key(assignment.member, assignment.visit, assignment.lineages)
        with self._reaching(key, "write"):
            self._write(key, RunnerState(arrays=state.arrays, meta=meta))

    def newest(self, member: int, visit: int, lineages: list[int]) -> Stored | None:
        """Return the newest state whose hash is right, or None.

        Raises:
            StorageError: the storage cannot be read, or this version does not know such a state.
        """
        key = _key(member, visit, lineages)
        with self._reaching(key, "read"):
            written = self._newest(key)
        if written is None:
            return None
        try:
            assignment = Assignment.model_validate(written.meta["assignment"])
            state = RunnerState(arrays=written.arrays, meta=written.meta["runner"])
            if (assignment.member, assignment.visit, assignment.lineages) != (member, visit, lineages):
                raise ValueError("it is a state of others")
            return Stored(assignment, state, written.meta["finished"])
        except (LookupError, TypeError, ValueError) as error:
            said = f"{type(error).__name__}: {error}".splitlines()[0]
            raise StorageError(
                f"{self.location}/{key} is of another version, or damaged ({said}): restore it from a copy"
            ) from error

    def claim(self, member: int, claim: Claim) -> None:
        """Write down whose the member's states are now."""
        key = f"member{member}/attempt"
        with self._reaching(key, "write"):
            self._claim(key, f"{claim.driver} {claim.attempt}\n")

    def claimed(self, member: int) -> Claim:
        """Return whose a member's states are."""
        key = f"member{member}/attempt"
        with self._reaching(key, "read"):
            return Claim(*([0, 0, *map(int, self._claimed(key).split())][-2:]))

    @contextmanager
    def _reaching(self, key: str, how: str) -> Iterator[None]:
        """Say whose fault it is: storage that fails is never a member's failure."""
        try:
            yield
        except OSError as error:
            mend = "Make room" if error.errno in (ENOSPC, EDQUOT) else "Mend the storage"
            raise StorageError(f"cannot {how} {self.location}/{key}: {error}. {mend}, then resume") from error

    @abstractmethod
    def visits(self) -> dict[int, list[int]]:
        """Return by member the visits that states are stored of."""

    @abstractmethod
    def remove(self, member: int, visit: int) -> None:
        """Throw a member's states of a visit away; what a dying trial still writes goes another time."""

    @abstractmethod
    def _claimed(self, key: str) -> str: ...

    @abstractmethod
    def _claim(self, key: str, claim: str) -> None: ...

    @abstractmethod
    def _write(self, key: str, state: RunnerState) -> None: ...

    @abstractmethod
    def _newest(self, key: str) -> RunnerState | None: ...


class FolderStore(CheckpointStore):
    """Checkpoints under a folder, which is made at the first save."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, which every machine of a cluster has to see under this path."""
        self.folder, self.location = folder, str(folder)

    def _claimed(self, key: str) -> str:
        path = self.folder / key
        return path.read_text(encoding="ascii") if path.exists() else ""

    def visits(self) -> dict[int, list[int]]:
        """Return by member the visits that states are stored of."""
        return _visits(str(path.relative_to(self.folder)) for path in self.folder.glob("member*/visit*"))

    def remove(self, member: int, visit: int) -> None:
        """Throw a member's states of a visit away."""
        shutil.rmtree(self.folder / f"member{member}" / f"visit{visit}", ignore_errors=True)

    def _claim(self, key: str, claim: str) -> None:
        path = self.folder / key
        partial = path.with_name(f"attempt-{claim.strip().replace(' ', '-')}.partial")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(claim, encoding="ascii")
        partial.replace(path)

    def _write(self, key: str, state: RunnerState) -> None:
        from sp_search.train.checkpoint import save_checkpoint

        save_checkpoint(self.folder / key, state)

    def _newest(self, key: str) -> RunnerState | None:
        from sp_search.train.checkpoint import newest_good

        return newest_good(self.folder / key)


class BucketStore(CheckpointStore):
    """Checkpoints in an object store, named as in a folder; of each the newest two."""

    def __init__(self, bucket: Bucket) -> None:
        """Use what lies below the bucket's address."""
        self.bucket, self.location = bucket, bucket.address

    def _claimed(self, key: str) -> str:
        try:
            return self.bucket.read(key).decode("ascii")
        except FileNotFoundError:
            return ""

    def visits(self) -> dict[int, list[int]]:
        """Return by member the visits that states are stored of."""
        return _visits(name for name in self.bucket.names("") if "/visit" in name)

    def remove(self, member: int, visit: int) -> None:
        """Throw a member's states of a visit away."""
        with suppress(OSError):
            for name in self.bucket.names(f"member{member}/visit{visit}"):
                self.bucket.remove(name)

    def _claim(self, key: str, claim: str) -> None:
        self.bucket.write(key, claim.encode())

    def _write(self, key: str, state: RunnerState) -> None:
        from sp_search.train.checkpoint import KEEP, encoded

        marks, (tensors, mark) = self._marks(key), encoded(state)
        index = int(marks[-1].rpartition("-")[2]) + 1 if marks else 0
        name = f"{key}/state-{index:06d}"
        self.bucket.write(f"{name}.safetensors", tensors)
        self.bucket.write(f"{name}.json", mark)
        for old in [*marks, name][:-KEEP]:
            self.bucket.remove(f"{old}.json")
            self.bucket.remove(f"{old}.safetensors")

    def _newest(self, key: str) -> RunnerState | None:
        from sp_search.train.checkpoint import CorruptCheckpointError, Encoded, decoded

        for name in reversed(self._marks(key)):
            with suppress(CorruptCheckpointError, FileNotFoundError):
                files = Encoded(self.bucket.read(f"{name}.safetensors"), self.bucket.read(f"{name}.json"))
                return decoded(files, f"{self.location}/{name}.json")
        return None

    def _marks(self, key: str) -> list[str]:
        """Return what is marked as complete, oldest first, without `.json`."""
        names = (name.removesuffix(".json") for name in self.bucket.names(key) if name.endswith(".json"))
        return sorted(names, key=lambda name: int(name.rpartition("-")[2]))


def store_at(location: str) -> CheckpointStore:
    """Return the store at a location: an object store's address, or a folder."""
    return BucketStore(Bucket(location)) if is_bucket(location) else FolderStore(Path(location))


def _key(member: int, visit: int, lineages: list[int]) -> str:
    """Return where a state lies; clones make indices with gaps, so the least and the largest name no set."""
    name = "-".join(str(end) for end in (lineages[0], lineages[-1]))
    if lineages != list(range(lineages[0], lineages[-1] + 1)):
        name += "-" + hashlib.sha256(str(lineages).encode()).hexdigest()[:8]
    return f"member{member}/visit{visit}/lineages{name}"


def _visits(names: Iterable[str]) -> dict[int, list[int]]:
    """Return the visits by member of names that begin with `member0/visit0`."""
    found: dict[int, set[int]] = {}
    for name in names:
        member, visit = name.split("/")[:2]
        found.setdefault(int(member.removeprefix("member")), set()).add(int(visit.removeprefix("visit")))
    return {member: sorted(visits) for member, visits in found.items()}


def begin_state(runner: LevelRunner, store: Store, assignment: Assignment) -> RunnerState:
    """Return where a trial takes up its assignment: its newest stored slice, else inherited or fresh weights."""
    stored = _stored_of(store, assignment)
    if stored is not None:
        return stored.state
    donor = assignment.init_from
    if donor is None:
        return runner.begin(assignment, None)
    return runner.begin(assignment, finished_state(runner, store, assignment.member, donor.visit, donor.lineages))


def _stored_of(store: Store, assignment: Assignment) -> Stored | None:
    """Return the newest state of an assignment, whichever attempt stored it.

    A driver that was lost with its last lines may have decided otherwise about the same member, visit and lineages.
    """
    stored = store.newest(assignment.member, assignment.visit, assignment.lineages)
    return stored if stored is not None and _work(stored.assignment) == _work(assignment) else None


def _work(assignment: Assignment) -> str:
    return json.dumps(assignment.model_dump(mode="json", exclude={"attempt"}), sort_keys=True)


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
    stored = _stored_of(store, assignment)
    spent = spent_flops(None if stored is None else stored.state)
    return Parked(member=assignment.member, attempt=assignment.attempt, training_flops=spent)
