"""Experiment `training_bill`: what each way to a cheap program costs to train, on one task, until it is good.

Sizes anew (Proposal 1: every width from fresh weights), sizes grown (each inherits the one below), rollouts grown (2A),
a price on mean rollouts (2B), and one plain network of the largest size. FLOPs are the trainer's own: forward,
backward, optimiser and looks. A unit is a lineage; a way that never became good has its whole bill counted.
"""

from __future__ import annotations

from math import log2
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field

from sp_search.experiments.base import Cell, Evidence, Experiment, mean_cell, rate_cell
from sp_search.records import Assignment, Budget, RunnerState, derive_seed

if TYPE_CHECKING:
    from sp_search.train.trainer import NeuralRunner

Way = list["Rung"]
"""The sizes or rollouts that a way visits, one after another."""


class Rung(NamedTuple):
    """One level of a way: the network's width and rollouts, and whether it begins anew."""

    width: int
    rollouts: int
    anew: bool
    steps: int


class Bill(NamedTuple):
    """What one lineage paid on one way, what its last level alone paid, its width, and whether it became good."""

    flops: float
    last: float
    width: int
    met: bool


class TrainingBill(Experiment):
    """Binary addition by a recurrent network of the product, every way with one recipe and one milestone."""

    kind: Literal["training_bill"] = "training_bill"
    bits: int = Field(6, ge=2, description="of each summand")
    widths: list[int] = Field([2, 4, 8, 16], min_length=2, description="sizes, ascending")
    width: int = Field(8, ge=1, description="of the network whose rollouts grow, or are priced")
    rollouts: int = Field(6, ge=2, description="of networks whose size grows, and the most of the others")
    milestone: float = Field(0.97, gt=0, le=1, description="accuracy that is good")
    steps: int = Field(1000, ge=1, description="most optimiser steps of a level that nothing follows")
    stay: int = Field(100, ge=1, description="steps at a level that is grown out of")
    price: float = Field(0.1, ge=0, description="on mean rollouts")
    priced_steps: int = Field(300, ge=1, description="most steps with a price, a share of which it warms up")

    def ways(self) -> dict[str, Way]:
        """Return the levels of every way; the last of each has the most steps, those begun anew have them too."""
        top = self.widths[-1]
        sizes = [(width, self.rollouts) for width in self.widths]
        rollouts = [(self.width, count) for count in range(1, self.rollouts + 1)]
        return {
            "sizes_anew": [Rung(*size, True, self.steps) for size in sizes],
            "sizes_grown": [Rung(*size, False, self.stay if size[0] < top else self.steps) for size in sizes],
            "rollouts_grown": [
                Rung(*level, False, self.stay if level[1] < self.rollouts else self.steps) for level in rollouts
            ],
            "plain": [Rung(self.width, self.rollouts, True, self.steps)],
            "priced": [Rung(self.width, self.rollouts, True, self.priced_steps)],
        }

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Train n lineages on every way."""
        lineages = list(range(seed, seed + n))
        bills = {way: self._climb(rungs, lineages, priced=way == "priced") for way, rungs in self.ways().items()}
        cells: list[Cell] = []
        for way, own in bills.items():
            cells.append(mean_cell(f"log2_flops_{way}", [log2(one.flops) for one in own]))
            cells.append(rate_cell(f"met_{way}", [one.met for one in own]))
        for way in ("sizes_anew", "sizes_grown"):
            over = [log2(one.flops / one.last) for one in bills[way]]
            cells.append(mean_cell(f"log2_{way}_over_last", over, note="its bill over that of its last size"))
        anew, grown = bills["sizes_anew"], bills["sizes_grown"]
        least, largest = self.widths[0], self.widths[-1]
        cells.append(rate_cell("met_at_least_size", [one.met and one.width == least for one in anew]))
        cells.append(rate_cell("met_by_largest_size", [one.met for one in anew], note=f"width {largest} or less"))
        pairs = zip(grown, anew, strict=True)
        cells.append(rate_cell("grown_stops_as_small", [one.met and one.width <= two.width for one, two in pairs]))
        pairs = zip(bills["priced"], bills["plain"], strict=True)
        priced = [log2(one.flops / plain.flops) for one, plain in pairs]
        cells.append(mean_cell("log2_priced_over_plain", priced, note="same width and most rollouts"))
        return Evidence(cells=cells, seeds=lineages)

    def seconds(self, n: int) -> float:
        return 6.0 + 1.8 * n

    def _climb(self, rungs: Way, lineages: list[int], *, priced: bool) -> list[Bill]:
        """Return every lineage's bill; it goes on to the next level until it meets the milestone."""
        paid = dict.fromkeys(lineages, 0.0)
        last, width = dict.fromkeys(lineages, 0.0), dict.fromkeys(lineages, 0)
        met: set[int] = set()
        state: RunnerState | None = None
        for visit, rung in enumerate(rungs):
            left = [lineage for lineage in lineages if lineage not in met]
            if not left:
                break
            runner = self._runner(rung.steps, priced=priced)
            state, spent = _trained(runner, self._assignment(rung, visit, left), None if rung.anew else state)
            for lineage, ended in zip(left, state.meta["ended"], strict=True):
                paid[lineage] += spent[lineage]
                last[lineage], width[lineage] = spent[lineage], rung.width
                met |= {lineage} if ended == "reached" else set()
        return [Bill(paid[one], last[one], width[one], one in met) for one in lineages]

    def _runner(self, steps: int, *, priced: bool) -> NeuralRunner:
        from sp_search.models.recall_conv import RecallConv
        from sp_search.priors.mean_rollouts import MeanRollouts
        from sp_search.priors.none import NoPrior
        from sp_search.tasks.binary_addition import BinaryAddition
        from sp_search.train.settings import TrainSettings
        from sp_search.train.trainer import NeuralRunner

        recipe: dict[str, Any] = {
            "batch": 64,
            "learning_rate": 5e-3,
            "burn_in": 0.0,
            "steps": steps,
            "evaluate_every": 10,
        }
        prior = MeanRollouts(price=self.price) if priced else NoPrior()
        rest: dict[str, Any] = {"gates": ["iid"], "verification_n": 1000, "confidence": 0.99, "study_seed": 0}
        return NeuralRunner(BinaryAddition(bits=self.bits), RecallConv(), prior, TrainSettings(**recipe), **rest)

    def _assignment(self, rung: Rung, visit: int, lineages: list[int]) -> Assignment:
        axis = {"width": rung.width, "rollouts": rung.rollouts}
        return Assignment(
            member=0,
            visit=visit,
            level=visit,
            attempt=visit + 1,
            milestone=self.milestone,
            budget=Budget(kind="max", measure="flops", cap=1e12, axis=axis),
            config={},
            lineages=lineages,
            seeds=[derive_seed(lineage, "training_bill") for lineage in lineages],
        )


def _trained(runner: NeuralRunner, at: Assignment, before: RunnerState | None) -> tuple[RunnerState, dict[int, float]]:
    """Train lineages at a level to their ends; a slice's FLOPs are shared by the lineages that were live in it."""
    state, spent = runner.begin(at, before), dict.fromkeys(at.lineages, 0.0)
    while live := [one for one, ended in zip(at.lineages, state.meta["ended"], strict=True) if ended is None]:
        paid = state.meta["training_flops"]
        state, _ = runner.step(at, state)
        for lineage in live:
            spent[lineage] += (state.meta["training_flops"] - paid) / len(live)
    return state, spent
