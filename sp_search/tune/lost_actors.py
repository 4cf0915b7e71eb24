"""Every way in which Ray can lose an actor ends its trial, and no more than that.

Ray tells some ends by errors that are no `RayActorError`: its memory monitor ended the worker, or the node died. Tune
2.60 knows no other kind where a slice was running (`RayActorManager._actor_task_failed`), and would end the driver.
Here they are told in the words that Tune knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ray.air.execution._internal import RayActorManager
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, RayError, RayTaskError
from ray.tune.execution import tune_controller

DIED = "its worker died"
LOW_MEMORY = "its worker was ended: its machine ran low on memory"
LEFT = "its machine left the cluster"
REASON: ContextVar[str] = ContextVar("REASON", default=DIED)
"""Why the trial is lost of which Tune tells the scheduler now."""
NODE: ContextVar[str] = ContextVar("NODE", default="")
"""Which machine it was lost with, as Ray names it, if Ray says so."""
_NODE_DIED = re.compile(r"node has died.*?Node Id: ([0-9a-f]+)", re.DOTALL)


class Actors(RayActorManager):
    """Tune's actors, lost in whatever way."""

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        with _because_of(exception):
            if isinstance(exception, RayError) and not isinstance(exception, RayActorError | RayTaskError):
                exception = RayActorError(error_msg=str(exception))
            super()._actor_task_failed(tracked_actor_task, exception)

    def _actor_start_failed(self, tracked_actor: Any, exception: Exception) -> None:
        with _because_of(exception):
            super()._actor_start_failed(tracked_actor, exception)


@contextmanager
def survived() -> Iterator[None]:
    """Let Tune survive every such end."""
    tune_controller.RayActorManager = Actors  # type: ignore[attr-defined]  # whose name it takes from there
    try:
        yield
    finally:
        tune_controller.RayActorManager = RayActorManager  # type: ignore[attr-defined]


@contextmanager
def _because_of(exception: Exception) -> Iterator[None]:
    node = _NODE_DIED.search(str(exception))
    left = node is not None or isinstance(exception, NodeDiedError)
    reason = LOW_MEMORY if isinstance(exception, OutOfMemoryError) else LEFT if left else DIED
    before, without = REASON.set(reason), NODE.set(node[1] if node else "")
    try:
        yield
    finally:
        REASON.reset(before)
        NODE.reset(without)
