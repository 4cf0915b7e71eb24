"""The look that may stop a lineage: a cheap screening, then a lower bound on a larger sample, drawn anew every time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from sp_search.pricing import cumulative_flops
from sp_search.tasks.base import Batch
from sp_search.train.evaluate import (
    ENUMERATE_IN_TRAINING,
    THRESHOLDS,
    Look,
    accuracy_bound,
    calibrate,
    draw_batch,
    look_at,
)

if TYPE_CHECKING:
    from sp_search.pricing import HaltingRule
    from sp_search.program import ProgramModel
    from sp_search.records import Assignment
    from sp_search.tasks.base import Task
    from sp_search.train.settings import TrainSettings


@dataclass(frozen=True)
class LineageLook:
    """What a look says about one lineage: its accuracy at its threshold, and whether the milestone is met within the cap."""

    accuracy: float
    threshold: float
    reached: bool


@dataclass(frozen=True)
class Looked:
    """All lineages of a look, and the FLOPs that it took."""

    lineages: list[LineageLook]
    flops: float


def validate(
    model: ProgramModel,
    weights: dict[str, Tensor],
    rule: HaltingRule,
    assignment: Assignment,
    task: Task,
    settings: TrainSettings,
    *,
    alpha: float,
    seed: int,
    device: str,
) -> Looked:
    """Look at stacked replicas; those whose upper bound on the screening sample is below the milestone go no further."""
    (exits,) = assignment.budget.axis.values()
    distribution = task.distributions()[0]
    batch, exact = draw_batch(task, distribution, "validation", settings.validation, seed, ENUMERATE_IN_TRAINING)
    batch = Batch(*(part.to(device) for part in batch))
    prices = model.prices(batch.x_BTC.shape[1], exits)
    per_example = (
        prices.start + sum(prices.step_N) + sum(prices.answer_N if rule.kind != "last" else prices.answer_N[-1:])
    )
    per_example += sum(prices.halt_N) if rule.kind == "quantile" else 0.0
    replicas = len(next(iter(weights.values())))
    lineages: dict[int, LineageLook] = {}
    flops = 0.0
    if len(batch.x_BTC) > settings.screening:
        chosen = torch.randperm(len(batch.x_BTC), generator=Generator().manual_seed(seed))[: settings.screening].to(
            device
        )
        look = look_at(model, weights, rule, exits, task, Batch(batch.x_BTC[chosen], batch.y_BT[chosen]))
        lineages = _screen(look, rule, assignment, alpha)
        flops += replicas * len(chosen) * per_example
    rows = [row for row in range(replicas) if row not in lineages]
    if rows:
        look = look_at(model, {name: part[rows] for name, part in weights.items()}, rule, exits, task, batch)
        cost_N = _cost_N(model, rule, assignment, batch.x_BTC.shape[1], exits)
        lineages |= dict(zip(rows, _judge(look, rule, assignment, cost_N, alpha, exact=exact), strict=True))
        flops += len(rows) * len(batch.x_BTC) * per_example
    return Looked([lineages[row] for row in range(replicas)], flops)


def _screen(look: Look, rule: HaltingRule, assignment: Assignment, alpha: float) -> dict[int, LineageLook]:
    """Return the replicas that even at their best threshold are clearly below the milestone."""
    replicas, n = len(look.right_RNB), look.right_RNB.shape[2]
    own = torch.full((replicas,), rule.threshold, device=look.right_RNB.device)
    candidates = THRESHOLDS if assignment.budget.kind == "mean" and rule.kind != "last" else (rule.threshold,)
    best_R = torch.stack([look.correct_R(torch.full_like(own, threshold)) for threshold in candidates]).amax(0)
    accuracy = (look.correct_R(own) / n).tolist()
    ceiling = [1.0 - accuracy_bound(n - int(best), n, alpha, exact=False) for best in best_R]
    return {
        row: LineageLook(accuracy[row], rule.threshold, reached=False)
        for row in range(replicas)
        if ceiling[row] < assignment.milestone
    }


def _cost_N(model: ProgramModel, rule: HaltingRule, assignment: Assignment, positions: int, exits: int) -> Tensor:
    """Return what answering at each exit that a look holds costs, in the measure of the budget."""
    costs = cumulative_flops(model.prices(positions, exits), rule)
    if assignment.budget.measure == "rollouts":
        costs = tuple(float(index + 1) for index in range(exits))
    return torch.tensor(costs[-1:] if rule.kind == "last" else costs, dtype=torch.float64)


def _judge(
    look: Look, rule: HaltingRule, assignment: Assignment, cost_N: Tensor, alpha: float, *, exact: bool
) -> list[LineageLook]:
    replicas, n = len(look.right_RNB), look.right_RNB.shape[2]
    fitting: list[float | None] = [rule.threshold] * replicas
    if assignment.budget.kind == "mean":
        fitting = calibrate(look, cost_N, assignment.budget.cap, alpha, exact=exact)
    thresholds = [rule.threshold if threshold is None else threshold for threshold in fitting]
    correct_R = look.correct_R(torch.tensor(thresholds, device=look.right_RNB.device)).tolist()
    return [
        LineageLook(
            accuracy=correct_R[row] / n,
            threshold=thresholds[row],
            reached=fitting[row] is not None
            and accuracy_bound(correct_R[row], n, alpha, exact=exact) >= assignment.milestone,
        )
        for row in range(replicas)
    ]
