"""One Tune trial: one member with its lineages, a slice at a time, the first and the last stored before they are told.

The trial carries nothing of its own. Its assignment comes with the configuration, its state from the study's hashed
checkpoints, so a reused actor, a new one on another node and a restarted study all take up the same slice. Tune
therefore keeps no checkpoint of it.
"""

from __future__ import annotations

import importlib
import resource
import sys
import time
from typing import Any, NamedTuple

import ray
from ray.tune import PlacementGroupFactory, Trainable

from sp_search.errors import StorageError, describe
from sp_search.events import MemberFailed
from sp_search.plan import build_runner
from sp_search.records import Assignment, LevelRunner, Measured, Record, RunnerState, Usage
from sp_search.store import CheckpointStore, Claim, Stored, begin_state, spent_flops, store_at
from sp_search.study import Study

STORE_S = 1.0
"""A slice that ends sooner after one that was stored is not, unless it ends its level: a save waits for the disk.
A trial that dies runs what is missing again, bit for bit."""


class RunnerRecipe(Record):
    """How an actor builds its runner: an importable function, called with `arguments` and the device it was given.

    Made by the library's own code, never read from a study's file.
    """

    factory: str
    arguments: dict[str, Any]

    @classmethod
    def of_study(cls, study: Study) -> RunnerRecipe:
        """Return the recipe of the runner that trains the study's members."""
        return cls(factory="sp_search.tune.actor:study_runner", arguments={"study": study.resolved()})

    def build(self, device: str) -> LevelRunner:
        """Import the function and call it."""
        module, function = self.factory.split(":")
        runner: LevelRunner = getattr(importlib.import_module(module), function)(device=device, **self.arguments)
        return runner


def study_runner(study: dict[str, Any], device: str) -> LevelRunner:
    """Return the runner of a resolved study."""
    return build_runner(Study.model_validate(study), device)


NODE_LABEL = "ray.io/node-id"
"""Every machine has it by itself (Ray's reference on labels)."""


class Fence:
    """Keeps a trial that outlived its driver from writing: a member's checkpoints belong to its newest claim.

    After a driver was killed its trials go on for seconds. What they store is what the new attempt would store, so only
    a late writer does harm, that puts an early slice over the level's last one; it finds a newer number here and ends.
    """

    def __init__(self, store: CheckpointStore, assignment: Assignment, driver: int = 0) -> None:
        """Speak for the assignment's attempt, and the driver that issued it."""
        self.store, self.member, self.own = store, assignment.member, Claim(driver, assignment.attempt)

    def claim(self) -> None:
        """Write down this attempt, unless a newer one did.

        Raises:
            StorageError: a newer attempt has begun, or the storage refuses.
        """
        self.check()
        self.store.claim(self.member, self.own)

    def check(self) -> None:
        """Refuse to go on when a newer attempt has begun.

        Raises:
            StorageError: this trial was superseded.
        """
        if (newest := self.store.claimed(self.member)) > self.own:
            by = f"attempt {newest.attempt}" if newest.driver == self.own.driver else "another driver"
            raise StorageError(f"attempt {self.own.attempt} was superseded by {by}")


class Clocks(NamedTuple):
    """Seconds by the wall and of this process's threads, when it took an assignment up."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Clocks:
        """Read both."""
        return cls(time.monotonic(), time.process_time())

    def usage(self) -> Usage:
        """Return what this process used since, and its peaks."""
        kilo = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes
        torch, now = sys.modules.get("torch"), Clocks.now()
        on_gpu = torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized()
        return Usage(
            wall_seconds=round(now.wall - self.wall, 3),
            cpu_seconds=round(now.cpu - self.cpu, 3),
            peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilo,
            peak_gpu_memory_bytes=torch.cuda.max_memory_allocated() if on_gpu and torch is not None else None,
        )


def configuration(assignment: Assignment) -> dict[str, Any]:
    """Return the part of a trial's configuration that its assignment makes: text, as Tune copies it value by value."""
    return {
        "member": assignment.member,
        "attempt": assignment.attempt,
        "assignment": assignment.model_dump_json(),
    }


class LevelTrainable(Trainable):
    """Runs assignments. What the member's own code raises is reported as its failure; a full disk stops the driver."""

    _recipe: str | None = None
    _runner: LevelRunner | None = None

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> PlacementGroupFactory:
        """Return what one trial gets, and on which machines, where it names some."""
        wanted = {"CPU": config["cpu"], "GPU": config["gpu"]}
        bundles = [{name: amount for name, amount in wanted.items() if amount}]
        if not config.get("nodes"):
            return PlacementGroupFactory(bundles)
        where = [{NODE_LABEL: f"in({config['nodes']})"}]
        return PlacementGroupFactory(bundles, bundle_label_selector=where)

    def setup(self, config: dict[str, Any]) -> None:
        """Take up an assignment. A runner carries no state between assignments, so a reused actor keeps it."""
        if config["recipe"] != self._recipe:
            self._recipe, self._runner = config["recipe"], None
        self._assignment = Assignment.model_validate_json(config["assignment"])
        self._store = store_at(config["checkpoints"])
        self._fence = Fence(self._store, self._assignment, config["driver"])
        self._threads = max(1, int(config["cpu"]))
        self._state: RunnerState | None = None
        self._began = Clocks.now()
        self._store_s, self._stored = config["store_s"], float("-inf")

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take up another assignment in the same process."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Run one slice, store it if it is time, and say what came of it."""
        assignment = self._assignment
        node = ray.get_runtime_context().get_node_id()
        report: dict[str, Any] = {"member": assignment.member, "attempt": assignment.attempt, "node": node}
        try:
            measured = self._slice()
        except StorageError as error:
            return {**report, "storage": str(error)}
        except Exception as error:  # a member's own code may raise anything; the ledger and the report carry it
            return {**report, "failed": describe(error), "training_flops": spent_flops(self._state)}
        report["training_flops"] = spent_flops(self._state)
        if measured is not None:
            # A slice stored by an earlier attempt carries that attempt's number.
            said = {"attempt": assignment.attempt, "usage": self._began.usage()}
            report["measured"] = measured.model_copy(update=said).model_dump_json()
        return report

    def _slice(self) -> Measured | None:
        assert self._recipe is not None
        if self._runner is None:
            self._runner = RunnerRecipe.model_validate_json(self._recipe).build(_device())
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(self._threads)
        if self._state is None:
            self._fence.claim()
            self._state = begin_state(self._runner, self._store, self._assignment)
        self._state, measured = self._runner.step(self._assignment, self._state)
        if measured is not None or time.monotonic() - self._stored >= self._store_s:
            self._fence.check()
            self._store.save(Stored(self._assignment, self._state, finished=measured is not None))
            self._stored = time.monotonic()
        return measured


def event_of(report: dict[str, Any]) -> Measured | MemberFailed | None:
    """Return what a slice's report means to the search: nothing, while its level is not over.

    Raises:
        StorageError: the slice could not be stored.
    """
    if "storage" in report:
        raise StorageError(report["storage"])
    if "failed" in report:
        return MemberFailed(
            member=report["member"],
            attempt=report["attempt"],
            reason=report["failed"],
            training_flops=report["training_flops"],
        )
    return Measured.model_validate_json(report["measured"]) if "measured" in report else None


def _device() -> str:
    """Return the device that Ray gave: its share of a GPU has made the others invisible to this process."""
    return "cuda" if ray.get_runtime_context().get_accelerator_ids().get("GPU") else "cpu"
