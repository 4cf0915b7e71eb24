"""What a study would take here: seconds from a few measured training steps, and bytes on the disk.

A slice of the study's own training and the end of a trial run at its cheapest and at its dearest level, for about a
second each; between the two the rates are interpolated over the price of a trial (small tensors run slower). One
process, one trial at a time: a machine that is busy, or trials side by side, take longer.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, log
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from sp_search import assembly
from sp_search.foresight import Imagined, Prices, Trial, ends
from sp_search.plan import Plan, PlannedLevel, build_runner
from sp_search.records import Assignment
from sp_search.spans import Span, total

if TYPE_CHECKING:
    from sp_search.study import Study

SECONDS = 1.0
MOMENTS = 2
BYTES = 4
LEAST = 1e-9
"""Seconds that anything takes at least: a clock of processor time may stand still."""
MOST_MEASURED_BYTES = 4 << 30
"""Of checkpoints of a level: larger trials are not begun for a plan."""
KEPT = 2
"""States of a trial that stay on the disk (`train.checkpoint.KEEP`)."""


class Rate(NamedTuple):
    """What trials of one price take: `price` is the most training FLOPs of one, by which others find theirs."""

    price: float
    begin_seconds: float
    training_flops_per_second: float
    judge_seconds: float
    """Of verifying and measuring one lineage on the training distribution."""


class Disk(NamedTuple):
    """Bytes of checkpoints: of one finished level of all members, and of every level once."""

    each_level: int
    every_level: int


def calibrate(
    study: Study, plan: Plan, seconds: float = SECONDS, clock: Callable[[], float] = perf_counter
) -> list[Rate]:
    """Measure trials at the cheapest and the dearest level of listed members, each for about `seconds` of `clock`.

    Imports torch, and trains on its own seeds, with the threads that a trial gets; nothing is kept.
    """
    import torch

    rows = sorted((row for row in plan.rows if row.training_flops is not None), key=_price)
    low_high = [rows[0]] if _price(rows[0]) == _price(rows[-1]) else [rows[0], rows[-1]]
    threads = torch.get_num_threads()
    torch.set_num_threads(study.resources.threads)
    try:
        return [_measured(study, plan, row, seconds, clock) for row in low_high]
    finally:
        torch.set_num_threads(threads)


def foresee_seconds(study: Study, searches: list[Imagined], prices: Prices, rates: list[Rate]) -> Span:
    """Return the seconds that trials of the imagined searches take here, one after another."""
    limit = inf if study.limits.seconds is None else study.limits.seconds
    spans = [total(_trial_seconds(trial, prices, rates) for trial in one.trials) for one in searches]
    return ends([Span(min(one.least, limit), min(one.most, limit)) for one in spans])


def _trial_seconds(trial: Trial, prices: Prices, rates: list[Rate]) -> Span:
    bill, lineages = prices.of(trial.assignment), len(trial.assignment.lineages)
    rate = _rate(bill.training(passed=True).most * lineages, rates)
    trained, verified = prices.training(trial), prices.verification(trial)
    each = bill.verification(passed=False).most
    spent = total([trained.times(1 / rate.training_flops_per_second), verified.times(rate.judge_seconds / each)])
    return Span(spent.least + (0.0 if trial.passed is None else rate.begin_seconds), spent.most + rate.begin_seconds)


def disk(study: Study, plan: Plan) -> Disk:
    """Return what the checkpoints of listed members take: weights and Adam's moments of every lineage, in float32."""
    levels = []
    for level in range(len(plan.space.caps)):
        total = 0
        for member, own in zip(plan.population.members, study.member_parts(), strict=True):
            if (budget := member.budgets[level]) is not None:
                built = own._replace(model=own.model.at(budget.axis))
                exits = budget.axis[built.model.exits_axis()]
                total += assembly.parameters(*built, study.task.shape(), exits)
        levels.append(total * BYTES * (1 + MOMENTS) * study.population.replicas * KEPT)
    return Disk(max(levels), sum(levels))


def _price(row: PlannedLevel) -> float:
    return row.training_flops or 0.0


def _rate(price: float, rates: list[Rate]) -> Rate:
    """Interpolate what is measured at a price, all on logarithmic scales; beyond the ends it stays."""
    low, high = rates[0], rates[-1]
    if low.price == high.price:
        return low
    share = (log(price) - log(low.price)) / (log(high.price) - log(low.price))
    share = min(1.0, max(0.0, share))
    return Rate(*(exp((1 - share) * log(one) + share * log(other)) for one, other in zip(low, high, strict=True)))


def _measured(study: Study, plan: Plan, row: PlannedLevel, seconds: float, clock: Callable[[], float]) -> Rate:
    """Time slices of ever more steps, until one takes `seconds`, and then the end of a trial; the first warms up."""
    assignment = _assignment(study, plan, row)
    longest = max(2, study.train_settings(study.member_parts()[assignment.member]).evaluate_every)
    steps = 1
    while True:
        slices = study.train.model_copy(update={"steps": 100 * steps, "evaluate_every": steps})
        runner = build_runner(study.model_copy(update={"train": slices}))
        began = clock()
        state = runner.begin(assignment, None)
        begun = clock()
        state, _ = runner.step(assignment, state)
        trained = clock()
        if steps > 1 and (trained - begun >= seconds or steps == longest):
            break
        steps = min(4 * steps, longest)
    flops = state.meta["training_flops"]
    ended = state.model_copy(update={"meta": {**state.meta, "ended": ["exhausted"] * len(assignment.lineages)}})
    judging = clock()
    runner.step(assignment, ended)
    judged = (clock() - judging) / len(assignment.lineages)
    return Rate(_price(row), max(begun - began, LEAST), flops / max(trained - begun, LEAST), max(judged, LEAST))


def _assignment(study: Study, plan: Plan, row: PlannedLevel) -> Assignment:
    member = next(one for one in plan.population.members if one.member == row.member)
    budget, lineages = member.budgets[row.level], list(range(study.population.replicas))
    assert budget is not None
    controls = plan.space.controls[row.level] if plan.space.controls else {}
    return Assignment(
        member=member.member, visit=1, level=row.level, attempt=1, milestone=study.milestones[0], budget=budget,
        config=member.config, lineages=lineages, seeds=lineages, controls=controls,
    )  # fmt: skip
