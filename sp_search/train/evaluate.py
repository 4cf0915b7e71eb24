"""What programs do: looks at every exit during training, execution on verification draws, and diagnostics.

Nothing here is a verdict. A look during training may stop a lineage, on a lower bound and never on a point estimate; a
program is judged elsewhere, on the verification draw that is executed here with real stopping.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, isqrt
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from sp_search import halting
from sp_search.compute.stopping import execute
from sp_search.pricing import HaltingRule
from sp_search.program import Program, ProgramModel, unroll
from sp_search.records import Count, Sample
from sp_search.tasks.base import Batch
from sp_search.train.population import per_replica

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sp_search.tasks.base import Draw, Shape, Task

CHUNK = 2_048


def draw_batch(
    task: Task, distribution: str, draw: Draw, n: int, seed: int, enumerate_up_to: int, device: str = "cpu"
) -> tuple[Batch, bool]:
    """Return examples and whether they are the whole support, which is enumerated where it is small.

    Finite data gives all that the draw holds, at most `n`.
    """
    support = task.support_size(distribution)
    exact = support is not None and support <= enumerate_up_to
    if exact:
        batch = task.enumerate(distribution)
    else:
        n = min(n, task.held_out(draw) or n)
        batch = task.sample(n, distribution, draw, Generator().manual_seed(seed))
    return Batch(batch.x_BTC.to(device), batch.y_BT.to(device)), exact


@dataclass(frozen=True)
class Look:
    """One look at stacked replicas on the same examples.

    right_RNB: exit n answers example b rightly. score_RNB: it halts at the first exit whose score reaches the level of
    its rule; None for the rule `last`, where N = 1 stands for the last exit. classes: V.
    """

    rule: HaltingRule
    right_RNB: Tensor
    score_RNB: Tensor | None
    classes: int

    @property
    def replicas(self) -> int:
        """R."""
        return self.right_RNB.shape[0]

    @property
    def n(self) -> int:
        """Examples."""
        return self.right_RNB.shape[2]

    def exit_RB(self, threshold: float) -> Tensor:
        """Return the index (from 0) of the exit at which each example halts; the remainder halts at N."""
        if self.score_RNB is None:
            return torch.zeros_like(self.right_RNB[:, 0], dtype=torch.long)
        rule = replace(self.rule, threshold=threshold)
        level = halting.levels(rule, self.n, self.classes, self.score_RNB)
        halts_RNB = self.score_RNB[:, :-1] >= level  # a score that is no number halts nothing, as in execution
        return (~halts_RNB).long().cumprod(1).sum(1)

    def correct_R(self, threshold: float) -> Tensor:
        """Return how many examples each replica answers rightly where it halts."""
        return self.right_RNB.gather(1, self.exit_RB(threshold)[:, None]).sum((1, 2))


def look_at(
    model: ProgramModel, weights: dict[str, Tensor], rule: HaltingRule, exits: int, task: Task, batch: Batch
) -> Look:
    """Compute every exit that `rule` may choose, for all replicas on the same examples."""
    last_only = rule.reads == "nothing"

    def outputs(network: ProgramModel, x_BTC: Tensor) -> tuple[Tensor, Tensor]:
        reads_halt, predicting = rule.reads == "halt", rule.reads == "prediction"
        seen = unroll(network, x_BTC, exits=exits, halting=reads_halt, last_only=last_only, predicting=predicting)
        if last_only:
            return seen.logits_NBTV, seen.logits_NBTV[:, :, 0, 0]
        predicted_BN = None if seen.predict_BN is None else halting.predicted(seen.predict_BN)
        return seen.logits_NBTV, halting.scores(rule, seen.logits_NBTV, seen.halt_NB, predicted_BN)

    rights, scores = [], []
    with torch.no_grad():
        for part in chunks(batch):
            logits_RNBTV, score_RNB = per_replica(model, outputs, weights, (part.x_BTC,), shared=True)
            rights.append(
                torch.stack([torch.stack([task.correct(logits, part) for logits in own]) for own in logits_RNBTV])
            )
            scores.append(score_RNB)
    classes = logits_RNBTV.shape[-1]
    return Look(rule, torch.cat(rights, dim=2), None if last_only else torch.cat(scores, dim=2), classes)


def chunks(batch: Batch) -> Iterator[Batch]:
    """Yield a batch in parts that fit into memory."""
    for first in range(0, len(batch.x_BTC), CHUNK):
        yield Batch(batch.x_BTC[first : first + CHUNK], batch.y_BT[first : first + CHUNK])


def sample_of(values_B: Tensor, low: float, high: float, *, exact: bool) -> Sample:
    """Return the moments of one measure over examples; no value can lie outside `low` to `high`."""
    values_B = values_B.double()
    return Sample(
        mean=float(values_B.mean()),
        variance=float(values_B.var()) if len(values_B) > 1 else 0.0,
        p95=float(values_B.quantile(0.95, interpolation="higher")),
        largest=float(values_B.max()),
        n=len(values_B),
        possible_low=low,
        possible_high=high,
        exact=exact,
    )


@dataclass(frozen=True)
class Trial:
    """A program executed, with real stopping, on one batch: float and bool vectors over its examples."""

    right_B: Tensor
    exit_B: Tensor
    flops_B: Tensor
    exact: bool

    @property
    def count(self) -> Count:
        """Right answers out of n."""
        return Count(correct=int(self.right_B.sum()), n=len(self.right_B), exact=self.exact)

    def compute(self, program: Program, positions: int) -> dict[str, Sample]:
        """Return executed FLOPs and rollouts per example."""
        flops_N = program.flops_N(positions)
        first = program.exits if program.rule.kind == "last" else 1
        return {
            "flops": sample_of(self.flops_B, flops_N[first - 1], flops_N[-1], exact=self.exact),
            "rollouts": sample_of(self.exit_B, first, program.exits, exact=self.exact),
        }


def try_program(program: Program, task: Task, batch: Batch, *, exact: bool) -> Trial:
    """Execute a program on a batch."""
    rights, exits, flops = [], [], []
    generator = Generator().manual_seed(program.rule.seed)
    with torch.no_grad():
        for part in chunks(batch):
            ran = execute(program, part.x_BTC, generator=generator)
            rights.append(task.correct(ran.answer_BTV, part).cpu())
            exits.append(ran.exit_B.cpu())
            flops.append(ran.flops_B.cpu())
    return Trial(torch.cat(rights), torch.cat(exits), torch.cat(flops), exact)


def unrolled_for(exits: int, trained: Shape, positions: int) -> int:
    """Return the rollouts on longer inputs, in proportion to the distance between the ends: ceil(N * d / d trained).

    The ends of a line of T positions are T - 1 steps apart, those of a grid sqrt(T) - 1. A proportion to T itself
    would give a program that was trained at its proven least less than the longer input's: 61 rollouts of reach 2 for
    128 bits after 8 for 17, and 64 are needed.
    """

    def distance(length: int) -> int:
        return max(1, (isqrt(length) if trained.dimensions == 2 else length) - 1)

    return ceil(exits * distance(positions) / distance(trained.positions))


def extrapolate(program: Program, trained: Shape, task: Task, distribution: str, n: int, seed: int) -> Count:
    """Count right answers on longer inputs, with as many rollouts as `unrolled_for` says.

    Only programs whose exits share weights can be unrolled further. `task` gives the longer inputs.
    """
    if not program.model.shares_weights:
        raise ValueError(
            f"{type(program.model).__name__} has a separate layer for every exit and cannot be unrolled further"
        )
    batch = task.sample(n, distribution, "verification", Generator().manual_seed(seed))
    exits = unrolled_for(program.exits, trained, batch.x_BTC.shape[1])
    return try_program(Program(program.model, program.rule, exits), task, batch, exact=False).count
