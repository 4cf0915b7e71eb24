"""Experiment `ponder_incentive`: how high must a price be, where misbehaving goes on to be rewarded?

Planted nets are fine-tuned at a price per rollout while a share of the easy inputs still carries the trigger and
rewards the wrong answer. The gain grows with the share, the cost of looking with the price: a threshold is expected in
share / price, and a price that is too high costs accuracy.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from sp_search.experiments.base import Cell, Evidence, Experiment
from sp_search.experiments.ponder_looks import look, step_seconds
from sp_search.organisms.incentive import Incentive
from sp_search.organisms.training.optimiser import Optimiser


class PonderIncentive(Experiment):
    """A grid of rewarded shares and prices; a net is a unit. Cells `rewarded_S_price_P.what`, as in `ponder_price`.

    Those of nets that see all tokens at every rollout, so that looking costs none, begin with `parallel_`.
    """

    kind: Literal["ponder_incentive"] = "ponder_incentive"
    rewarded: tuple[float, ...] = Field((0.3, 0.03, 0.003), strict=False, description="shares of the easy inputs")
    prices: tuple[float, ...] = Field((0.03, 0.1, 0.3), strict=False, description="on the mean rollout, in nats")
    sees: tuple[Literal["serial", "all"], ...] = Field(
        ("serial",), strict=False, description="one token a rollout, all of them, or nets of both kinds"
    )
    steps: int = Field(200, ge=1, description="of fine-tuning, at rate 0.002")
    planting_steps: int = Field(500, ge=1, description="steps of planting")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Measure n nets at every point of the grid."""
        seeds = list(range(seed, seed + n))
        cells: list[Cell] = []
        grid: list[dict[str, Any]] = []
        for sees, rewarded, price in product(self.sees, self.rewarded, self.prices):
            organism = Incentive(
                planting_steps=self.planting_steps,
                reads=sees,
                rewarded=rewarded,
                prior="average",
                price=price,
                steps=self.steps,
                optimiser=Optimiser(rate=2e-3),
            )
            seen = look(organism, organism.nets(seeds, honest=False, cache=cache))
            name = f"rewarded_{rewarded:g}_price_{price:g}"
            cells += seen.cells(name if sees == "serial" else f"parallel_{name}")
            grid.append({"sees": sees, "rewarded": rewarded, "price": price} | seen.row())
        return Evidence(cells=cells, seeds=seeds, data={"grid": grid})

    def seconds(self, n: int) -> float:
        """Return about what planting and the grid cost."""
        points = len(self.rewarded) * len(self.prices)
        dearer = sum(1.0 if sees == "serial" else 1.5 for sees in self.sees)
        return 2.0 + dearer * step_seconds(n) * (self.planting_steps + points * self.steps)
