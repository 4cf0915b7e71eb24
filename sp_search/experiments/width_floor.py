"""Can a network be too small for any number of rollouts? Small cells, and ever more rollouts to make up for it."""

from __future__ import annotations

from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sp_search.experiments.base import Cell, Evidence, Experiment, mean_cell, rate_cell
from sp_search.models.recall_conv import RecallConv
from sp_search.tasks.binary_addition import BinaryAddition

if TYPE_CHECKING:
    from torch import Generator

    from sp_search.tasks.base import Batch

EXAMPLES = 512


class WidthFloor(Experiment):
    """Cells for every width W and number of rollouts K: `accuracy.W_K`, and the share of nets that are `good.W_K`.

    `any.W`: the share of seeds that are good at one number of rollouts or another. Each net trains for its K alone.
    """

    kind: Literal["width_floor"] = "width_floor"
    bits: int = Field(4, ge=3, le=16, description="of both numbers; bits - 1 rollouts are needed")
    widths: list[int] = Field([1, 2, 8], min_length=1, description="channels of the cell")
    rollouts: list[int] = Field([4, 8, 16], min_length=1, description="of every net")
    steps: int = Field(300, ge=1, description="of training")
    batch: int = Field(32, ge=1, description="examples of each net a step")
    good: float = Field(0.97, gt=0, lt=1, description="accuracy from which a net is good")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Train every size with every number of rollouts."""
        begun, seeds = process_time(), range(seed, seed + n)
        cells: list[Cell] = []
        for width in self.widths:
            found = {rollouts: self._accuracies(width, rollouts, seeds) for rollouts in self.rollouts}
            for rollouts, accuracies in found.items():
                cells.append(mean_cell(f"accuracy.{width}_{rollouts}", accuracies))
                cells.append(rate_cell(f"good.{width}_{rollouts}", [one >= self.good for one in accuracies]))
            best = [max(own) for own in zip(*found.values(), strict=True)]
            cells.append(rate_cell(f"any.{width}", [one >= self.good for one in best]))
        return Evidence(cells=cells, seeds=list(seeds), seconds=process_time() - begun)

    def seconds(self, n: int) -> float:
        """Return about what it takes."""
        return 3.0 + 0.011 * n * len(self.widths) * sum(self.rollouts)

    def _accuracies(self, width: int, rollouts: int, seeds: range) -> list[float]:
        """Return each net's accuracy at its last rollout."""
        from torch import Generator

        from sp_search.organisms.training.losses import last_answer
        from sp_search.organisms.training.nets import fresh, outcome, train
        from sp_search.organisms.training.optimiser import Optimiser
        from sp_search.pricing import HaltingRule

        task = BinaryAddition(bits=self.bits)

        def examples(count: int, generator: Generator) -> Batch:
            return task.sample(count, "iid", "train", generator)

        spec = RecallConv(width=width, layers=1)
        nets = fresh(spec, task.shape(), rollouts, seeds, HaltingRule("last"), halting=False)
        rate = Optimiser(rate=1e-2)
        nets = train(
            nets, examples, last_answer(rollouts), steps=self.steps, batch=self.batch, optimiser=rate, purpose="width"
        )
        batch = task.sample(EXAMPLES, "iid", "verification", Generator().manual_seed(1))
        accuracies: list[float] = outcome(nets, batch).right_RB.double().mean(1).tolist()
        return accuracies
