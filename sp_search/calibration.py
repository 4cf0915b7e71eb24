"""What a study would take here: seconds from a few measured training steps, bytes on the disk, FLOPs of verification.

A slice of the study's own training runs at its cheapest and at its dearest level, for about a second each; between the
two the rate is interpolated over the price of a level (small tensors run slower). One process, one trial at a time: a
machine that is busy, or trials side by side, take longer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, log
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from sp_search import assembly
from sp_search.drive.simulated import simulate
from sp_search.plan import Plan, PlannedLevel, build_runner
from sp_search.records import Assignment
from sp_search.tasks.base import LARGEST_SUPPORT

if TYPE_CHECKING:
    from sp_search.study import Study

SECONDS = 1.0
MOMENTS = 2
BYTES = 4
MOST_ANSWERS = 9
MOST_MEASURED_BYTES = 4 << 30
"""Of checkpoints of a level: larger trials are not begun for a plan."""
KEPT = 2
"""States of a trial that stay on the disk (`train.checkpoint.KEEP`)."""


class Rate(NamedTuple):
    """What a plan prices a level at, the most FLOPs that it can take, per second: not the machine's own speed."""

    price: float
    planned_flops_per_second: float


class Disk(NamedTuple):
    """Bytes of checkpoints: of one finished level of all members, and of every level once."""

    each_level: int
    every_level: int


def calibrate(
    study: Study, plan: Plan, seconds: float = SECONDS, clock: Callable[[], float] = perf_counter
) -> list[Rate]:
    """Measure training at the cheapest and the dearest level of listed members, each for about `seconds` of `clock`.

    Imports torch, and trains on its own seeds; nothing is kept.
    """
    rows = sorted((row for row in plan.rows if row.training_flops is not None), key=_price)
    ends = [rows[0]] if _price(rows[0]) == _price(rows[-1]) else [rows[0], rows[-1]]
    return [Rate(_price(row), _measured(study, plan, row, seconds, clock)) for row in ends]


class _Steep:
    """A world in which every lineage passes from one level on, and none below: its answer."""

    def __init__(self, levels: int, answer: int) -> None:
        self.levels, self.answer = [float(level + 1) for level in range(levels)], answer

    def cost(self, cap: float) -> float:
        return cap

    def passes(self, cap: float, seed: int) -> bool:
        return cap > self.answer


def visits(study: Study, plan: Plan) -> list[float]:
    """Return how often the search visits every level, on average over where the answer may lie on the ladder.

    The study's own scheduler and evidence rule, for one milestone, in worlds where a level passes surely or never.
    """
    levels = len(plan.space.caps)
    answers = sorted({round(index * (levels - 1) / (MOST_ANSWERS - 1)) for index in range(MOST_ANSWERS)})
    counts = [0.0] * levels
    for answer in answers:
        terms = plan.terms.model_copy(update={"milestones": [1.0]})
        found = simulate(
            study.scheduler, _Steep(levels, answer), workers=1, seed=study.seed, members=len(plan.population.members),
            replicas=plan.population.replicas, terms=terms, events=False,
        )  # fmt: skip
        for outcome in found.levels:
            counts[outcome.level] += 1 / len(answers)
    return counts


def training_seconds(plan: Plan, rates: list[Rate], counts: Sequence[float] | None = None) -> float:
    """Return the seconds that every level would take at most, one trial after another; `counts` times each, or once."""
    return sum(
        (1.0 if counts is None else counts[row.level]) * row.training_flops / _rate(row.training_flops, rates)
        for row in plan.rows
        if row.training_flops
    )


def verification_flops(study: Study, plan: Plan) -> float:
    """Return the most FLOPs of verifying every lineage of every level once, on each gate."""
    supports = [study.task.support_size(gate) for gate in study.selection.gates]
    exact = [support if support is not None and support <= LARGEST_SUPPORT else None for support in supports]
    examples = sum(study.selection.n if support is None else support for support in exact)
    return sum((row.max_flops_per_example or 0.0) * examples * study.population.replicas for row in plan.rows)


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


def _rate(price: float, rates: list[Rate]) -> float:
    """Interpolate the rate at a price, both on logarithmic scales; beyond the ends it stays."""
    low, high = rates[0], rates[-1]
    if len(rates) == 1:
        return low.planned_flops_per_second
    share = (log(price) - log(low.price)) / (log(high.price) - log(low.price))
    return exp((1 - share) * log(low.planned_flops_per_second) + share * log(high.planned_flops_per_second))


def _measured(study: Study, plan: Plan, row: PlannedLevel, seconds: float, clock: Callable[[], float]) -> float:
    """Return what a second does of slices of ever more steps, until one takes `seconds`; the first warms up."""
    member = next(one for one in plan.population.members if one.member == row.member)
    budget, lineages = member.budgets[row.level], list(range(study.population.replicas))
    assert budget is not None
    assignment = Assignment(
        member=member.member, visit=1, level=row.level, attempt=1, milestone=study.milestones[0], budget=budget,
        config=member.config, lineages=lineages, seeds=lineages,
    )  # fmt: skip
    settings = study.train_settings(study.member_parts()[member.member])
    steps = 1
    while True:
        slices = study.train.model_copy(update={"steps": 100 * steps, "evaluate_every": steps})
        runner = build_runner(study.model_copy(update={"train": slices}))
        state = runner.begin(assignment, None)
        began = clock()
        runner.step(assignment, state)
        taken = clock() - began
        if steps > 1 and (taken >= seconds or steps == settings.evaluate_every):
            return (row.training_flops or 0.0) * steps / settings.steps / taken
        steps = min(4 * steps, max(2, settings.evaluate_every))
