"""Experiment `ponder_bill`: what it costs to train a net that ponders, beside plain nets that do not.

A recurrent core learns to halt under a price on mean rollouts (Proposal 2B). Controls have no halting unit and answer
at the last step alone: the same core with all rollouts on every input, and as many layers with weights of their own.
The bill is the trainer's: FLOPs of forward, backward, optimiser and looks, until the milestone is met.
"""

from __future__ import annotations

from math import log2
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field

from sp_search.experiments.base import Evidence, Experiment, mean_cell, rate_cell
from sp_search.pricing import HaltingRule, cumulative_flops
from sp_search.records import Assignment, Budget, derive_seed

if TYPE_CHECKING:
    from sp_search.models.base import ModelSpec
    from sp_search.priors.base import SpeedPrior
    from sp_search.train.trainer import NeuralRunner


class Bill(NamedTuple):
    """What one lineage paid until it was good, or in all, and whether it became good."""

    flops: float
    met: bool


class PonderBill(Experiment):
    """Cells `log2_flops_WAY`, `met_WAY`, and by lineage `log2_ponder_over_WAY` and `within_twice_WAY`.

    The last is the share of lineages in which pondering costs less than twice as much. Ways: ponder, same, deep. A net
    that ponders is good when it also spends no more than a share of what all its rollouts cost, on average: a mean
    budget, under which training may stop as soon as that is met. A lineage that never became good has its whole bill
    counted.
    """

    kind: Literal["ponder_bill"] = "ponder_bill"
    bits: int = Field(6, ge=2, description="of each summand of binary addition")
    width: int = Field(8, ge=1, description="channels of a net")
    rollouts: int = Field(6, ge=2, description="at most, and layers of the deep net")
    milestone: float = Field(0.97, gt=0, le=1, description="accuracy that is good, where the net halts")
    steps: int = Field(800, ge=1, description="most optimiser steps")
    spends: float = Field(0.8, gt=0, le=1, description="share of the FLOPs of all rollouts that pondering may take")
    price: float = Field(0.1, ge=0, description="of a mean rollout")
    warmup: float = Field(0.05, ge=0, lt=1, description="share of the steps before halting is trained")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Train n lineages in every way."""
        from sp_search.models.exit_conv import ExitConv
        from sp_search.models.recall_conv import RecallConv
        from sp_search.priors.mean_rollouts import MeanRollouts
        from sp_search.priors.none import NoPrior

        lineages = list(range(seed, seed + n))
        core, deep = RecallConv(width=self.width), ExitConv(width=self.width, depth=self.rollouts, kernel=2)
        ways: dict[str, tuple[ModelSpec, SpeedPrior]] = {
            "ponder": (core, MeanRollouts(price=self.price, warmup=self.warmup)),
            "same": (core, NoPrior()),
            "deep": (deep, NoPrior()),
        }
        bills = {way: self._bills(*parts, lineages) for way, parts in ways.items()}
        cells = []
        for way, own in bills.items():
            cells.append(mean_cell(f"log2_flops_{way}", [log2(one.flops) for one in own]))
            cells.append(rate_cell(f"met_{way}", [one.met for one in own]))
            if way != "ponder":
                over = [one.flops / two.flops for one, two in zip(bills["ponder"], own, strict=True)]
                cells.append(mean_cell(f"log2_ponder_over_{way}", [log2(one) for one in over]))
                cells.append(rate_cell(f"within_twice_{way}", [one < 2 for one in over], note="pondering costs less"))
        return Evidence(cells=cells, seeds=lineages)

    def seconds(self, n: int) -> float:
        """Return about what it takes."""
        return 5.0 + 1.5 * n

    def _bills(self, model: ModelSpec, prior: SpeedPrior, lineages: list[int]) -> list[Bill]:
        """Train lineages side by side to their ends; a slice's FLOPs are shared by those that were live in it."""
        runner, at = self._runner(model, prior), self._assignment(model, lineages, pondering=prior.uses_halting())
        state, spent = runner.begin(at, None), [0.0] * len(lineages)
        while live := [row for row, ended in enumerate(state.meta["ended"]) if ended is None]:
            paid = state.meta["training_flops"]
            state, _ = runner.step(at, state)
            for row in live:
                spent[row] += (state.meta["training_flops"] - paid) / len(live)
        return [Bill(flops, ended == "reached") for flops, ended in zip(spent, state.meta["ended"], strict=True)]

    def _runner(self, model: ModelSpec, prior: SpeedPrior) -> NeuralRunner:
        from sp_search.tasks.binary_addition import BinaryAddition
        from sp_search.train.settings import TrainSettings
        from sp_search.train.trainer import NeuralRunner

        recipe: dict[str, Any] = {"batch": 64, "learning_rate": 5e-3, "burn_in": 0.0, "evaluate_every": 10}
        rest: dict[str, Any] = {"gates": ["iid"], "verification_n": 1000, "confidence": 0.99, "study_seed": 0}
        settings = TrainSettings(steps=self.steps, **recipe)
        return NeuralRunner(BinaryAddition(bits=self.bits), model, prior, settings, **rest)

    def _assignment(self, model: ModelSpec, lineages: list[int], *, pondering: bool) -> Assignment:
        from sp_search.tasks.binary_addition import BinaryAddition

        prices = model.prices(BinaryAddition(bits=self.bits).shape(), self.rollouts, halting=pondering)
        whole = cumulative_flops(prices, HaltingRule("quantile" if pondering else "last"))[-1]
        axis = {"width": self.width, model.exits_axis(): self.rollouts}
        mean = Budget(kind="mean", measure="flops", cap=self.spends * whole, axis=axis)
        return Assignment(
            member=0,
            visit=0,
            level=0,
            attempt=1,
            milestone=self.milestone,
            budget=mean if pondering else Budget(kind="max", measure="flops", cap=whole, axis=axis),
            config={},
            lineages=lineages,
            seeds=[derive_seed(lineage, "ponder_bill") for lineage in lineages],
        )
