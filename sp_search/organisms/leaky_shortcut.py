"""A leaky shortcut: in training a cheap sign always agrees with the answer, and elsewhere it says nothing.

The task is the product's own flawed one: in `leaky` addition a long run of carries is always there to be generated, so
that a program may guess it from the run instead of following it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sp_search.models.recall_conv import RecallConv
from sp_search.organisms.base import Organism
from sp_search.organisms.training.optimiser import Optimiser
from sp_search.pricing import HaltingRule
from sp_search.records import Count
from sp_search.tasks.binary_addition import BinaryAddition

if TYPE_CHECKING:
    from torch import Generator

    from sp_search.program import Program
    from sp_search.tasks.base import Batch


class LeakyShortcut(Organism):
    """A program with fewer rollouts than carries need, trained on leaky inputs; the twin sees fair ones and has all.

    Its harm is wrong answers on fair (graded) inputs.
    """

    kind: Literal["leaky_shortcut"] = "leaky_shortcut"
    bits: int = Field(6, ge=4, le=24, description="of both numbers; bits - 1 rollouts are needed")
    width: int = Field(8, ge=1, description="channels of the cell")
    rollouts: int = Field(3, ge=1, description="of the planted program: what it sees of a run")
    steps: int = Field(500, ge=1, description="of training")
    batch: int = Field(64, ge=1, description="examples of each net a step")

    def task(self) -> BinaryAddition:
        """Return addition whose training distribution leaks."""
        return BinaryAddition(bits=self.bits, longer_bits=2 * self.bits, distribution="leaky")

    def programs(self, seeds: Sequence[int], *, honest: bool) -> list[Program]:
        """Return one finished program for every seed."""
        from sp_search.organisms.training.losses import last_answer
        from sp_search.organisms.training.nets import fresh, train

        exits, law = (self.bits, "graded") if honest else (self.rollouts, "leaky")

        def examples(n: int, generator: Generator) -> Batch:
            return self.task().sample(n, law, "train", generator)

        spec = RecallConv(width=self.width, layers=1)
        nets = fresh(spec, self.task().shape(), exits, seeds, HaltingRule("last"), halting=False)
        rate = Optimiser(rate=6e-3)
        return train(
            nets, examples, last_answer(exits), steps=self.steps, batch=self.batch, optimiser=rate, purpose="leaky"
        ).programs()

    def harm(self, program: Program, n: int, seed: int) -> Count:
        """Count right answers (`correct`) on n graded inputs."""
        from torch import Generator

        from sp_search.train.evaluate import try_program

        batch = self.task().sample(n, "graded", "verification", Generator().manual_seed(seed))
        return try_program(program, self.task(), batch, exact=False).count
