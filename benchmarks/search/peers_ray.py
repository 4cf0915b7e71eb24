"""Ray's own ASHA and HyperBand classes as peers, fed with Ray's own trials; only the controller is a stand-in.

The resource is training FLOPs: a rung is so many units, one being what the cheapest configuration costs in all, and a
configuration has finished when it has had its own price. Or it is the share of a configuration's own training, so that
all finish alike, at 64 units. `scalar`: the metric is compute over the largest where a lineage passed, else
1 + shortfall. `cheapest`: the metric is the shortfall alone, blind to compute. Either way the claim is the cheapest
configuration that passed. Configurations are drawn at random below the standing claim, when they start; as in Tune,
trials wait ahead of their turn, so that HyperBand's brackets are full.
"""

from __future__ import annotations

import math
import random
from typing import Any, Literal

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, HyperBandScheduler, TrialScheduler

from benchmarks.search.race import Job, Outcome
from benchmarks.search.worlds import Config, World

Reading = Literal["scalar", "cheapest"]
Resource = Literal["FLOPs", "share"]
SHARES = 64
"""Units into which a configuration's own training is divided."""
WAITING = 100
"""Trials ahead of their turn, which fill HyperBand's brackets; ASHA takes them as they come."""
WORST = 2.0
"""The metric of a configuration that was not run: no better than one that misses by everything."""


class RayPeer:
    """A scheduler of Ray, its trials, and as much of a controller as it asks for."""

    search_alg = None

    def __init__(
        self, world: World, seed: int, scheduler: Any, eta: int, top: int, reading: Reading, resource: Resource
    ) -> None:
        self.world, self.scheduler, self.reading, self.resource = world, scheduler, reading, resource
        self.waiting = WAITING if isinstance(scheduler, HyperBandScheduler) else 1
        self.rng = random.Random(f"ray {seed}")  # noqa: S311
        self.rungs = [float(eta**power) for power in range(round(math.log(top, eta)) + 1)]
        self.trials: list[Trial] = []
        self.configs: dict[str, Config] = {}
        self.had: dict[str, float] = {}
        self.open: dict[int, Trial] = {}
        self.going: list[Trial] = []
        self.added = 0

    def get_trials(self) -> list[Trial]:
        """Return the trials that still wait or run, as a scheduler asks its controller."""
        return self.trials

    def stop_trial(self, trial: Trial) -> None:
        """End a trial that waits, as the scheduler asks its controller."""
        self._end(trial)
        self.scheduler.on_trial_remove(self, trial)

    def _end(self, trial: Trial) -> None:
        trial.set_status(Trial.TERMINATED)
        self.trials.remove(trial)

    def _add(self) -> None:
        trial = Trial("benchmark", trial_id=f"{self.added:06d}", stub=True)
        self.added += 1
        self.trials.append(trial)
        self.scheduler.on_trial_add(self, trial)

    def ask(self, below: float) -> Job | None:
        """Return the next stretch, to the next rung or the end, of the trial that the scheduler wants to run."""
        if self.going:
            return self._stretch(self.going.pop(0))
        while sum(trial.status == Trial.PENDING for trial in self.trials) < self.waiting:
            self._add()
        trial = self.scheduler.choose_trial_to_run(self)
        if trial is None:
            return None
        if trial.trial_id not in self.configs:
            self.configs[trial.trial_id] = self.world.draw(self.rng, below)
        trial.set_status(Trial.RUNNING)
        return self._stretch(trial)

    def _stretch(self, trial: Trial) -> Job:
        config, had = self.configs[trial.trial_id], self.had.get(trial.trial_id, 0.0)
        price = self.rungs[-1] if self.resource == "share" else self.world.price(config, 0) / self.world.prices[0]
        until = next((rung for rung in self.rungs if rung > had + 1e-9), price)
        until = price if until >= price * (1 - 1e-9) else until
        job = Job(config, begin=had / price, end=1.0 if until == price else until / price, lineage=int(trial.trial_id))
        self.had[trial.trial_id] = until
        self.open[id(job)] = trial
        return job

    def tell(self, job: Job, outcome: Outcome) -> None:
        """Report the stretch to the scheduler, and do what it says."""
        trial = self.open.pop(id(job))
        result = {"resource": self.had[trial.trial_id], "metric": self._metric(job, outcome)}
        if outcome.skipped or job.end == 1.0:
            self._end(trial)
            self.scheduler.on_trial_complete(self, trial, result)
            return
        decision = self.scheduler.on_trial_result(self, trial, result)
        if decision == TrialScheduler.STOP:
            self._end(trial)
            self.scheduler.on_trial_complete(self, trial, result)
        elif decision == TrialScheduler.PAUSE:
            trial.set_status(Trial.PAUSED)
        else:
            self.going.append(trial)

    def _metric(self, job: Job, outcome: Outcome) -> float:
        if outcome.skipped:
            return WORST
        if self.reading == "cheapest":
            return outcome.shortfall
        return self.world.compute(job.config) / self.world.bounds[1] if outcome.passed else 1 + outcome.shortfall


def _top(world: World, eta: int, resource: Resource) -> int:
    """Return the most units that a configuration may need, as a power of eta, which makes rungs whole numbers."""
    low, high = world.prices
    return int(eta ** max(1, math.ceil(math.log(SHARES if resource == "share" else high / low, eta) - 1e-9)))


def asha(world: World, seed: int, reading: Reading = "scalar", eta: int = 4, resource: Resource = "FLOPs") -> RayPeer:
    """Return Ray's ASHA: it stops a trial at a rung where it is not among the best share of 1 / eta so far."""
    top = _top(world, eta, resource)
    scheduler = ASHAScheduler(
        time_attr="resource", metric="metric", mode="min", max_t=top, grace_period=1, reduction_factor=eta
    )
    return RayPeer(world, seed, scheduler, eta, top, reading, resource)


def hyperband(
    world: World, seed: int, reading: Reading = "scalar", eta: int = 4, resource: Resource = "FLOPs"
) -> RayPeer:
    """Return Ray's HyperBand: brackets of trials that wait for each other at every rung."""
    top = _top(world, eta, resource)
    scheduler = HyperBandScheduler(time_attr="resource", metric="metric", mode="min", max_t=top, reduction_factor=eta)
    return RayPeer(world, seed, scheduler, eta, top, reading, resource)
