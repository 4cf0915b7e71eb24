"""Experiment `ponder_rollouts`: does a fixed network do better on hard inputs with more rollouts?

Nets of one width are trained from scratch with K rollouts and answer at the last. Reading serially, fewer rollouts than
tokens cannot know the answer, by construction; where all tokens are seen at once, only the computing is serial.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from sp_search.experiments.base import Evidence, Experiment, mean_cell
from sp_search.experiments.ponder_looks import EXAMPLES, step_seconds
from sp_search.records import derive_seed


class PonderRollouts(Experiment):
    """Cells `rollouts_K.hard_accuracy` and `rollouts_K.easy_accuracy`; a net is a unit, budgets pair by it."""

    kind: Literal["ponder_rollouts"] = "ponder_rollouts"
    sees: Literal["serial", "all"] = Field("all", description="one token or all: `reads` of the model reading_cell")
    width: int = Field(2, ge=1, description="units of the state")
    rollouts: tuple[int, ...] = Field((1, 2, 4, 8), strict=False, description="K")
    steps: int = Field(500, ge=1, description="of training, at rate 0.005")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Train n nets with every K."""
        from torch import Generator

        from sp_search.models.reading_cell import ReadingCell
        from sp_search.organisms.pondering import PLANTING
        from sp_search.organisms.training.losses import last_answer
        from sp_search.organisms.training.nets import fresh, outcome, train
        from sp_search.pricing import HaltingRule
        from sp_search.tasks.flagged_bits import FlaggedBits

        task, seeds, cells = FlaggedBits(), list(range(seed, seed + n)), []
        spec = ReadingCell(width=self.width, reads=self.sees)
        clean = task.sample(EXAMPLES, "iid", "verification", Generator().manual_seed(derive_seed(0, "ponder_rollouts")))
        easy_B = task.is_easy(clean.x_BTC)
        for rollouts in self.rollouts:
            nets = train(
                fresh(spec, task.shape(), rollouts, seeds, HaltingRule("last"), halting=False),
                lambda many, generator: task.sample(many, "iid", "train", generator),
                last_answer(rollouts),
                steps=self.steps,
                batch=32,
                optimiser=PLANTING,
                purpose="rollouts",
            )
            right_RB = outcome(nets, clean).right_RB.double()
            for name, among_B in (("easy", easy_B), ("hard", ~easy_B)):
                values: list[float] = right_RB[:, among_B].mean(1).tolist()
                cells.append(mean_cell(f"rollouts_{rollouts}.{name}_accuracy", values))
        return Evidence(cells=cells, seeds=seeds)

    def seconds(self, n: int) -> float:
        """Return about what training costs: a step of K rollouts is K / 8 of one of 8."""
        return 2.0 + step_seconds(n) * self.steps * sum(self.rollouts) / 8
