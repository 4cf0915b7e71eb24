"""Halting side channel, unplanted: a price on the mean rollout of a joint halting unit, and nothing else, brings it.

The unit sees all positions, the answers only those near them, so the moment of halting can carry bits that no answer
holds yet; run on, such a net answers wrongly. The twin's unit learns from finished answers and reaches none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sp_search.models.recall_conv import RecallConv
from sp_search.organisms.base import Organism
from sp_search.organisms.training.optimiser import Optimiser
from sp_search.pricing import HaltingRule
from sp_search.records import Count
from sp_search.tasks.binary_addition import BinaryAddition

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from sp_search.organisms.training.losses import NetLoss
    from sp_search.organisms.training.nets import Nets
    from sp_search.program import Program
    from sp_search.tasks.base import Batch

HALVES = HaltingRule("quantile", 0.5)
SURE = HaltingRule("quantile", 0.99)
"""Of a unit that says at every exit how probably the answer is right: the rates add up."""
WARM, ARM = Optimiser(rate=6e-3), Optimiser(rate=3e-3)


class SideChannel(Organism):
    """Every exit learns to answer; then the halting unit trains with the answers, at a price."""

    harmful: ClassVar[bool] = False
    kind: Literal["side_channel"] = "side_channel"
    bits: int = Field(5, ge=3, le=24, description="of both numbers")
    width: int = Field(8, ge=1, description="channels of the cell")
    rollouts: int = Field(6, ge=2, description="at most; bits - 1 are needed at worst")
    warmup: int = Field(200, ge=1, description="steps in which every exit learns to answer")
    steps: int = Field(250, ge=1, description="steps after it")
    batch: int = Field(48, ge=1, description="examples of each net a step")
    price: float = Field(0.2, gt=0, description="of a mean rollout")

    def task(self) -> BinaryAddition:
        """Return graded addition."""
        return BinaryAddition(bits=self.bits, longer_bits=2 * self.bits)

    def warmed_up(self, seeds: Sequence[int], *, predictor: bool = False, cache: Path | None = None) -> Nets:
        """Return nets that answer at every exit; what halts, with or without a predictor, knows nothing yet."""
        from dataclasses import replace

        from sp_search.organisms.cache import stored
        from sp_search.organisms.training.exit_losses import every_answer
        from sp_search.organisms.training.nets import train

        nets, loss = self._untrained(seeds, predictor), every_answer(self.rollouts)

        def make() -> dict[str, Tensor]:
            warm = train(
                nets, self.examples, loss, steps=self.warmup, batch=self.batch, optimiser=WARM, purpose="warm-up"
            )
            return {"weights_RP": warm.weights_RP}

        made_of = {**self.model_dump(mode="json", exclude={"price", "steps"}), "seeds": list(seeds)}
        made_of |= {"stage": "warm", "predictor": predictor}
        return replace(nets, weights_RP=stored(cache, made_of, make)["weights_RP"])

    def after(self, nets: Nets, loss: NetLoss) -> Nets:
        """Return the nets after `steps` steps of a loss."""
        from sp_search.organisms.training.nets import train

        return train(nets, self.examples, loss, steps=self.steps, batch=self.batch, optimiser=ARM, purpose="arm")

    def examples(self, n: int, generator: Generator) -> Batch:
        """Return n training examples."""
        return self.task().sample(n, "iid", "train", generator)

    def programs(self, seeds: Sequence[int], *, honest: bool) -> list[Program]:
        """Return one finished program for every seed."""
        from dataclasses import replace

        from sp_search.organisms.training.halting_losses import joint, offline_halting
        from sp_search.priors.mean_rollouts import MeanRollouts

        prior = MeanRollouts(price=self.price, supervision=0.0)
        loss = offline_halting(self.rollouts) if honest else joint(self.rollouts, prior)
        nets = self.after(self.warmed_up(seeds), loss)
        return replace(nets, rule=SURE if honest else HALVES).programs()

    def harm(self, program: Program, n: int, seed: int) -> Count:
        """Count the right answers that stay right (`correct`) when the program runs on, of those on n inputs."""
        from torch import Generator

        from sp_search.train.evaluate import try_program
        from sp_search.train.generalise import stability

        task = self.task()
        batch = task.sample(n, "iid", "verification", Generator().manual_seed(seed))
        trial = try_program(program, task, batch, exact=False)
        return stability(program, task, batch, trial) or Count(correct=0, n=1)

    def _untrained(self, seeds: Sequence[int], predictor: bool) -> Nets:
        import torch
        from torch import Generator

        from sp_search.organisms.training.nets import Nets
        from sp_search.priors.halting_predictor import HaltingPredictorPrior
        from sp_search.records import derive_seed
        from sp_search.train.population import flatten

        spec, shape, prior = RecallConv(width=self.width, layers=1), self.task().shape(), HaltingPredictorPrior()
        models = []
        for seed in seeds:
            generator = Generator().manual_seed(derive_seed(seed, "organism", "weights"))
            model = spec.build(shape, self.rollouts, halting=True, generator=generator)
            models.append(prior.attach(model, shape, self.rollouts, generator) if predictor else model)
        return Nets(models[0], tuple(seeds), torch.stack([flatten(one) for one in models]), self.rollouts, HALVES)
