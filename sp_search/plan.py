"""From a study to what a search needs: its ladder of budgets, its priced members, its terms and its runner.

Everything but `build_runner` is arithmetic without torch, so that `plan` answers at once and before anything starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, log
from typing import TYPE_CHECKING, NamedTuple

from sp_search import assembly
from sp_search.assembly import Parts
from sp_search.errors import StudyError
from sp_search.levels import Terms
from sp_search.models.base import ModelSpec
from sp_search.proposals import ProposalSpace, flops_of
from sp_search.records import Budget, LevelRunner, LevelSpace, Member, Population
from sp_search.room import any_machine
from sp_search.schedulers.base import MOST_LEVELS, BudgetScheduler
from sp_search.train.bill import Bill
from sp_search.train.trial_bill import TrialBill
from sp_search.warm_start import Tried, tried_before

if TYPE_CHECKING:
    from sp_search.sections import SearchSettings
    from sp_search.study import Study


class PlannedLevel(NamedTuple):
    """One member at one level: what a program may spend there, and what training it can cost at most.

    Proposals have one row for a level (member None), with the dearest that can be proposed there.
    """

    member: int | None
    level: int
    cap: float
    axis_value: int | None
    max_flops_per_example: float | None
    training_flops: float | None


class Plan(NamedTuple):
    """A study before it runs: its ladder, its members, its evidence rule, and a price for every level.

    `earlier` is what the studies tried that a search begins with.
    """

    space: LevelSpace
    population: Population
    terms: Terms
    rows: list[PlannedLevel]
    earlier: Sequence[Tried] = ()


def plan_study(study: Study, *, begun: bool = False) -> Plan:
    """Return the ladder, members and prices of `study`.

    Args:
        study: what is asked.
        begun: its ledger holds already what earlier studies tried; their folders may be gone.

    Raises:
        StudyError: no member fits any level, nothing of a search's space fits its cap, or no machine holds a trial.
    """
    planned = _plan_listed(study) if study.search is None else _plan_search(study, study.search, begun)
    if not begun:
        any_machine(study, planned.population.members)
    return planned


def _plan_listed(study: Study) -> Plan:
    scheduler: BudgetScheduler = study.scheduler
    parts = study.member_parts()
    space = _ladder(study, scheduler, parts)
    members = [price_member(study, index, space) for index in range(len(parts))]
    population = Population(members=members, replicas=study.population.replicas)
    rows = [
        _price(study, own, member, space, level)
        for own, member in zip(parts, members, strict=True)
        for level in range(len(space.caps))
    ]
    if all(row.axis_value is None for row in rows):
        raise StudyError([f"no member fits any level of {space.axis} {space.caps}: widen the ladder or the models"])
    return Plan(space, population, _terms(study), rows)


def price_member(study: Study, index: int, space: LevelSpace) -> Member:
    """Return a listed member with its budget at every level of a ladder."""
    config = study.population.members[index]
    own = assembly.parts_of(study.model, study.prior, config)
    budgets = [_realise(study.scheduler, space, study, own, cap) for cap in space.caps]
    return Member(member=index, config=config, budgets=budgets)


def _terms(study: Study) -> Terms:
    return Terms(
        seed=study.seed,
        milestones=study.milestones,
        lineages_to_fail=study.verdict.lineages_to_fail,
        false_negative=study.verdict.false_negative,
        quorum=study.verdict.quorum,
    )


def proposal_space(study: Study, search: SearchSettings) -> ProposalSpace:
    """Return the space of a study that searches.

    Raises:
        StudyError: no combination of its fields can be built.
    """
    space = ProposalSpace.of(search, Parts(study.model, study.prior), study.task.shape(), study.scheduler.budget)
    if not space.buildable():
        raise StudyError(["search.space: no combination of its values can be built for the task: widen the choices"])
    return space


def _plan_search(study: Study, search: SearchSettings, begun: bool) -> Plan:
    """Return the caps from the cheapest program of the space to the largest allowed, and what each can cost."""
    space, scheduler = proposal_space(study, search), study.scheduler
    least, most = space.cheapest.flops, min(search.cap or space.dearest, space.dearest)
    if most < least:
        message = f"search.cap: got {most:g} FLOPs, and the cheapest program of the space costs {least:g}"
        raise StudyError([f"{message}: raise the cap, or lower the bounds of search.space"])
    if log(most / least) / log(scheduler.factor) > MOST_LEVELS:
        message = f"got {scheduler.factor}: from {least:g} to {most:g} FLOPs are more than {MOST_LEVELS:,} levels"
        raise StudyError([f"scheduler.factor: {message}"])
    caps = [least]
    while caps[-1] * scheduler.factor < most:
        caps.append(caps[-1] * scheduler.factor)
    caps += [most] if caps[-1] < most else []
    ladder = LevelSpace(kind=scheduler.budget, measure="flops", axis=", ".join(space.axes), caps=caps)
    population = Population(members=[], replicas=study.population.replicas, proposals=search.members)
    rows = [_price_proposals(study, space, level, cap) for level, cap in enumerate(caps)]
    earlier = [] if begun else tried_before(search.warm_start, study, space)
    return Plan(ladder, population, _terms(study), rows, earlier)


def _price_proposals(study: Study, space: ProposalSpace, level: int, cap: float) -> PlannedLevel:
    """Price a level at which everything is the dearest that can be proposed."""
    lineages = study.population.replicas * (study.search.members if study.search is not None else 0)
    flops = space.largest(cap, lambda parts, axis: max(flops_of(parts, space.shape, axis)))
    training = space.largest(cap, lambda parts, axis: training_flops(study, parts, axis))
    return PlannedLevel(None, level, cap, None, flops, None if training is None else training * lineages)


def build_runner(study: Study, device: str = "cpu") -> LevelRunner:
    """Return the runner that trains the study's members on `device`. Imports torch."""
    from sp_search.train.trainer import NeuralRunner

    return NeuralRunner(
        task=study.task,
        model=study.model,
        prior=study.prior,
        settings=study.train,
        gates=study.selection.gates,
        verification_n=study.selection.n,
        stable_after_halt=study.selection.stable_after_halt,
        confidence=study.selection.confidence,
        study_seed=study.seed,
        device=device,
    )


def _flops(study: Study, parts: Parts, axis: dict[str, int]) -> float:
    """Return the most FLOPs per example of a program with these values of its axes."""
    return max(flops_of(parts, study.task.shape(), axis))


def _ladder(study: Study, scheduler: BudgetScheduler, parts: list[Parts]) -> LevelSpace:
    """Return the caps: a grid in rollouts, or for other axes every price that some member can have (and `_prices`).

    Levels of a control share the price of the dearest member.
    """
    if controls := scheduler.controls():
        cap = max(_flops(study, own, axis) for own in parts for axis in _axis_values(scheduler, own.model))
        caps = [cap] * len(controls)
        return LevelSpace(kind="mean", measure="flops", axis=scheduler.axis, caps=caps, controls=controls)
    if scheduler.axis == "rollouts":
        stop = scheduler.stop if scheduler.budget == "max" else min(scheduler.stop, scheduler.exits)
        count = int((stop - scheduler.start) / scheduler.resolution + 1e-9) + 1
        caps = [round(scheduler.start + index * scheduler.resolution, 9) for index in range(count)]
        return LevelSpace(kind=scheduler.budget, measure="rollouts", axis=scheduler.axis, caps=caps)
    prices = {price for own in parts for price in _prices(scheduler, study, own)}
    return LevelSpace(kind=scheduler.budget, measure="flops", axis=scheduler.axis, caps=sorted(prices))


def _prices(scheduler: BudgetScheduler, study: Study, parts: Parts) -> list[float]:
    """Return what a member can cost along the axis; a mean budget along depth may lie between two exits."""
    found = [_flops(study, parts, axis) for axis in _axis_values(scheduler, parts.model)]
    if scheduler.axis != "depth" or scheduler.budget != "mean":
        return found
    between = [index * scheduler.resolution for index in range(1, ceil(1 / scheduler.resolution - 1e-9))]
    return found + [low + share * (high - low) for low, high in pairwise(found) for share in between]


def _axis_values(scheduler: BudgetScheduler, model: ModelSpec) -> list[dict[str, int]]:
    """Return the values that the ladder has for a model along depth or width, least first.

    A width comes with `scheduler.exits` rollouts, or with as many exits of those as the model has; so does a control.
    """
    exits = model.exits_axis()
    depths: list[int] = []
    while exits == "depth" and (value := model.realise("depth", len(depths) + 1)) is not None:
        depths.append(value)
    if scheduler.axis == "depth" and not scheduler.controls():
        return [{"depth": value} for value in depths]
    most = model.realise("rollouts", scheduler.exits) if exits == "rollouts" else min(scheduler.exits, max(depths))
    assert most is not None
    if scheduler.controls():
        return [{exits: most}]
    return [{"width": width, exits: most} for width in widths(scheduler.start, scheduler.stop, scheduler.factor)]


def widths(start: float, stop: float, factor: float) -> list[int]:
    """Return whole widths from `start` to `stop`, each at least one more than the last and about `factor` times it."""
    found = [ceil(start)]
    while found[-1] < int(stop):
        found.append(min(int(stop), max(found[-1] + 1, round(found[-1] * factor))))
    return found


def _realise(scheduler: BudgetScheduler, space: LevelSpace, study: Study, parts: Parts, cap: float) -> Budget | None:
    """Return the budget as this member realises it, or None where it cannot fit."""
    if space.measure == "rollouts":
        value = parts.model.realise(space.axis, scheduler.exits if space.kind == "mean" else cap)
        axis = None if value is None else {space.axis: value}
    else:
        every = _axis_values(scheduler, parts.model)
        fitting = [axis for axis in every if _flops(study, parts, axis) <= cap * (1 + 1e-9)]
        axis = every[-1] if space.kind == "mean" else fitting[-1] if fitting else None
    return None if axis is None else Budget(kind=space.kind, measure=space.measure, cap=cap, axis=axis)


def _price(study: Study, parts: Parts, member: Member, space: LevelSpace, level: int) -> PlannedLevel:
    """Price one member at one level. A level that is given further lineages costs as much again each time."""
    budget = member.budgets[level]
    if budget is None:
        return PlannedLevel(member.member, level, space.caps[level], None, None, None)
    training = training_flops(study, parts, budget.axis) * study.population.replicas
    value, flops = budget.axis[space.axis], _flops(study, parts, budget.axis)
    return PlannedLevel(member.member, level, budget.cap, value, flops, training)


def trial_bill(study: Study, parts: Parts, axis: dict[str, int], *, fresh: bool) -> TrialBill:
    """Return what a lineage of a member costs at the level with these values of its axes."""
    built, exits = parts._replace(model=parts.model.at(axis)), axis[parts.model.exits_axis()]
    shape, kind = study.task.shape(), study.scheduler.budget
    parameters = assembly.parameters(*built, shape, exits)
    bill = Bill(built, shape, exits, study.train_settings(built), kind, fresh, parameters)
    asked = study.selection
    return TrialBill(bill, study.task, tuple(asked.gates), asked.n, asked.stable_after_halt is not None)


def training_flops(study: Study, parts: Parts, axis: dict[str, int]) -> float:
    """Return the most training FLOPs of a lineage at a level, fresh or not: every step, and all looks in full."""
    bills = [trial_bill(study, parts, axis, fresh=fresh) for fresh in (True, False)]
    return max(bill.training(passed=True).most for bill in bills)
