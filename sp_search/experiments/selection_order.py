"""Experiment `selection_order`: among programs that are good enough, does accuracy move the product's choice?"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Literal

from pydantic import Field

from sp_search.experiments.base import Evidence, Experiment, rate_cell
from sp_search.records import Budget, BudgetKind, Count, LineageMeasurement, Sample, Selection, derive_seed
from sp_search.selection import cheapest

EXAMPLES = 2_048


class SelectionOrder(Experiment):
    """Random pools of verified programs, chosen from by the product's own selection; a unit is a pool."""

    kind: Literal["selection_order"] = "selection_order"
    programs: int = Field(12, ge=2, description="in a pool")
    ties: bool = Field(False, description="draw costs from three values, so that ties are common")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Count pools whose choice moves with fresh accuracies, and pools whose choice is not the cheapest."""
        moved, dearer, best = [], [], []
        seeds = list(range(seed, seed + n))
        for unit in seeds:
            random = Random(derive_seed(unit, "selection_order"))  # noqa: S311 - a reproducible draw, no secret
            pool = self._pool(random)
            chosen = _chosen(pool)
            again = [(one, _with_accuracy(lineage, random)) for one, lineage in pool]
            moved.append(_chosen(again) != chosen)
            dearer.append(pool[chosen][0].cost > min(one.cost for one, _ in pool))
            right = [lineage.gates["iid"].correct for _, lineage in pool]
            best.append(right[chosen] == max(right))
        cells = [rate_cell("moved_by_accuracy", moved), rate_cell("not_cheapest", dearer)]
        return Evidence(cells=[*cells, rate_cell("most_accurate_chosen", best)], seeds=seeds)

    def seconds(self, n: int) -> float:
        return 0.2 + 0.0005 * n * self.programs / 12

    def _pool(self, random: Random) -> list[tuple[Selection, LineageMeasurement]]:
        kind: BudgetKind = random.choice(("max", "mean"))
        return [self._program(index, kind, random) for index in range(self.programs)]

    def _program(self, index: int, kind: BudgetKind, random: Random) -> tuple[Selection, LineageMeasurement]:
        cost = float(random.choice((4, 5, 6))) if self.ties else random.uniform(1, 16)
        mean = random.uniform(0.5, 1) * cost * 1_000
        sample = Sample(
            mean=mean, variance=1.0, p95=mean, largest=mean, n=EXAMPLES, possible_low=0.0, possible_high=cost * 1_000
        )
        lineage = LineageMeasurement(
            lineage=index,
            seed=index,
            ended="reached",
            train_steps=1,
            compute={"flops": sample},
            max_available_flops=cost * 1_000,
            parameters=random.randrange(100, 1_000),
            serial_depth=1,
        )
        budget = Budget(kind=kind, measure="rollouts", cap=cost)
        selection = Selection(
            milestone=0.9, member=0, visit=0, level=0, lineage=index, look=1, budget=budget, cost=cost
        )
        return selection, _with_accuracy(lineage, random)


def _with_accuracy(lineage: LineageMeasurement, random: Random) -> LineageMeasurement:
    """Return the lineage with another accuracy of .95 or more: good enough in any case."""
    count = Count(correct=random.randrange(int(0.95 * EXAMPLES), EXAMPLES + 1), n=EXAMPLES)
    return lineage.model_copy(update={"gates": {"iid": count}})


def _chosen(pool: list[tuple[Selection, LineageMeasurement]]) -> int:
    """Return the index of the program that the product selects."""
    found = cheapest(pool)
    assert found is not None
    return found[0].lineage
