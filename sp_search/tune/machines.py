"""The machines of a cluster as they come and go under a study: a new one is asked first (`nodes`), then gets trials.

Ray puts an actor wherever there is room, so every trial names the machines that it may run on; one that joins is named
from the moment on that its answers fit. Looking and asking are done on a thread of their own: the search waits for
nothing. What the search hears of it is a number of slots.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from sp_search.errors import describe
from sp_search.tune.nodes import LOOK_S, alive, survey, unfit

UNSURE_S = 60.0
"""Ray gives a machine up within half a minute, and tells of its trials before."""
AGAIN_S = 60.0
"""A machine that did not fit is asked again after this long: somebody may have mended it."""


class Fit(NamedTuple):
    """How many trials fit side by side, and on which machines; None for any."""

    slots: int
    nodes: tuple[str, ...] | None

    def without(self, gone: str) -> Fit:
        """Return it without a machine that is gone, before anybody has counted anew; without its last one none fits."""
        if self.nodes is None:
            return self
        nodes = tuple(node for node in self.nodes if node != gone)
        return Fit(self.slots if nodes else 0, nodes)


def fitting(machines: Iterable[Mapping[str, float]], cpu: float, gpu: float) -> int:
    """Return how many trials fit side by side into machines with such resources: none is split between two GPUs."""
    slots = 0
    for machine in machines:
        cpus, gpus = (machine.get(name, 0.0) for name in ("CPU", "GPU"))
        fit = [_times(cpus, cpu)] if cpu else []
        if gpu:
            fit += [_times(gpus, gpu) if gpu >= 1 else int(gpus) * _times(1.0, gpu) + _times(gpus % 1.0, gpu)]
        slots += min(fit)
    return slots


def _times(whole: float, part: float) -> int:
    return int(whole / part + 1e-9)


class Machines:
    """Looks after the machines of a cluster, as a context manager, while a connection to it lasts.

    Attributes:
        fit: what fits now.
        unsure_s: how long it may take to hear that a trial was lost with its machine; 0 where nobody looks.
    """

    def __init__(self, storage: str, *, cpu: float, gpu: float, concurrent: int | None) -> None:
        """Know of none yet.

        Args:
            storage: what a new machine has to share: a folder, or an object store's address.
            cpu: CPU cores of a trial.
            gpu: GPUs of a trial.
            concurrent: most trials side by side; None for as many as fit.
        """
        self.fit, self.unsure_s = Fit(0, None), 0.0
        self._storage, self._cpu, self._gpu, self._concurrent = storage, cpu, gpu, concurrent
        self._names: dict[str, str] = {}
        self._left: set[str] = set()
        self._refused: dict[str, float] = {}
        self._news: SimpleQueue[str] = SimpleQueue()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="machines", daemon=True)

    @classmethod
    def fixed(cls, slots: int) -> Machines:
        """Return machines with `slots`, anywhere, which nobody joins or leaves."""
        machines = cls("", cpu=1.0, gpu=0.0, concurrent=None)
        machines.fit = Fit(slots, None)
        return machines

    def begin(self, known: Iterable[str], *, watch: bool) -> None:
        """Count the machines that are `known` to fit, by their ids; `watch` for others, unless nobody else can join."""
        there, known = alive(), set(known)
        self._names = {node["NodeID"]: _name(node) for node in there if node["NodeID"] in known}
        self._count(there)
        if watch:
            self.unsure_s = UNSURE_S
            self._thread.start()
        else:
            self.fit = Fit(self.fit.slots, None)

    def __enter__(self) -> Machines:
        """Return them."""
        return self

    def __exit__(self, *error: object) -> None:
        """Look no more."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def gone(self, node: str) -> bool:
        """Whether a machine has left the cluster."""
        return node in self._left

    def news(self) -> list[str]:
        """Return what happened to the machines since the last call."""
        news = []
        while True:
            try:
                news.append(self._news.get_nowait())
            except Empty:
                return news

    def _look_on(self) -> None:
        failed = ""
        while not self._over.wait(LOOK_S):
            try:
                self._look(alive())
                failed = ""
            except Exception as error:  # of the storage, or a cluster that is going: whatever it is, it is looked again
                said = f"the cluster's machines cannot be looked at: {describe(error).splitlines()[0]}"
                if said != failed:
                    self._news.put(said)
                failed = said

    def _look(self, nodes: list[dict[str, Any]]) -> None:
        self._see_off(nodes)
        now = time.monotonic()
        new = [node for node in nodes if node["NodeID"] not in self._names]
        new = [node for node in new if now >= self._refused.get(node["NodeID"], now)]
        if new:
            self._ask(new)
            self._count(nodes)

    def _see_off(self, nodes: list[dict[str, Any]]) -> None:
        there = {node["NodeID"] for node in nodes}
        for node in [one for one in self._names if one not in there]:
            self._left.add(node)
            self._news.put(f"{self._names.pop(node)} has left")
        self._count(nodes)

    def _ask(self, new: list[dict[str, Any]]) -> None:
        def given_up() -> bool:
            self._see_off(alive())  # a machine that is slow to answer may be waited for while another one leaves
            return self._over.is_set()

        wrong = unfit(survey(self._storage, engine=False, nodes=new, given_up=given_up))
        for node in [] if self._over.is_set() else new:
            name, why = _name(node), wrong.get(node["NodeID"])
            if why is None:
                self._names[node["NodeID"]] = name
                self._news.put(f"{name} has joined, and gets trials")
            elif node["NodeID"] not in self._refused:
                self._news.put(f"{name} has joined, and gets no trial: {why}")
            if why is not None:
                self._refused[node["NodeID"]] = time.monotonic() + AGAIN_S

    def _count(self, nodes: list[dict[str, Any]]) -> None:
        fit = [node for node in nodes if node["NodeID"] in self._names and self._fits(node)]
        slots = fitting((node["Resources"] for node in fit), self._cpu, self._gpu)
        slots = slots if self._concurrent is None else min(slots, self._concurrent)
        self.fit = Fit(slots, tuple(sorted(node["NodeID"] for node in fit)))

    def _fits(self, node: dict[str, Any]) -> bool:
        return fitting([node["Resources"]], self._cpu, self._gpu) > 0


def _name(node: dict[str, Any]) -> str:
    return f"machine {node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
