"""Independent calls spread over a Ray cluster: each a task with one CPU core, answers in the order of arrival."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError

from sp_search.study import Cluster
from sp_search.tune.launch import Signals, connected

LOOK_S = 1.0
"""How long a signal may wait: an exception that a handler raises does not survive `ray.wait`."""


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
        function: importable on the workers; it catches what its own work may raise.
        calls: its arguments by key, the dearest first.
        cluster: an address, or what a local one may use.
        folder: what a signal's message names as what goes on.

    Raises:
        StudyError: no cluster answers at the address.
        Interrupted: SIGINT or SIGTERM.
    """
    with connected(cluster), Signals(folder) as signals:
        remote = ray.remote(num_cpus=1, max_retries=1)(function)
        pending = {remote.remote(*arguments): key for key, arguments in calls.items()}
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
