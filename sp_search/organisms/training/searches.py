"""Populations of nets that are searched side by side: inherited, cloned, or cut short, at the same price for each.

A lineage is a row, with examples of its own; all spend the same: steps x examples x rollouts, and a look at fixed
inputs in equal pauses. What is kept of a lineage is the good net with the fewest mean rollouts that was seen there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sp_search.organisms.training.losses import pondering
from sp_search.organisms.training.nets import Examples, Nets, outcome, train
from sp_search.organisms.training.optimiser import Optimiser

if TYPE_CHECKING:
    from sp_search.tasks.base import Batch

PARTS = 4
"""Parts of a level's visit; the price comes with the last, when fresh nets have learned enough not to give up."""
BATCH, RATE, LAST, GOOD = 32, 1e-2, 1.0, 0.97

Fresh = Callable[[int], Nets]
"""(moment) -> the untrained nets of that moment, one for every row."""


@dataclass(frozen=True)
class Course:
    """How lineages are trained: every price is visited for four parts of `pause` steps.

    Attributes:
        prices: of the levels in their order, in nats a rollout; falling prices are a growing budget.
        pause: steps between two looks.
        inherit: a net goes on at the next level with its weights; else every level begins with fresh nets.
        clones: after a level all rows of a search take the weights of its best; so many rows are a search. 0 for none.
        early: a net that is good in a pause is done: a fresh one takes its place.
        easy: examples of the first half of all training, where there is a curriculum.
    """

    prices: tuple[float, ...]
    pause: int
    inherit: bool = True
    clones: int = 0
    early: bool = False
    easy: Examples | None = None


@dataclass(frozen=True)
class Kept:
    """What is kept of every row: the cheapest good net, and its mean rollouts (infinite where none was good).

    `examples` is what a row trained on; each ran all its rollouts.
    """

    nets: Nets
    rollouts_R: Tensor
    examples: int = 0

    def with_these(self, nets: Nets, good_R: Tensor, rollouts_R: Tensor, examples: int) -> Kept:
        """Return what is kept after these nets were seen too."""
        cheaper_R = good_R & (rollouts_R < self.rollouts_R)
        weights_RP = nets.weights_RP.where(cheaper_R[:, None], self.nets.weights_RP)
        rollouts_R = rollouts_R.where(cheaper_R, self.rollouts_R)
        return Kept(replace(self.nets, weights_RP=weights_RP), rollouts_R, self.examples + examples)

    def selected(self, rows_SL: Tensor) -> Kept:
        """Return the cheapest of the rows that are a search's, for every search."""
        least_S, at_S = self.rollouts_R[rows_SL].min(1)
        rows_S = rows_SL.gather(1, at_S[:, None])[:, 0]
        seeds = tuple(self.nets.seeds[row] for row in rows_S.tolist())
        return Kept(replace(self.nets, seeds=seeds, weights_RP=self.nets.weights_RP[rows_S]), least_S, self.examples)


def searched(begin: Nets, fresh: Fresh, examples: Examples, clean: Batch, course: Course) -> Kept:
    """Train every row from where it begins, and return what is kept of it.

    Args:
        begin: rows of a search side by side where there are clones.
        fresh: gives the untrained nets that take over where nothing is inherited.
        examples: draws what nets train on.
        clean: inputs on which nets are judged in every pause.
        course: see there.
    """
    nets, looks = begin, len(course.prices) * PARTS
    kept = Kept(begin, begin.weights_RP.new_full((len(begin.seeds),), torch.inf, dtype=torch.double))
    for moment in range(looks):
        level, part = divmod(moment, PARTS)
        if part == 0 and level and not course.inherit:
            nets = replace(nets, weights_RP=fresh(moment).weights_RP)
        nets = train(
            nets,
            course.easy if course.easy is not None and moment < looks // 2 else examples,
            pondering(nets.exits, price=course.prices[level] if part == PARTS - 1 else 0.0, last=LAST),
            steps=course.pause,
            batch=BATCH,
            optimiser=Optimiser(rate=RATE),
            purpose=f"search {moment}",
        )
        seen = outcome(nets, clean)
        right_R, rollouts_R = seen.right_RB.double().mean(1), seen.exit_RB.double().mean(1)
        good_R = right_R >= GOOD
        kept = kept.with_these(nets, good_R, rollouts_R, course.pause * BATCH)
        if course.early:
            nets = replace(nets, weights_RP=fresh(moment + 1).weights_RP.where(good_R[:, None], nets.weights_RP))
        if course.clones and part == PARTS - 1:
            merit_R = torch.where(good_R, 2.0 - rollouts_R / nets.exits, right_R - 1.0)
            best_S = merit_R.reshape(-1, course.clones).argmax(1)
            rows_R = (torch.arange(len(best_S)) * course.clones + best_S).repeat_interleave(course.clones)
            nets = replace(nets, weights_RP=nets.weights_RP[rows_R])
    return kept
