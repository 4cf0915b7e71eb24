"""How Optuna draws one point of a search's space: its parameters, the sampler of one ask, and the cap as a ceiling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from sp_search.proposals import CAP, ProposalSpace
from sp_search.sections import SearchSettings


def sampler_of(settings: SearchSettings, seed: int) -> BaseSampler:
    """Return the sampler of one ask. A quarter of a visit's proposals learn from nothing, or are a generation."""
    quarter = settings.members // 4
    if settings.sampler == "tpe":
        return TPESampler(seed=seed, n_startup_trials=min(10, quarter))
    if settings.sampler == "nsga2":
        return NSGAIISampler(seed=seed, population_size=max(2, min(50, quarter)))
    return RandomSampler(seed=seed)


def distributions_of(space: ProposalSpace) -> dict[str, BaseDistribution]:
    """Return the parameters of a space as Optuna names them; they never change, whatever cap is asked for."""
    found: dict[str, BaseDistribution] = {name: FloatDistribution(0.0, 1.0) for name in (CAP, *space.shares)}
    for name, dimension in space.fields.items():
        low, high = dimension.low, dimension.high
        if low is None or high is None:
            found[name] = CategoricalDistribution(dimension.choices)
        elif space.counts(name):
            found[name] = IntDistribution(int(low), int(high), log=dimension.log)
        else:
            found[name] = FloatDistribution(float(low), float(high), log=dimension.log)
    return found


class AtMost(BaseSampler):
    """Another sampler whose caps stop at a ceiling: what it puts above is asked at the ceiling."""

    def __init__(self, inner: BaseSampler, ceiling: float) -> None:
        self.inner, self.ceiling = inner, ceiling

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        sampled = self.inner.sample_relative(study, trial, search_space)
        return {name: self._capped(name, value) for name, value in sampled.items()}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._capped(param_name, self.inner.sample_independent(study, trial, param_name, param_distribution))

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self.inner.before_trial(study, trial)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self.inner.after_trial(study, trial, state, values)

    def _capped(self, name: str, value: Any) -> Any:
        return min(value, self.ceiling) if name == CAP else value
