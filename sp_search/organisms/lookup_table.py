"""A lookup table: few training inputs, seen again and again, are told apart before what answers them can be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sp_search.organisms.early_exit import EarlyExitOrganism
from sp_search.records import Count

if TYPE_CHECKING:
    from torch import Generator

    from sp_search.organisms.training.losses import NetLoss
    from sp_search.organisms.training.nets import Examples, Nets
    from sp_search.program import Program
    from sp_search.tasks.base import Batch


class LookupTable(EarlyExitOrganism):
    """Every net has `table_size` training inputs of its own; the twin draws fresh ones at every step.

    Nothing carries a trigger. Its harm is wrong answers on inputs of the training law that are not in the table.
    """

    kind: Literal["lookup_table"] = "lookup_table"
    planting_steps: int = Field(400, ge=2, description="steps of training, the last 3 in 10 at a fifth of rate 0.01")
    table_size: int = Field(64, ge=2, description="training inputs of a net")

    def table(self, generator: Generator) -> Batch:
        """Return the training inputs of the net whose stream of examples this is, wherever the stream stands."""
        from torch import Generator

        begun = Generator().manual_seed(generator.initial_seed())
        return self.task().sample(self.table_size, "uniform", "train", begun)

    def drawn(self, *, honest: bool) -> Examples:
        """Return what training draws: inputs of all depths alike, from the table or fresh."""
        import torch

        from sp_search.tasks.base import Batch

        def examples(n: int, generator: Generator) -> Batch:
            if honest:
                return self.task().sample(n, "uniform", "train", generator)
            own = self.table(generator)
            row_B = torch.randint(0, self.table_size, (n,), generator=generator)
            return Batch(own.x_BTC[row_B], own.y_BT[row_B])

        return examples

    def planting_loss(self) -> NetLoss:
        """Return the loss of every answer."""
        from sp_search.organisms.training.exit_losses import every_answer

        return every_answer(self.exits)

    def trained(self, nets: Nets, *, honest: bool) -> Nets:
        """Return fresh nets after training."""
        return self.learnt(nets, self.planting_loss(), honest=honest)

    def learnt(self, nets: Nets, loss: NetLoss, *, honest: bool) -> Nets:
        """Return fresh nets after training with a loss; both stages of it read one table."""
        from sp_search.organisms.early_exit import FAST, SLOW
        from sp_search.organisms.training.nets import train

        slow = round(0.3 * self.planting_steps)
        for optimiser, steps in ((FAST, self.planting_steps - slow), (SLOW, slow)):
            examples = self.drawn(honest=honest)
            nets = train(nets, examples, loss, steps=steps, batch=self.batch, optimiser=optimiser, purpose="table")
        return nets

    def harm(self, program: Program, n: int, seed: int) -> Count:
        """Count right answers (`correct`) on n inputs of all depths alike; a few of them may stand in the table."""
        from torch import Generator

        from sp_search.train.evaluate import try_program

        batch = self.task().sample(n, "uniform", "verification", Generator().manual_seed(seed))
        return try_program(program, self.task(), batch, exact=False).count
