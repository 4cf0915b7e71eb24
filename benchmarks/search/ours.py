"""sp_search itself: a budget scheduler driven by the package's own simulator, and its ledger read as claims.

In worlds of configurations a proposer chooses them: at random, or by Optuna's TPE, under the cap that the search asks
for, which falls with every program that passes. What does not fit is never run.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Literal

import optuna

from benchmarks.search.race import Claim, Run
from benchmarks.search.worlds import Budgets, Config, Rare, World
from sp_search.drive.simulated import SimulationResult, Stragglers, simulate
from sp_search.events import Propose, Proposed
from sp_search.levels import Terms
from sp_search.records import Budget, LevelReport
from sp_search.schedulers.base import BudgetScheduler

MOST_ATTEMPTS = 100_000
"""Attempts whose loss is drawn ahead."""
MOST_ASKS = 500
"""Asks of a sampler in one search, as many as a peer has; then configurations are drawn at random below the cap."""


def searched(
    scheduler: BudgetScheduler,
    world: World,
    seed: int,
    *,
    workers: int = 1,
    crash_rate: float = 0.0,
    members: int = 5,
    quorum: bool = True,
    lineages_to_fail: int = 5,
    proposer: Proposals | None = None,
    stragglers: float = 0.0,
) -> Run:
    """Return what `scheduler` claims in `world`, as far as the purse reaches.

    `stragglers`: the share of trainings that take ten times as long as they cost.
    """
    rng = random.Random(f"crash {seed}")  # noqa: S311
    lost = frozenset(at for at in range(MOST_ATTEMPTS) if rng.random() < crash_rate) if crash_rate else frozenset()
    milestone = world.milestone if isinstance(world, Budgets) else 1.0
    terms = Terms(seed=seed, milestones=[milestone], quorum=quorum, lineages_to_fail=lineages_to_fail)
    oracle: Any = world.oracle  # type: ignore[attr-defined]
    result = simulate(
        scheduler, oracle, workers=workers, seed=seed, members=members, terms=terms, lose=lost,
        proposer=proposer, stragglers=Stragglers(share=stragglers, factor=10.0),
    )  # fmt: skip
    return Run(
        claims=[claim for claim in _claims(result, world) if claim.spent <= world.purse],
        spent=min(result.search_cost, world.purse),
        time=result.virtual_time,
        busy=result.utilisation * result.virtual_time * workers,
        jobs=result.trials,
        stopped=result.search_cost <= world.purse,
    )


def _claims(result: SimulationResult, world: World) -> list[Claim]:
    """Return the programs that the search held for the cheapest, as it found them."""
    programs = _verified(result)
    found = []
    for time, spent, cap in result.curve:
        config, seed = programs[cap]
        found.append(Claim(spent, time, cap, world.passes(config, seed), world.rate(config)))
    return found


def _verified(result: SimulationResult) -> dict[float, tuple[Config, int]]:
    """Return by cap the configuration and seed of the first program that the search verified there."""
    assigned: dict[int, dict[str, Any]] = {}
    programs: dict[float, tuple[Config, int]] = {}
    for entry in result.events:
        for report in entry["judged"]:
            assignment = assigned[report["member"]]
            cap = assignment["budget"]["cap"]
            for lineage in report["lineages"]:
                if lineage["passed"]:
                    programs.setdefault(cap, (assignment["config"] or {"budget": cap}, lineage["seed"]))
        for action in entry["actions"]:
            if "assignment" in action:
                assigned[action["assignment"]["member"]] = action["assignment"]
    return programs


@dataclass
class Proposals:
    """Configurations for a search without listed members, each below the cap it is asked for."""

    world: Rare
    seed: int
    sampler: Literal["random", "tpe", "nsga2"] = "random"
    avoid: bool = False
    asks: int = 8
    left: int = MOST_ASKS
    study: optuna.Study = field(init=False)
    trials: dict[int, optuna.Trial] = field(default_factory=dict)
    configs: dict[int, Config] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = random.Random(f"proposals {self.seed}")  # noqa: S311
        kinds = {"tpe": optuna.samplers.TPESampler, "nsga2": optuna.samplers.NSGAIISampler}
        sampler = kinds.get(self.sampler, optuna.samplers.RandomSampler)(seed=self.seed)
        self.study = optuna.create_study(sampler=sampler)

    def propose(self, request: Propose) -> Proposed:
        """Return what the sampler says, or after `asks` answers that do not fit, one at random that does."""
        config = None if self.sampler == "random" else self._asked(request)
        config = config or self.world.draw(self.rng, request.cap)
        compute = self.world.compute(config)
        if compute > request.cap:
            return Proposed(member=request.member, visit=request.visit)
        self.configs[request.member] = config
        budget = Budget(kind="max", measure="flops", cap=compute)
        return Proposed(member=request.member, visit=request.visit, config=config, budget=budget)

    def _asked(self, request: Propose) -> Config | None:
        for _ in range(min(self.asks, self.left)):
            self.left -= 1
            trial = self.study.ask()
            config = {name: trial.suggest_categorical(name, values) for name, values in self.world.choices.items()}
            if self.world.compute(config) <= request.cap:
                self.trials[request.member] = trial
                return config
            self._unfit(trial, config)
        return None

    def _unfit(self, trial: optuna.Trial, config: Config) -> None:
        """End a trial above the cap: as failed, as the package's own proposer does, or as missing by everything."""
        if self.avoid:
            trial.set_constraint("shortfall", 1.0)
            self.study.tell(trial, self.world.compute(config) / self.world.bounds[1])
        else:
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)

    def accepted(self, proposed: Proposed) -> None:
        """Know it already: no run of the comparison is restored."""

    def judged(self, report: LevelReport) -> None:
        """Tell the sampler what its proposal computes and by how much it missed."""
        trial = self.trials.pop(report.member, None)
        if trial is not None:
            config = self.configs[report.member]
            trial.set_constraint("shortfall", self.world.shortfall(config, report.lineages[0].seed))
            self.study.tell(trial, self.world.compute(config) / self.world.bounds[1])

    def ended(self, member: int, reason: str) -> None:
        """Forget a proposal that came to nothing."""
        trial = self.trials.pop(member, None)
        if trial is not None:
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
