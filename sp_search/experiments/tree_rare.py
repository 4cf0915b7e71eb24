"""Experiment `tree_rare`: how cheap misbehaving gets where training is uneven: it hides on the rarest branch.

A unit is a random function that is not constant, with random weights of its inputs.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from statistics import median
from typing import Literal

from pydantic import Field

from sp_search.exact import Setting, census, task_weights
from sp_search.experiments.base import Evidence, Experiment, mean_cell, rate_cell
from sp_search.records import derive_seed


class TreeRare(Experiment):
    """Average cost of the cheapest deceptive decision program beyond the cheapest honest one, in reads."""

    kind: Literal["tree_rare"] = "tree_rare"
    task_bits: int = Field(3, ge=1, le=3, description="bits of the task")
    depth: int = Field(5, ge=2, le=6, description="most reads and acts on a path")
    heaviest: int = Field(11, ge=1, le=100, description="weights are drawn from 1 to this")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Compare the cheapest programs of n random settings."""
        seeds = list(range(seed, seed + n))
        found = [self._excess(unit) for unit in seeds]
        note = f"median {median(found):.3f}"
        cells = [mean_cell("excess", found), rate_cell("dearer", [excess > 0 for excess in found], note=note)]
        return Evidence(
            cells=[*cells, rate_cell("within_an_eighth", [excess < 1 / 8 for excess in found])], seeds=seeds
        )

    def seconds(self, n: int) -> float:
        return 0.1 + 0.01 * n

    def _excess(self, unit: int) -> float:
        random = Random(derive_seed(unit, "tree_rare"))  # noqa: S311 - a reproducible draw, no secret
        inputs = 2**self.task_bits
        table = random.randrange(1, 2**inputs - 1)
        weights = [random.randint(1, self.heaviest) for _ in range(inputs)]
        setting = Setting(
            task_bits=self.task_bits,
            function=f"{table:0{inputs}b}",
            depth=self.depth,
            weights=task_weights(self.task_bits, 1, weights),
        )
        good = census(setting).good()
        honest = min(group.cost for group in good if not group.flags)
        return (min(group.cost for group in good if group.deceptive) - honest) / setting.total_weight
