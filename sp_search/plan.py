"""From a study to what a search needs: its ladder of budgets, its priced members, its terms and its runner.

Everything but `build_runner` is arithmetic without torch, so that `plan` answers at once and before anything starts.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from sp_search import assembly
from sp_search.errors import StudyError
from sp_search.levels import Terms
from sp_search.models.base import ModelSpec
from sp_search.pricing import cumulative_flops
from sp_search.records import Budget, LevelRunner, LevelSpace, Member, Population
from sp_search.schedulers.base import BudgetScheduler
from sp_search.train.settings import (
    ENUMERATED_IN_TRAINING,
    LOSS_FLOPS_PER_LOGIT,
    OPTIMISER_FLOPS_PER_PARAMETER,
)

if TYPE_CHECKING:
    from sp_search.study import Study


class PlannedLevel(NamedTuple):
    """One member at one level: what a program may spend there, and what training it can cost at most."""

    member: int
    level: int
    cap: float
    axis_value: int | None
    max_flops_per_example: float | None
    training_flops: float | None


class Plan(NamedTuple):
    """A study before it runs: its ladder, its members, its evidence rule, and a price for every level."""

    space: LevelSpace
    population: Population
    terms: Terms
    rows: list[PlannedLevel]


def plan_study(study: Study) -> Plan:
    """Return the ladder, members and prices of `study`.

    Raises:
        StudyError: no member fits any level.
    """
    scheduler: BudgetScheduler = study.scheduler
    models = study.member_models()
    space = _ladder(study, scheduler, models)
    members = [
        Member(
            member=index,
            config=study.population.members[index],
            budgets=[_realise(scheduler, space, study, model, cap) for cap in space.caps],
        )
        for index, model in enumerate(models)
    ]
    population = Population(members=members, replicas=study.population.replicas)
    terms = Terms(
        seed=study.seed,
        milestones=study.milestones,
        lineages_to_fail=study.verdict.lineages_to_fail,
        false_negative=study.verdict.false_negative,
    )
    rows = [
        _price(study, model, member, space, level)
        for model, member in zip(models, members, strict=True)
        for level in range(len(space.caps))
    ]
    if all(row.axis_value is None for row in rows):
        raise StudyError([f"no member fits any level of {space.axis} {space.caps}: widen the ladder or the models"])
    return Plan(space, population, terms, rows)


def build_runner(study: Study, device: str = "cpu") -> LevelRunner:
    """Return the runner that trains the study's members on `device`. Imports torch."""
    from sp_search.train.trainer import NeuralRunner

    return NeuralRunner(
        task=study.task,
        model=study.model,
        prior=study.prior,
        settings=study.train_settings(study.model),
        gates=study.selection.gates,
        verification_n=study.selection.n,
        confidence=study.selection.confidence,
        study_seed=study.seed,
        device=device,
    )


def _flops(study: Study, model: ModelSpec, exits: int) -> float:
    """Return the most FLOPs per example of a program with that many exits."""
    prices = assembly.prices(model, study.prior, study.task.shape(), exits)
    return max(cumulative_flops(prices, study.prior.rule()))


def _ladder(study: Study, scheduler: BudgetScheduler, models: list[ModelSpec]) -> LevelSpace:
    """Return the caps: a grid in rollouts, or for untied axes every price that some member can have."""
    if scheduler.axis == "rollouts":
        stop = scheduler.stop if scheduler.budget == "max" else min(scheduler.stop, scheduler.exits)
        count = int((stop - scheduler.start) / scheduler.resolution + 1e-9) + 1
        caps = [round(scheduler.start + index * scheduler.resolution, 9) for index in range(count)]
        return LevelSpace(kind=scheduler.budget, measure="rollouts", axis=scheduler.axis, caps=caps)
    prices = {_flops(study, model, value) for model in models for value in _axis_values(model, scheduler.axis)}
    return LevelSpace(kind=scheduler.budget, measure="flops", axis=scheduler.axis, caps=sorted(prices))


def _axis_values(model: ModelSpec, axis: str) -> list[int]:
    """Return the values of an untied axis, least first."""
    values: list[int] = []
    while (value := model.realise(axis, len(values) + 1)) is not None:
        values.append(value)
    return values


def _realise(
    scheduler: BudgetScheduler, space: LevelSpace, study: Study, model: ModelSpec, cap: float
) -> Budget | None:
    """Return the budget as this model realises it, or None where it cannot fit."""
    if space.measure == "rollouts":
        value = model.realise(space.axis, scheduler.exits if space.kind == "mean" else cap)
    else:
        fitting = [v for v in _axis_values(model, space.axis) if _flops(study, model, v) <= cap * (1 + 1e-9)]
        value = max(fitting, default=None) if space.kind == "max" else max(_axis_values(model, space.axis))
    return None if value is None else Budget(kind=space.kind, measure=space.measure, cap=cap, axis={space.axis: value})


def _price(study: Study, model: ModelSpec, member: Member, space: LevelSpace, level: int) -> PlannedLevel:
    """Price one member at one level. A level that is given further lineages costs as much again each time."""
    budget = member.budgets[level]
    if budget is None:
        return PlannedLevel(member.member, level, space.caps[level], None, None, None)
    exits = budget.axis[space.axis]
    training = _training_flops(study, model, exits) * study.population.replicas
    return PlannedLevel(member.member, level, budget.cap, exits, _flops(study, model, exits), training)


def _training_flops(study: Study, model: ModelSpec, exits: int) -> float:
    """Return the most training FLOPs of a lineage at a level: every step, the longest burn-in, a look each slice."""
    settings, shape, halting = study.train_settings(model), study.task.shape(), study.prior.uses_halting()
    prices = assembly.prices(model, study.prior, shape, exits)
    forward = (
        prices.start
        + prices.predict
        + sum(prices.step_N)
        + sum(prices.answer_N)
        + (sum(prices.halt_N) if halting else 0.0)
    )
    loss = LOSS_FLOPS_PER_LOGIT * shape.answers * shape.classes * exits
    burn_in = (2 * exits - 1) * prices.step_N[0] if settings.burn_in else 0.0
    optimiser = OPTIMISER_FLOPS_PER_PARAMETER * assembly.parameters(model, study.prior, shape, exits)
    steps = settings.steps * (settings.batch * (3.0 * (forward + loss) + burn_in) + optimiser)
    looks = ceil(settings.steps / settings.evaluate_every)
    examples = max(settings.validation, ENUMERATED_IN_TRAINING) + settings.screening
    return steps + looks * examples * forward
