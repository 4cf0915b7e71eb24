"""Optuna's samplers as peers, by ask and tell: a budget is one log-uniform float, a configuration a choice of each.

`constraint`: minimise compute subject to `set_constraint(shortfall <= 0)`. `penalty`: minimise compute as a share of
the largest, from 0 to 1, where a lineage passes, else 1 + shortfall. `pareto`: minimise compute and shortfall. With
`log`, compute enters by its logarithm. What was not run since something cheaper had passed is told as passing where
passing is monotone in compute, so that the sampler learns from what costs nothing; elsewhere as pruned, or by `avoid`
as missing by everything.
"""

from __future__ import annotations

import math
import warnings
from typing import Literal

import optuna

from benchmarks.search.race import Job, Outcome
from benchmarks.search.worlds import World

Objective = Literal["constraint", "penalty", "pareto"]
GAUSSIAN_TRIALS = 15

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


class OptunaPeer:
    """A study of Optuna that is asked and told."""

    def __init__(
        self,
        world: World,
        sampler: optuna.samplers.BaseSampler,
        objective: Objective,
        *,
        log: bool = True,
        trials: int = 500,
        avoid: bool = False,
    ) -> None:
        directions = ["minimize"] * (2 if objective == "pareto" else 1)
        self.study = optuna.create_study(sampler=sampler, directions=directions)
        self.world, self.objective, self.log, self.left, self.avoid = world, objective, log, trials, avoid
        self.open: dict[int, optuna.Trial] = {}

    def ask(self, below: float) -> Job | None:
        """Return Optuna's next proposal, whatever `below` is: the sampler is not asked to know better."""
        if not self.left:
            return None
        self.left -= 1
        trial = self.study.ask()
        if self.world.choices:
            config = {name: trial.suggest_categorical(name, values) for name, values in self.world.choices.items()}
        else:
            config = {"budget": trial.suggest_float("budget", *self.world.bounds, log=True)}
        job = Job(config)
        self.open[id(job)] = trial
        return job

    def tell(self, job: Job, outcome: Outcome) -> None:
        """Tell the study the job's values."""
        trial = self.open.pop(id(job))
        if outcome.skipped and not self.world.monotone and not self.avoid:
            self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return
        shortfall = 0.0 if outcome.skipped and self.world.monotone else outcome.shortfall
        compute = self._share(self.world.compute(job.config))
        if self.objective == "constraint":
            trial.set_constraint("shortfall", shortfall)
        values = {
            "constraint": [compute],
            "penalty": [1 + shortfall if shortfall else compute],
            "pareto": [compute, shortfall],
        }[self.objective]
        self.study.tell(trial, values)

    def _share(self, compute: float) -> float:
        low, high = self.world.bounds
        return math.log(compute / low) / math.log(high / low) if self.log else compute / high


def tpe(world: World, seed: int, objective: Objective = "constraint", avoid: bool = False) -> OptunaPeer:
    """Return Optuna's default sampler, as version 5 sets it up."""
    return OptunaPeer(world, optuna.samplers.TPESampler(seed=seed), objective, avoid=avoid)


def nsga2(world: World, seed: int, objective: Objective = "pareto", population: int = 50) -> OptunaPeer:
    """Return the genetic sampler; its default population of 50 is more trials than most threshold searches can pay."""
    sampler = optuna.samplers.NSGAIISampler(seed=seed, population_size=population)
    return OptunaPeer(world, sampler, objective)


def gaussian_process(world: World, seed: int, objective: Objective = "constraint", log: bool = True) -> OptunaPeer:
    """Return the Gaussian process sampler; a trial takes it a tenth of a second and more, so it is asked for few."""
    sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=5)
    return OptunaPeer(world, sampler, objective, log=log, trials=GAUSSIAN_TRIALS)
