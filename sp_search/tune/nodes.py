"""Every machine of a cluster, asked before the first trial: the same versions everywhere, and one storage for all."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray import cloudpickle
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import sp_search.machine
from sp_search.errors import Interrupted, StorageError, StudyError
from sp_search.health import Finding, Machine, differences
from sp_search.machine import answered, facts, marked

PATIENCE_S = 120.0
"""How long a machine may take to answer: it starts a process, and imports torch where GPUs are asked for."""
JOIN_PATIENCE_S = 600.0
LOOK_S = 1.0


def wait_for(
    wanted: int | None, interrupted: Callable[[], Interrupted | None], patience_s: float = JOIN_PATIENCE_S
) -> None:
    """Wait until a cluster has `wanted` machines (None: whatever it has).

    Raises:
        StudyError: they do not come.
        Interrupted: a signal came first.
    """
    until, said = time.monotonic() + patience_s, 0
    while wanted is not None and (there := len(_alive())) < wanted:
        if (stopped := interrupted()) is not None:
            raise stopped
        if time.monotonic() > until:
            raise StudyError([f"nodes: {there} of {wanted} machines have joined the cluster after {patience_s:.0f} s"])
        if there != said:
            said = there
            sys.stderr.write(f"waiting for machines: {there} of {wanted}\n")
        time.sleep(LOOK_S)


def require_alike(folder: Path | None) -> None:
    """Refuse a cluster whose machines differ from this one, or do not all share `folder` (None: nothing is shared).

    A cluster of this machine alone is alike.

    Raises:
        StudyError: names every machine, what it has and what was wanted.
        StorageError: a machine does not see or cannot write the folder.
    """
    own = ray.get_runtime_context().get_node_id()
    if all(node["NodeID"] == own for node in _alive()):
        return
    try:
        found = survey(folder, engine=False)
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {error}. Make room or mend it, then resume") from error
    problems = [f"node {one.machine}: {one.said}" for one in found.silent]
    problems += [
        f"node {one.name}: {'; '.join(wrong)}" for one in found.nodes if (wrong := differences(found.here, one))
    ]
    if problems:
        raise StudyError([*problems, "every machine needs what the driver has: start them all from one image"])
    unshared = [f"node {one.name} {one.storage}" for one in found.nodes if one.storage]
    if unshared:
        advice = "Give --output in a folder that all machines share, or storage: s3://BUCKET/PREFIX in the cluster file"
        raise StorageError(f"{folder} is not shared: {'; '.join(unshared)}. {advice}")


class Survey(NamedTuple):
    """What this machine and every other of a cluster said, and a finding for each that said nothing."""

    here: Machine
    nodes: list[Machine]
    silent: list[Finding]


def survey(folder: Path | None, *, engine: bool) -> Survey:
    """Ask every machine of the cluster what it is like.

    Args:
        folder: put to the test on every machine: each reads what this one wrote, and answers; None shares nothing.
        engine: ask torch for its GPUs.
    """
    place, asked = str(folder or Path.cwd()), time.time()
    with marked(folder) as mark:
        cloudpickle.register_pickle_by_value(sp_search.machine)  # type: ignore[no-untyped-call]  # the other machine's own sp_search may lack it
        try:
            nodes = {_ask(node, place, mark, engine): node for node in _alive()}
        finally:
            cloudpickle.unregister_pickle_by_value(sp_search.machine)  # type: ignore[no-untyped-call]
        ready, late = ray.wait(list(nodes), num_returns=len(nodes), timeout=PATIENCE_S)
        silent = [_silent(nodes[one], f"no answer in {PATIENCE_S:.0f} s") for one in late]
        machines = []
        for one in ready:
            try:
                machine = _machine(ray.get(one), nodes[one], asked)
            except RayError as error:
                silent.append(_silent(nodes[one], str(error).strip().splitlines()[-1]))
                continue
            unseen = folder is not None and not machine.storage and not answered(folder, machine.answer)
            update = {"storage": "writes what the driver does not see"} if unseen else {}
            machines.append(machine.model_copy(update=update))
    return Survey(Machine.model_validate(facts(place, engine=engine)), machines, silent)


def _alive() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _ask(node: dict[str, Any], place: str, mark: str | None, engine: bool) -> Any:
    there = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
    remote = ray.remote(num_cpus=0, max_retries=0)(facts)
    return remote.options(scheduling_strategy=there).remote(place, mark, engine=engine)


def _machine(said: dict[str, Any], node: dict[str, Any], asked: float) -> Machine:
    """Return a machine with what Ray knows of it; its clock is wrong by what it lies outside question and answer."""
    clock, answered = said["clock"], time.time()
    extra = {
        "address": node["NodeManagerAddress"],
        "clock_skew_s": min(clock - asked, 0.0) + max(clock - answered, 0.0),
        "promised_gpus": node["Resources"].get("GPU", 0.0),
        "object_store_bytes": node["Resources"].get("object_store_memory"),
    }
    return Machine.model_validate({**said, **extra})


def _silent(node: dict[str, Any], said: str) -> Finding:
    name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
    mend = "look at its logs (ray logs), and start it again"
    return Finding(check="answers", machine=name, verdict="fail", said=said, mend=mend)
