"""What training a level costs one lineage in FLOPs, step by step and look by look. No torch, and no clock.

The trainer charges it and plans foresee it, so both say the same. Forward and backward cost 3 forward passes of
everything that the loss reads, burn-in costs 1, an optimiser step `OPTIMISER_FLOPS_PER_PARAMETER` a parameter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sp_search import assembly
from sp_search.assembly import Parts
from sp_search.train.settings import (
    GATING_FLOPS_PER_PARAMETER,
    LOSS_FLOPS_PER_LOGIT,
    OPTIMISER_FLOPS_PER_PARAMETER,
)

if TYPE_CHECKING:
    from sp_search.pricing import Prices
    from sp_search.records import BudgetKind
    from sp_search.tasks.base import Shape
    from sp_search.train.settings import TrainSettings


@dataclass(frozen=True)
class Bill:
    """The recipe of one lineage at one level as functions of the step.

    `fresh` lineages go through the recipe's warm-up; inherited ones begin after it.
    """

    parts: Parts
    shape: Shape
    exits: int
    settings: TrainSettings
    budget: BudgetKind
    fresh: bool
    parameters: int

    @cached_property
    def prices(self) -> Prices:
        """The analytic prices of the network at this level."""
        return assembly.prices(*self.parts, self.shape, self.exits)

    def progress(self, step: int) -> float:
        """Return the share of the recipe that is done after `step` optimiser steps."""
        prior = self.parts.prior
        again = self.fresh or not prior.trains_program(1.0)  # a program that freezes has to learn this level first
        begun = 0.0 if again else prior.warmup_share()
        return begun + (1.0 - begun) * step / self.settings.steps

    def warmed_up(self, step: int) -> bool:
        """Whether this step comes after the warm-up, in which the program trains and halting does not yet."""
        return self.progress(step) >= self.parts.prior.warmup_share()

    def trains_halting(self, step: int) -> bool:
        """Whether the loss of this step reads the halting unit."""
        return self.parts.prior.uses_halting() and self.warmed_up(step)

    def trains_predictor(self, step: int) -> bool:
        """Whether the loss of this step reads the halting predictor."""
        return self.parts.prior.rule().reads == "prediction" and self.warmed_up(step)

    def may_burn_in(self, step: int) -> bool:
        """Whether rollouts may run before this step's: what halts, or predicts it, counts them from the start."""
        return not (self.trains_halting(step) or self.trains_predictor(step))

    def may_stop(self, step: int) -> bool:
        """Whether a lineage that is good enough may stop after `step` steps.

        A recipe that trains halting or gates under a max budget runs to its end: only the loss asks it to spend less.
        Under a mean budget it may stop once halting trains, as the cap is a part of what must be met.
        """
        prior = self.parts.prior
        spares = prior.rule().reads in ("halt", "prediction") or prior.gates_units()
        if self.budget == "max" and spares:
            return step >= self.settings.steps
        return self.warmed_up(step)

    def step_flops(self, step: int, burn_in: float) -> float:
        """Return the FLOPs of one optimiser step that `burn_in` rollouts come before."""
        prior, prices, shape = self.parts.prior, self.prices, self.shape
        answers = prices.answer_N if prior.needs_every_exit() else prices.answer_N[-1:]
        forward = prices.start + sum(prices.step_N) + sum(answers)
        forward += sum(prices.halt_N) if self.trains_halting(step) else 0.0
        forward += LOSS_FLOPS_PER_LOGIT * shape.answers * shape.classes * len(answers)
        per_example = (3 if prior.trains_program(self.progress(step)) else 1) * forward
        per_example += burn_in * prices.step_N[0] + (3 * prices.predict if self.trains_predictor(step) else 0.0)
        per_parameter = OPTIMISER_FLOPS_PER_PARAMETER + (GATING_FLOPS_PER_PARAMETER if prior.gates_units() else 0.0)
        return self.settings.batch * per_example + per_parameter * self.parameters

    def look_flops(self) -> float:
        """Return the FLOPs of computing every exit that the rule may choose, per example."""
        prices, rule = self.prices, self.parts.prior.rule()
        answers = prices.answer_N[-1:] if rule.reads == "nothing" else prices.answer_N
        halts = prices.halt_N if rule.reads == "halt" else ()
        predict = prices.predict if rule.reads == "prediction" else 0.0
        return prices.start + predict + sum(prices.step_N) + sum(answers) + sum(halts)

    def every_answer_flops(self) -> float:
        """Return the FLOPs of answering at every exit, per example: what the check after the halt computes."""
        prices = self.prices
        return prices.start + sum(prices.step_N) + sum(prices.answer_N)
