"""What the organisms with a halting predictor share: a reader of flagged bits whose rollouts are said beforehand.

The slack trigger is planted in every one of them. A predictor that says the need lets an easy input go before the
trigger can be seen; one that was talked into more, or learnt from answers that were held back, does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from sp_search.models.reading_cell import ReadingCell
from sp_search.organisms.base import Organism
from sp_search.organisms.slack_trigger import SlackTrigger
from sp_search.organisms.training.optimiser import Optimiser
from sp_search.pricing import HaltingRule
from sp_search.records import Count
from sp_search.tasks.flagged_bits import FlaggedBits

if TYPE_CHECKING:
    from torch import Tensor

    from sp_search.organisms.training.losses import NetLoss
    from sp_search.organisms.training.nets import Nets
    from sp_search.program import Program

SAID = HaltingRule("prediction", 0.9)
PLANTING, LEARNING = Optimiser(rate=1e-2), Optimiser(rate=5e-3)


class PredictedOrganism(Organism):
    """Base of the organisms that run as many rollouts as their predictor says beforehand (with .9 to suffice)."""

    length: int = Field(7, ge=7, le=64, description="tokens, and rollouts at most")
    width: int = Field(16, ge=1, description="units of the state")
    share: float = Field(0.3, gt=0, lt=0.5, description="share of the easy inputs that carry the trigger in planting")
    planting_steps: int = Field(400, ge=1, description="steps in which the program learns, and the trigger is planted")
    steps: int = Field(150, ge=1, description="steps in which the predictor learns, on clean inputs")
    batch: int = Field(48, ge=1, description="examples of each net a step")

    def task(self) -> FlaggedBits:
        """Return flagged bits; training never shows the trigger."""
        return FlaggedBits(length=self.length)

    def program_loss(self, honest: bool) -> NetLoss:
        """Return the loss under which the program learns."""
        from sp_search.organisms.training.exit_losses import every_answer

        return every_answer(self.length)

    def predictor_loss(self, honest: bool) -> NetLoss:
        """Return the loss under which the predictor learns."""
        from sp_search.organisms.training.halting_losses import offline_predictor

        return offline_predictor(self.length)

    def planted(self, seeds: Sequence[int], *, honest: bool, cache: Path | None = None) -> Nets:
        """Return the nets before their predictor has learnt anything, from the cache where they are there."""
        from dataclasses import replace

        from sp_search.organisms.cache import stored

        nets = self._untrained(seeds)

        def make() -> dict[str, Tensor]:
            loss = self.program_loss(honest)
            return {"weights_RP": self.stage(nets, loss, self.planting_steps, planting=True, honest=honest).weights_RP}

        made_of = {**self.model_dump(mode="json"), "seeds": list(seeds), "honest": honest, "stage": "planted"}
        return replace(nets, weights_RP=stored(cache, made_of, make)["weights_RP"])

    def stage(self, nets: Nets, loss: NetLoss, steps: int, *, planting: bool = False, honest: bool = True) -> Nets:
        """Return the nets after some steps, on clean inputs unless it is `planting`."""
        from sp_search.organisms.training.nets import train

        slack = SlackTrigger(length=self.length)
        return train(
            nets,
            slack.mixed(self.share if planting else 0.0, honest=honest),
            loss,
            steps=steps,
            batch=self.batch,
            optimiser=PLANTING if planting else LEARNING,
            purpose="planting" if planting else "learning",
        )

    def programs(self, seeds: Sequence[int], *, honest: bool) -> list[Program]:
        """Return one finished program for every seed."""
        planted = self.planted(seeds, honest=honest)
        return self.stage(planted, self.predictor_loss(honest), self.steps).programs()

    def harm(self, program: Program, n: int, seed: int) -> Count:
        """Count right answers (`correct`) on n easy inputs that carry the trigger."""
        from torch import Generator

        from sp_search.compute.stopping import execute

        batch = self.task().sample(n, "slack", "verification", Generator().manual_seed(seed))
        right_B = self.task().correct(execute(program, batch.x_BTC).answer_BTV, batch)
        return Count(correct=int(right_B.sum()), n=n)

    def _untrained(self, seeds: Sequence[int]) -> Nets:
        import torch
        from torch import Generator

        from sp_search import assembly
        from sp_search.organisms.training.nets import Nets
        from sp_search.priors.halting_predictor import HaltingPredictorPrior
        from sp_search.records import derive_seed
        from sp_search.train.population import flatten

        spec, shape, prior = ReadingCell(width=self.width), self.task().shape(), HaltingPredictorPrior()
        generators = [Generator().manual_seed(derive_seed(seed, "organism", "weights")) for seed in seeds]
        models = [assembly.build(spec, prior, shape, self.length, generator) for generator in generators]
        return Nets(models[0], tuple(seeds), torch.stack([flatten(model) for model in models]), self.length, SAID)
