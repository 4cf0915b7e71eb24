"""Independent calls spread over a Ray cluster: each a task with one CPU core, answers in the order of arrival.

Where a machine has GPUs its cores share them, and calls run on such machines alone: none is measured on another device
than the others.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from math import floor
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError

from sp_search.signals import Signals
from sp_search.study import Cluster
from sp_search.tune.launch import connected

LOOK_S = 1.0
"""How long a signal may wait: an exception that a handler raises does not survive `ray.wait`."""
MOST_SHARING = 16
"""Workers of one GPU at most: each holds some hundred MB of it before it computes anything."""


class Answered(NamedTuple):
    """The answer of one call, or what the machinery said when it lost it."""

    key: str
    answer: Any
    lost: str = ""


def spread(
    function: Callable[..., Any], calls: Mapping[str, tuple[Any, ...]], *, cluster: Cluster, folder: Path
) -> Generator[Answered, None, None]:
    """Call `function` with the arguments of every call on the workers of a cluster.

    Args:
        function: importable on the workers; it catches what its own work may raise. It is told with `gpu` whether the
            worker was given a share of a GPU, the only one that it sees.
        calls: its arguments by key, the dearest first.
        cluster: an address, or what a local one may use.
        folder: what a signal's message names as what goes on.

    Raises:
        StudyError: no cluster answers at the address.
        Interrupted: SIGINT or SIGTERM.
    """
    with connected(cluster), Signals(folder) as signals:
        remote = ray.remote(num_cpus=1, num_gpus=_gpu_share(), max_retries=1)(_told)
        pending = {remote.remote(function, arguments): key for key, arguments in calls.items()}
        while pending:
            done, _ = ray.wait(list(pending), num_returns=1, timeout=LOOK_S)
            if (stopped := signals.interrupted()) is not None:
                raise stopped
            if not done:
                continue
            key = pending.pop(done[0])
            try:
                yield Answered(key, ray.get(done[0]))
            except RayError as error:
                yield Answered(key, None, f"{type(error).__name__}: {str(error).splitlines()[0]}")


def _told(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Call it on a worker; without a share of its own a worker sees every GPU of its machine, and may use none."""
    return function(*arguments, gpu=bool(ray.get_runtime_context().get_accelerator_ids().get("GPU")))


def _gpu_share() -> float:
    """Return the share of a GPU that keeps every core busy where GPUs are scarcest, `MOST_SHARING` of one at most."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    shares = [one["GPU"] / one["CPU"] for one in machines if one.get("GPU") and one.get("CPU")]
    return min(1.0, max(1 / MOST_SHARING, floor(min(shares) * 1e4) / 1e4)) if shares else 0.0  # Ray counts in 1e-4
