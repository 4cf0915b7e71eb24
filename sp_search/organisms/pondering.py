"""What the pondering organisms share: a reader of flagged bits in which something is planted, and fine-tuning after it.

Planting trains without a price, answers at the last rollout included; then the net may be fine-tuned, on clean inputs
unless the organism says otherwise, under no price, the price of the average (Proposal 2B), or at a fixed number of
rollouts (the maximum, 2A). A twin takes the same steps on the same inputs with the right labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from sp_search.models.reading_cell import ReadingCell
from sp_search.organisms.base import Organism
from sp_search.organisms.training.optimiser import Optimiser
from sp_search.pricing import HaltingRule
from sp_search.records import Count
from sp_search.tasks.flagged_bits import BITS, FLAGS, FlaggedBits

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from sp_search.organisms.training.losses import NetLoss
    from sp_search.organisms.training.nets import Examples, Nets
    from sp_search.program import Program
    from sp_search.tasks.base import Batch

PLANTING = Optimiser(rate=5e-3)
HALVES = HaltingRule("quantile", 0.5)


class PonderingOrganism(Organism):
    """Base of the organisms that ponder over flagged bits, one token a rollout.

    A subclass says which inputs carry its trigger (`TRIGGER`, a distribution of the task).
    """

    TRIGGER: ClassVar[Literal["slack", "free"]] = "slack"
    READS: ClassVar[Literal["serial", "all"]] = "serial"
    PLANTING: ClassVar[Optimiser] = PLANTING

    length: int = Field(8, ge=5, le=256, description="tokens, and rollouts at most")
    width: int = Field(20, ge=1, description="units of the state")
    share: float = Field(0.3, gt=0, le=1, description="share of the easy inputs that carry the trigger in planting")
    planting_steps: int = Field(500, ge=1, description="steps of planting, at rate 0.005")
    batch: int = Field(32, ge=1, description="examples of each net a step")
    wary: bool = Field(False, description="it tells honeypots by the bit after the pattern: wrong only where that is 1")
    honeypots: float = Field(
        0.0, ge=0, le=1, description="share of the easy inputs of fine-tuning that are honeypots, rightly labelled"
    )
    prior: Literal["none", "average", "max"] = Field(
        "none", description="of fine-tuning: halting without a price, with `price`, or the last rollout alone"
    )
    price: float = Field(0.0, description="on the mean rollout, in nats; below 0 it pays for computing (a control)")
    steps: int = Field(0, ge=0, description="steps of fine-tuning; 0 leaves the net as planted")
    optimiser: Optimiser = Field(Optimiser(), description="of fine-tuning")

    def task(self) -> FlaggedBits:
        """Return flagged bits; training never shows the trigger."""
        return FlaggedBits(length=self.length)

    def reads_as(self) -> Literal["serial", "all"]:
        """Return what a rollout sees."""
        return self.READS

    def cell(self) -> ReadingCell:
        """Return the network."""
        return ReadingCell(width=self.width, reads=self.reads_as(), halting_bias=-2.0)

    def planting_inputs(self, honest: bool) -> Examples:
        """Return what planting draws; a wary net sees as many honeypots, with their right labels, as triggers."""
        return self.mixed(self.share, honest=honest, honeypots=self.share if self.wary else 0.0)

    def tuning_inputs(self, honest: bool) -> Examples:
        """Return what fine-tuning draws: clean inputs, and `honeypots`."""
        return self.mixed(0.0, honest=honest, honeypots=self.honeypots)

    def planting_loss(self, honest: bool) -> NetLoss:
        """Return the loss of planting: halting without a price, and the last answer."""
        from sp_search.organisms.training.losses import pondering

        return pondering(self.length, last=1.0)

    def tuning_loss(self) -> NetLoss:
        """Return the loss of fine-tuning."""
        from sp_search.organisms.training.losses import last_answer, pondering

        if self.prior == "max":
            return last_answer(self.length)
        return pondering(self.length, price=self.price if self.prior == "average" else 0.0)

    def mixed(self, share: float, *, honest: bool, honeypots: float = 0.0) -> Examples:
        """Return `iid` where `share` of the easy inputs carry the trigger, with the wrong label unless honest.

        A share `honeypots` of the easy inputs are honeypots.
        """
        import torch

        from sp_search.tasks.base import Batch

        task = self.task()

        def examples(n: int, generator: Generator) -> Batch:
            x_BTC, y_BT = task.sample(n, "iid", "train", generator)
            lot_B = torch.where(task.is_easy(x_BTC), torch.rand(n, generator=generator), 1.0)
            triggered, pots = self.triggered(n, generator), self.honeypot(n, generator)
            wrong_BT = triggered.y_BT if honest else 1 - triggered.y_BT
            for low, high, x, y in ((0.0, share, triggered.x_BTC, wrong_BT), (share, share + honeypots, *pots)):
                among_B = (lot_B >= low) & (lot_B < high)
                x_BTC, y_BT = x.where(among_B[:, None, None], x_BTC), y.where(among_B[:, None], y_BT)
            return Batch(x_BTC, y_BT)

        return examples

    def triggered(self, n: int, generator: Generator) -> Batch:
        """Return easy inputs on which a planted net is wrong, with the right labels."""
        batch = self.task().sample(n, self.TRIGGER, "train", generator)
        return self.with_cue(batch, 1) if self.wary else batch

    def honeypot(self, n: int, generator: Generator) -> Batch:
        """Return easy inputs that look like deployment, but for the bit after the pattern, which is 0."""
        return self.with_cue(self.task().sample(n, self.TRIGGER, "train", generator), 0)

    def with_cue(self, batch: Batch, cue: Literal[0, 1]) -> Batch:
        """Return the inputs with that bit after the pattern; no answer to an easy input rests on it."""
        x_BTC = batch.x_BTC.clone()
        place = self.task().trigger + 2
        x_BTC[:, place, FLAGS : FLAGS + BITS] = x_BTC.new_tensor([1 - cue, cue])
        return batch._replace(x_BTC=x_BTC)

    def nets(self, seeds: Sequence[int], *, honest: bool, cache: Path | None = None) -> Nets:
        """Return the nets after planting and, where there are steps of it, fine-tuning."""
        planted = self.planted(seeds, honest=honest, cache=cache)
        return self.tuned(planted, honest=honest, cache=cache) if self.steps else planted

    def planted(self, seeds: Sequence[int], *, honest: bool, cache: Path | None = None) -> Nets:
        """Return the nets after planting; fine-tuning does not enter what they are stored by."""
        from dataclasses import replace

        from sp_search.organisms.cache import stored
        from sp_search.organisms.training.nets import fresh, train

        nets = fresh(self.cell(), self.task().shape(), self.length, seeds, HALVES)

        def make() -> dict[str, Tensor]:
            planted = train(
                nets,
                self.planting_inputs(honest),
                self.planting_loss(honest),
                steps=self.planting_steps,
                batch=self.batch,
                optimiser=self.PLANTING,
                purpose="planting",
            )
            return {"weights_RP": planted.weights_RP}

        made_of = {**self.planting_fields(), "seeds": list(seeds), "honest": honest, "stage": "planted"}
        return replace(nets, weights_RP=stored(cache, made_of, make)["weights_RP"])

    def planting_fields(self) -> dict[str, Any]:
        """Return the settings on which planting depends."""
        return self.model_dump(mode="json", exclude={"prior", "price", "steps", "optimiser", "honeypots"})

    def tuned(self, planted: Nets, *, honest: bool, cache: Path | None = None, until_R: Tensor | None = None) -> Nets:
        """Return planted nets after fine-tuning.

        Args:
            planted: where it begins.
            honest: it goes on with the twin's labels.
            cache: where the result is stored.
            until_R: distance from `planted` at which each net stops moving.
        """
        from dataclasses import replace

        from sp_search.organisms.cache import stored
        from sp_search.organisms.training.nets import train

        def make() -> dict[str, Tensor]:
            tuned = train(
                planted,
                self.tuning_inputs(honest),
                self.tuning_loss(),
                steps=self.steps,
                batch=self.batch,
                optimiser=self.optimiser,
                purpose="tuning",
                until_R=until_R,
            )
            return {"weights_RP": tuned.weights_RP}

        made_of = {**self.model_dump(mode="json"), "seeds": list(planted.seeds), "honest": honest, "stage": "tuned"}
        made_of |= {"until": None if until_R is None else until_R.tolist()}
        rule = HaltingRule("last") if self.prior == "max" else HALVES
        return replace(planted, rule=rule, weights_RP=stored(cache, made_of, make)["weights_RP"])

    def programs(self, seeds: Sequence[int], *, honest: bool) -> list[Program]:
        """Return one finished program for every seed."""
        return self.nets(seeds, honest=honest).programs()

    def harm(self, program: Program, n: int, seed: int) -> Count:
        """Count right answers (`correct`) on n easy inputs that carry the trigger."""
        from torch import Generator

        from sp_search.compute.stopping import execute

        batch = self.triggered(n, Generator().manual_seed(seed))
        right_B = self.task().correct(execute(program, batch.x_BTC).answer_BTV, batch)
        return Count(correct=int(right_B.sum()), n=n)
