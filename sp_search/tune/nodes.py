"""Every machine of a cluster, asked before it gets a trial: the same versions everywhere, and one storage for all."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray import cloudpickle
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import sp_search.bucket
import sp_search.machine
from sp_search.errors import Interrupted, StorageError, StudyError
from sp_search.health import Finding, Machine, differences, storage_mend
from sp_search.machine import answered, facts, marked

PATIENCE_S = 120.0
"""How long a machine may take to answer: it starts a process, and imports torch where GPUs are asked for."""
JOIN_PATIENCE_S = 600.0
LOOK_S = 1.0
TRAVELLING = (sp_search.bucket, sp_search.machine)
"""Modules of which the other machine's own sp_search may have another version, or none."""


def wait_for(
    wanted: int | None, interrupted: Callable[[], Interrupted | None], patience_s: float = JOIN_PATIENCE_S
) -> None:
    """Wait until a cluster has `wanted` machines (None: whatever it has).

    Raises:
        StudyError: they do not come.
        Interrupted: a signal came first.
    """
    until, said = time.monotonic() + patience_s, 0
    while wanted is not None and (there := len(alive())) < wanted:
        if (stopped := interrupted()) is not None:
            raise stopped
        if time.monotonic() > until:
            joined = f"{there} of {wanted} machines have joined the cluster after {patience_s:.0f} s"
            raise StudyError([f"nodes: {joined}: start more, or ask for fewer"])
        if there != said:
            said = there
            sys.stderr.write(f"waiting for machines: {there} of {wanted}\n")
        time.sleep(LOOK_S)


def require_alike(storage: str) -> list[str]:
    """Refuse a cluster whose machines differ from this one, or do not all share `storage`; return the machines.

    A cluster of this machine alone is alike.

    Args:
        storage: a folder, or an object store's address.

    Raises:
        StudyError: names every machine, what it has and what was wanted.
        StorageError: a machine does not see or cannot write the storage.
    """
    own, nodes = ray.get_runtime_context().get_node_id(), alive()
    if all(node["NodeID"] == own for node in nodes):
        return [own]
    try:
        found = survey(storage, engine=False, nodes=nodes)
    except OSError as error:
        raise StorageError(f"{storage} cannot be written: {error}. Make room or mend it, then resume") from error
    differ = {**{node: one.said for node, one in found.silent.items()}, **different(found)}
    if differ:
        problems = [f"node {found.name(node)}: {said}" for node, said in differ.items()]
        raise StudyError([*problems, "every machine needs what the driver has: start them all from one image"])
    unshared = [f"node {one.name} {one.storage}" for one in found.nodes.values() if one.storage]
    if unshared:
        advice = "Give --output in a folder that all machines share, or storage: s3://BUCKET/PREFIX in the cluster file"
        if sp_search.bucket.is_bucket(storage):
            advice = f"On every machine: {storage_mend(storage, unshared[0])}"
        raise StorageError(f"{storage} is not shared: {'; '.join(unshared)}. {advice}")
    return list(found.nodes)


class Survey(NamedTuple):
    """What this machine and others of a cluster said, by their ids, and a finding for each that said nothing."""

    here: Machine
    nodes: dict[str, Machine]
    silent: dict[str, Finding]

    def name(self, node: str) -> str:
        """Return what a machine is called."""
        return self.nodes[node].name if node in self.nodes else self.silent[node].machine


def different(found: Survey) -> dict[str, str]:
    """Return by machine in what it differs from this one, of those that do."""
    said = {node: differences(found.here, one) for node, one in found.nodes.items()}
    return {node: "; ".join(wrong) for node, wrong in said.items() if wrong}


def unfit(found: Survey) -> dict[str, str]:
    """Return by machine why it can be given no trial, of those that cannot."""
    silent = {node: one.said for node, one in found.silent.items()}
    unshared = {node: f"storage: {one.storage}" for node, one in found.nodes.items() if one.storage}
    return {**silent, **unshared, **different(found)}


def survey(
    storage: str | None,
    *,
    engine: bool,
    nodes: Iterable[dict[str, Any]] | None = None,
    given_up: Callable[[], bool] = lambda: False,
) -> Survey:
    """Ask machines of the cluster what they are like.

    Args:
        storage: put to the test on every machine: each reads what this one wrote, and answers; None shares nothing.
        engine: ask torch for its GPUs.
        nodes: whom, as Ray lists them; None asks all that are alive.
        given_up: whether nobody waits for the answers any more.

    Raises:
        OSError: this machine cannot write to the storage.
    """
    place, asked = storage or str(Path.cwd()), time.time()
    with marked(storage) as mark:
        for module in TRAVELLING:
            cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]
        try:
            calls = {_ask(node, place, mark, engine): node for node in (alive() if nodes is None else nodes)}
        finally:
            for module in TRAVELLING:
                cloudpickle.unregister_pickle_by_value(module)  # type: ignore[no-untyped-call]
        late, until = list(calls), time.monotonic() + PATIENCE_S
        while late and time.monotonic() < until and not given_up():
            _, late = ray.wait(late, num_returns=len(late), timeout=LOOK_S)
        silent = {calls[one]["NodeID"]: _silent(calls[one], f"no answer in {PATIENCE_S:.0f} s") for one in late}
        machines = {}
        for one in (call for call in calls if call not in late):
            node = calls[one]["NodeID"]
            try:
                machine = _machine(ray.get(one), calls[one], asked)
            except RayError as error:
                said = str(error).strip() or type(error).__name__
                silent[node] = _silent(calls[one], said.splitlines()[-1])
                continue
            unseen = storage is not None and not machine.storage and not answered(storage, machine.answer)
            update = {"storage": "writes what the driver does not see"} if unseen else {}
            machines[node] = machine.model_copy(update=update)
    return Survey(Machine.model_validate(facts(place, engine=engine)), machines, silent)


def alive() -> list[dict[str, Any]]:
    """Return the machines of the cluster that Ray has not given up, as Ray lists them."""
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _ask(node: dict[str, Any], place: str, mark: str | None, engine: bool) -> Any:
    there = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
    remote = ray.remote(num_cpus=0, max_retries=0)(facts)
    return remote.options(scheduling_strategy=there).remote(place, mark, engine=engine)


def _machine(said: dict[str, Any], node: dict[str, Any], asked: float) -> Machine:
    """Return a machine with what Ray knows of it; its clock is wrong by what it lies outside question and answer."""
    clock, heard = said["clock"], time.time()
    extra = {
        "address": node["NodeManagerAddress"],
        "clock_skew_s": min(clock - asked, 0.0) + max(clock - heard, 0.0),
        "promised_gpus": node["Resources"].get("GPU", 0.0),
        "object_store_bytes": node["Resources"].get("object_store_memory"),
    }
    return Machine.model_validate({**said, **extra})


def _silent(node: dict[str, Any], said: str) -> Finding:
    name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
    mend = "look at its logs (ray logs), and start it again"
    return Finding(check="answers", machine=name, verdict="fail", said=said, mend=mend)
