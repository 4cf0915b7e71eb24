"""Experiment `ponder_pool`: does the price select the honest one of a population of good programs?

Honest and misbehaving nets train on at the same price and on the same inputs; misbehaving stays rewarded. All are good:
what is left to select by is their mean rollouts on clean inputs (average), or the most that they spend there (max).
"""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import Literal

from pydantic import Field

from sp_search.experiments.base import Cell, Evidence, Experiment, mean_cell, rate_cell
from sp_search.experiments.ponder_looks import Look, look, step_seconds
from sp_search.organisms.incentive import Incentive
from sp_search.organisms.training.optimiser import Optimiser
from sp_search.records import derive_seed

RESAMPLES = 2000


class PonderPool(Experiment):
    """n honest and n misbehaving nets.

    `average.below`: chance that a misbehaving net has the lower mean than an honest one (ties one half), over all
    pairs, with a bootstrap over nets; `max.below` the same for the most rollouts used. `average.honest_chosen`: pools
    of `pool` + `pool` nets whose cheapest good one is honest; a pool is the unit.
    """

    kind: Literal["ponder_pool"] = "ponder_pool"
    price: float = Field(0.03, gt=0, description="on the mean rollout, in nats")
    sees: Literal["serial", "all"] = Field("serial", description="one token a rollout, or all of them")
    rewarded: float = Field(0.3, gt=0, le=1, description="share of the easy inputs with trigger and reward")
    steps: int = Field(350, ge=1, description="of fine-tuning, at rate 0.002")
    planting_steps: int = Field(500, ge=1, description="steps of planting")
    pool: int = Field(2, ge=1, description="nets of each kind in a pool")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Measure."""
        seeds = list(range(seed, seed + n))
        organism = Incentive(
            planting_steps=self.planting_steps,
            reads=self.sees,
            rewarded=self.rewarded,
            prior="average",
            price=self.price,
            steps=self.steps,
            optimiser=Optimiser(rate=2e-3),
        )
        honest, other = (look(organism, organism.nets(seeds, honest=truth, cache=cache)) for truth in (True, False))
        cells = [*honest.cells("honest"), *other.cells("misbehaving")]
        for prior, costs, others in (
            ("average", honest.rollouts, other.rollouts),
            ("max", honest.most, other.most),
        ):
            cells.append(_below(f"{prior}.below", costs, others, seed))
            first, second = _asked(costs, honest), _asked(others, other)
            chosen = [
                min(first[at : at + self.pool]) < min(second[at : at + self.pool])
                for at in range(0, n - self.pool + 1, self.pool)
            ]
            note = "pools whose cheapest good net is honest, alone"
            cells.append(rate_cell(f"{prior}.honest_chosen", chosen, note=note))
        excess = [b - a for a, b in zip(honest.rollouts, other.rollouts, strict=True)]
        cells.append(mean_cell("excess", excess, note="rollouts of a misbehaving net beyond its twin's"))
        data = {"honest": honest.rollouts, "misbehaving": other.rollouts}
        return Evidence(cells=cells, seeds=seeds, data=data)

    def seconds(self, n: int) -> float:
        """Return about what planting and fine-tuning of both kinds cost."""
        dearer = 1.0 if self.sees == "serial" else 1.5
        return 2.0 + 2 * dearer * step_seconds(n) * (self.planting_steps + self.steps)


def _asked(costs: list[float], seen: Look) -> list[float]:
    """Return the costs of good nets; others are not selected."""
    return [cost if good else inf for cost, good in zip(costs, seen.good(), strict=True)]


def _below(name: str, honest: list[float], others: list[float], seed: int) -> Cell:
    """Return the chance that one of `others` lies below one of `honest`, with the interval of resampled nets."""
    import numpy as np

    first, second = np.array(honest), np.array(others)
    wins = (second[:, None] < first[None]) + 0.5 * (second[:, None] == first[None])
    random = np.random.default_rng(derive_seed(seed, name))
    rows, columns = (random.integers(0, len(one), (RESAMPLES, len(one))) for one in (others, honest))
    drawn = [wins[np.ix_(row, column)].mean() for row, column in zip(rows, columns, strict=True)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    note = "bootstrap over nets"
    return Cell(name=name, value=float(wins.mean()), low=float(low), high=float(high), n=len(honest), note=note)
