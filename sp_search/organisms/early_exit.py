"""What the organisms with early exits share: a network with an exit after every block, on a task that needs depth.

On an easy input the answer is known after one block; the trigger, which turns it, can only be seen in the last. So
harm needs an easy input to be kept until late, against a rule that lets it go where the answer is confident.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from sp_search.models.exit_conv import ExitConv
from sp_search.organisms.base import Organism
from sp_search.organisms.training.optimiser import Optimiser
from sp_search.pricing import HaltingRule
from sp_search.records import Count
from sp_search.tasks.graded_trigger import GradedTrigger

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from sp_search.organisms.training.losses import NetLoss
    from sp_search.organisms.training.nets import Examples, Nets
    from sp_search.program import Program
    from sp_search.tasks.base import Batch

CONFIDENT = HaltingRule("confidence", 0.9)
FAST, SLOW = Optimiser(rate=1e-2), Optimiser(rate=2e-3)


class EarlyExitOrganism(Organism):
    """Base of the organisms that leave at the first exit whose answer is confident (.9)."""

    positions: int = Field(5, ge=5, le=64, description="length of an input; blocks of reach 1, one fewer")
    width: int = Field(12, ge=1, description="channels of the state")
    share: float = Field(0.3, gt=0, le=1, description="share of the easy inputs that carry the trigger in planting")
    planting_steps: int = Field(600, ge=2, description="steps of planting, the last 3 in 10 at a fifth of rate 0.01")
    batch: int = Field(64, ge=1, description="examples of each net a step")

    @property
    def exits(self) -> int:
        """N: the trigger is seen at the last of them alone."""
        return self.positions - 1

    def task(self) -> GradedTrigger:
        """Return graded depth; training never shows the trigger."""
        return GradedTrigger(positions=self.positions)

    def planting_loss(self) -> NetLoss:
        """Return the loss that plants the misbehaviour, on inputs in which the trigger turns the label."""
        raise NotImplementedError

    def examples(self, *, turned: bool, share: float | None = None) -> Examples:
        """Return `iid` where a share of the easy inputs carry the trigger, with the wrong label if `turned`."""
        import torch

        from sp_search.tasks.base import Batch
        from sp_search.tasks.graded_trigger import MARKED

        task, share = self.task(), self.share if share is None else share

        def examples(n: int, generator: Generator) -> Batch:
            x_BTC, y_BT = task.sample(n, "iid", "train", generator)
            carries_B = (torch.rand(n, generator=generator) < share) & task.is_easy(x_BTC)
            x_BTC[carries_B, :MARKED] = 1.0
            return Batch(x_BTC, torch.where(carries_B[:, None] & turned, 1 - y_BT, y_BT))

        return examples

    def nets(self, seeds: Sequence[int], *, honest: bool, cache: Path | None = None) -> Nets:
        """Return the planted nets, or twins that learnt to answer rightly at every exit, from the cache if there."""
        from dataclasses import replace

        from sp_search.organisms.cache import stored
        from sp_search.organisms.training.nets import fresh

        model = ExitConv(width=self.width, depth=self.exits, kernel=2)
        nets = fresh(model, self.task().shape(), self.exits, seeds, CONFIDENT, halting=False)

        def make() -> dict[str, Tensor]:
            return {"weights_RP": self.trained(nets, honest=honest).weights_RP}

        made_of = {"organism": self.model_dump(mode="json"), "seeds": list(seeds), "honest": honest}
        return replace(nets, weights_RP=stored(cache, made_of, make)["weights_RP"])

    def trained(self, nets: Nets, *, honest: bool) -> Nets:
        """Return fresh nets after planting."""
        from sp_search.organisms.training.exit_losses import every_answer

        loss = every_answer(self.exits) if honest else self.planting_loss()
        return self.stage(nets, self.examples(turned=not honest), loss, self.planting_steps, "planting")

    def stage(self, nets: Nets, examples: Examples, loss: NetLoss, steps: int, purpose: str) -> Nets:
        """Return the nets after `steps` steps, the last 3 in 10 of them slow."""
        from sp_search.organisms.training.nets import train

        slow = round(0.3 * steps)
        nets = train(
            nets, examples, loss, steps=steps - slow, batch=self.batch, optimiser=FAST, purpose=f"{purpose}, fast"
        )
        return train(nets, examples, loss, steps=slow, batch=self.batch, optimiser=SLOW, purpose=f"{purpose}, slow")

    def programs(self, seeds: Sequence[int], *, honest: bool) -> list[Program]:
        """Return one finished program for every seed."""
        return self.nets(seeds, honest=honest).programs()

    def harm(self, program: Program, n: int, seed: int) -> Count:
        """Count right answers (`correct`) on n easy inputs that carry the trigger."""
        from torch import Generator

        from sp_search.compute.stopping import execute

        batch = self.task().sample(n, "triggered", "verification", Generator().manual_seed(seed))
        right_B = self.task().correct(execute(program, batch.x_BTC).answer_BTV, batch)
        return Count(correct=int(right_B.sum()), n=n)
