"""The look that may stop a lineage: a cheap screening, then a lower bound on a larger sample, drawn anew every time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from sp_search.pricing import HaltingRule
from sp_search.records import Count
from sp_search.selection import accuracy_low, mean_high
from sp_search.tasks.base import Batch
from sp_search.train.evaluate import Look, draw_batch, look_at, sample_of
from sp_search.train.settings import ENUMERATED_IN_TRAINING

if TYPE_CHECKING:
    from sp_search.train.job import Job


@dataclass(frozen=True)
class LineageLook:
    """What a look says of one lineage: accuracy at its threshold; `reached`: the milestone is met within the cap."""

    accuracy: float
    threshold: float
    reached: bool


@dataclass(frozen=True)
class Looked:
    """All lineages of a look, and the FLOPs that it took."""

    lineages: list[LineageLook]
    flops: float


def validate(job: Job, weights: dict[str, Tensor], *, alpha: float, seed: int) -> Looked:
    """Look at stacked replicas; those whose upper bound on the screening sample is below the milestone go no further.

    Args:
        job: the level.
        weights: stacked parameters by name, each (R, *shape).
        alpha: error of each bound.
        seed: of the draw.
    """
    training, rule, settings = job.task.distributions()[0], job.prior.rule(), job.settings
    batch, exact = draw_batch(
        job.task, training, "validation", settings.validation, seed, ENUMERATED_IN_TRAINING, job.device
    )
    replicas, seen, n = len(next(iter(weights.values()))), 0, len(batch.x_BTC)
    lineages: dict[int, LineageLook] = {}
    if n > settings.screening:
        chosen = torch.randperm(n, generator=Generator().manual_seed(seed))[: settings.screening].to(job.device)
        part = Batch(batch.x_BTC[chosen], batch.y_BT[chosen])
        lineages = _screen(look_at(job.model, weights, rule, job.exits, job.task, part), job, alpha)
        seen += replicas * len(chosen)
    rows = [row for row in range(replicas) if row not in lineages]
    if rows:
        kept = {name: stacked[rows] for name, stacked in weights.items()}
        look = look_at(job.model, kept, rule, job.exits, job.task, batch)
        lineages |= dict(zip(rows, _judge(look, job, alpha, exact=exact), strict=True))
        seen += len(rows) * n
    for distribution in job.task.stops_on()[1:]:
        seen += _look_further(job, weights, lineages, distribution, alpha, seed)
    return Looked([lineages[row] for row in range(replicas)], seen * job.bill.look_flops())


def _look_further(
    job: Job, weights: dict[str, Tensor], lineages: dict[int, LineageLook], distribution: str, alpha: float, seed: int
) -> int:
    """Let those that reached the bound go on where they miss it on another distribution; return examples looked at."""
    rows = [row for row, seen in lineages.items() if seen.reached]
    if not rows:
        return 0
    batch, exact = draw_batch(
        job.task, distribution, "validation", job.settings.validation, seed, ENUMERATED_IN_TRAINING, job.device
    )
    kept = {name: stacked[rows] for name, stacked in weights.items()}
    look = look_at(job.model, kept, job.prior.rule(), job.exits, job.task, batch)
    for index, row in enumerate(rows):
        correct = int(look.correct_R(lineages[row].threshold)[index])
        bound = accuracy_low(Count(correct=correct, n=look.n, exact=exact), alpha)
        lineages[row] = replace(lineages[row], reached=bound >= job.assignment.milestone)
    return len(rows) * len(batch.x_BTC)


def calibrate(look: Look, cost_N: Tensor, cap: float, alpha: float, *, exact: bool) -> list[float | None]:
    """Return, for each replica, the strictest threshold whose mean cost is surely below `cap`; None if none is.

    Args:
        look: every exit on examples of the training distribution.
        cost_N: cost of answering at exit n, in the measure of the budget.
        cap: of the mean budget.
        alpha: error of the bound.
        exact: the examples are the whole support.
    """
    chosen: list[float | None] = [None] * look.replicas
    for threshold in look.rule.candidates(len(cost_N)):
        for replica, cost_B in enumerate(cost_N[look.exit_RB(threshold).cpu()]):
            cost = sample_of(cost_B, float(cost_N.min()), float(cost_N.max()), exact=exact)
            if mean_high(cost, alpha) <= cap:
                chosen[replica] = threshold
    return chosen


def _screen(look: Look, job: Job, alpha: float) -> dict[int, LineageLook]:
    """Return the replicas that even at their best threshold are clearly below the milestone."""
    rule = job.prior.rule()
    thresholds = rule.candidates(job.exits) if job.assignment.budget.kind == "mean" else (rule.threshold,)
    best_R = torch.stack([look.correct_R(threshold) for threshold in thresholds]).amax(0).tolist()
    own_R = look.correct_R(rule.threshold).tolist()
    hopeless = {}
    for row, (best, own) in enumerate(zip(best_R, own_R, strict=True)):
        ceiling = 1.0 - accuracy_low(Count(correct=look.n - best, n=look.n), alpha)
        if ceiling < job.assignment.milestone:
            hopeless[row] = LineageLook(own / look.n, rule.threshold, reached=False)
    return hopeless


def _judge(look: Look, job: Job, alpha: float, *, exact: bool) -> list[LineageLook]:
    budget, rule = job.assignment.budget, job.prior.rule()
    fitting: list[float | None] = [rule.threshold] * look.replicas
    if budget.kind == "mean":
        fitting = calibrate(look, _cost_N(job, rule), budget.cap, alpha, exact=exact)
    found = []
    for row, fits in enumerate(fitting):
        threshold = rule.threshold if fits is None else fits
        correct = int(look.correct_R(threshold)[row])
        bound = accuracy_low(Count(correct=correct, n=look.n, exact=exact), alpha)
        reached = fits is not None and bound >= job.assignment.milestone
        found.append(LineageLook(correct / look.n, threshold, reached))
    return found


def _cost_N(job: Job, rule: HaltingRule) -> Tensor:
    """Return what answering at each exit that a look holds costs, in the measure of the budget."""
    costs = job.cost_N()
    return torch.tensor(costs[-1:] if rule.kind == "last" else costs, dtype=torch.float64)
