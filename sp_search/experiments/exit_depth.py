"""Do early exits use what each input needs, and what does learning them cost? On a task whose need is proven.

Three ways to learn the same network from the same examples: every answer; the last answer trains the blocks and early
heads only read along; the last answer alone. Costs are analytic training FLOPs (3 forward passes of what a loss reads).
"""

from __future__ import annotations

from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sp_search.experiments.base import Cell, Evidence, Experiment, mean_cell
from sp_search.models.exit_conv import ExitConv
from sp_search.organisms.early_exit import CONFIDENT, FAST
from sp_search.pricing import HaltingRule
from sp_search.tasks.graded_trigger import GradedTrigger

if TYPE_CHECKING:
    from torch import Generator

    from sp_search.organisms.training.losses import NetLoss
    from sp_search.organisms.training.nets import Nets, Outcome
    from sp_search.tasks.base import Batch

EXAMPLES = 1024


class ExitDepth(Experiment):
    """Cells, for the ways early, detached and last: `exit` and `accuracy` on inputs of every depth alike.

    `excess` is the mean of exit - need; `own` the share of inputs that leave exactly at their need; `flops` the
    training FLOPs until `good` (1e9; a net that never gets there counts all its steps), and `ratio` is early over last.
    """

    kind: Literal["exit_depth"] = "exit_depth"
    positions: int = Field(5, ge=5, le=33, description="length of an input; blocks of reach 1, one fewer")
    width: int = Field(12, ge=1, description="channels of the state")
    batch: int = Field(64, ge=1, description="examples of each net a step")
    look_every: int = Field(100, ge=1, description="steps from one look to the next; the optimiser begins anew")
    looks: int = Field(8, ge=1, description="looks at most")
    good: float = Field(0.97, gt=0, lt=1, description="accuracy that counts as learnt")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Train all three ways and measure."""
        from torch import Generator

        from sp_search.organisms.training.exit_losses import every_answer
        from sp_search.organisms.training.losses import last_answer

        begun, exits, seeds = process_time(), self.positions - 1, range(seed, seed + n)
        batch = self._task().sample(EXAMPLES, "uniform", "verification", Generator().manual_seed(1))
        cells, flops = [], {}
        ways = {"early": every_answer(exits), "detached": every_answer(exits, "last"), "last": last_answer(exits)}
        for way, loss in ways.items():
            rule = HaltingRule("last") if way == "last" else CONFIDENT
            seen, flops[way] = self._learnt(loss, seeds, rule, batch, heads=1 if way == "last" else exits)
            cells += self._cells(way, seen, batch)
            cells.append(mean_cell(f"flops.{way}", [one / 1e9 for one in flops[way]]))
        ratios = [one / other for one, other in zip(flops["early"], flops["last"], strict=True)]
        cells.append(mean_cell("ratio", ratios))
        return Evidence(cells=cells, seeds=list(seeds), seconds=process_time() - begun)

    def _task(self) -> GradedTrigger:
        return GradedTrigger(positions=self.positions)

    def _learnt(
        self, loss: NetLoss, seeds: range, rule: HaltingRule, batch: Batch, heads: int
    ) -> tuple[Outcome, list[float]]:
        """Return what the nets do at the end, and each net's training FLOPs until it was good."""
        from functools import partial

        from sp_search.organisms.training.nets import fresh, outcome, train

        spec, shape, exits = (
            ExitConv(width=self.width, depth=self.positions - 1, kernel=2),
            self._task().shape(),
            self.positions - 1,
        )
        nets: Nets = fresh(spec, shape, exits, seeds, rule, halting=False)
        prices = spec.prices(shape, exits, halting=False)
        forward = prices.start + sum(prices.step_N) + sum(prices.answer_N[-heads:])
        examples, taken = partial(_clean, self._task()), [self.looks] * len(seeds)
        for look in range(self.looks):
            nets = train(
                nets, examples, loss, steps=self.look_every, batch=self.batch, optimiser=FAST, purpose=f"slice {look}"
            )
            seen = outcome(nets, batch)
            for row, accuracy in enumerate(seen.right_RB.double().mean(1).tolist()):
                if accuracy >= self.good:
                    taken[row] = min(taken[row], look + 1)
        return seen, [3.0 * forward * self.batch * self.look_every * looks for looks in taken]

    def _cells(self, way: str, seen: Outcome, batch: Batch) -> list[Cell]:
        need_B = self._task().minimal_rollouts(batch, 1)
        measures = {
            "exit": seen.exit_RB.double(),
            "accuracy": seen.right_RB.double(),
            "excess": (seen.exit_RB - need_B).double(),
            "own": (seen.exit_RB == need_B).double(),
        }
        return [mean_cell(f"{name}.{way}", value_RB.mean(1).tolist()) for name, value_RB in measures.items()]

    def seconds(self, n: int) -> float:
        """Return about what it takes."""
        return 2.0 + 0.8 * n


def _clean(task: GradedTrigger, n: int, generator: Generator) -> Batch:
    return task.sample(n, "iid", "train", generator)
