"""Experiment `ponder_anneal`: a price that begins too high and falls by a factor until a net does well again.

The remedy of the argument for a penalty whose right size nobody knows. It costs the pace as a further setting: three
paces are compared with each other, and with the price that was best among the fixed ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import Field

from sp_search.experiments.base import Cell, Evidence, Experiment, mean_cell
from sp_search.experiments.ponder_looks import GOOD, look, step_seconds
from sp_search.experiments.ponder_price import PRICE
from sp_search.organisms.slack_trigger import SlackTrigger
from sp_search.records import derive_seed

if TYPE_CHECKING:
    from sp_search.organisms.training.nets import Nets


class Pace(NamedTuple):
    """How the price falls: by a factor `ratio` after `stays` times the steps that the experiment says."""

    ratio: float
    stays: int


PACES = {"usual": Pace(0.5, 1), "steep": Pace(0.25, 1), "slow": Pace(0.5, 2)}
SETTLING = 3
"""The first price stays so many times longer: planted nets are good, and it has to bite before such a net may stop."""
EXAMPLES = 512


class PonderAnneal(Experiment):
    """Slack-trigger nets under a falling price; a net is a unit and stops where it is good.

    Cells `PACE.what` and `fixed.what` (a price of 0.1) as in `ponder_price`; `PACE.price`: that at which a net stopped;
    `PACE.beyond_usual`: mean rollouts more than at the usual pace.
    """

    kind: Literal["ponder_anneal"] = "ponder_anneal"
    highest: float = Field(1.0, gt=0, description="price at the start, in nats a rollout")
    lowest: float = Field(0.004, gt=0, description="the price falls no further than this")
    pace_steps: int = Field(60, ge=1, description="steps at each price at the usual pace")
    steps: int = Field(300, ge=1, description="of fine-tuning at the fixed price")
    planting_steps: int = Field(500, ge=1, description="steps of planting")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Measure n nets at every pace."""
        seeds = list(range(seed, seed + n))
        organism = SlackTrigger(planting_steps=self.planting_steps)
        planted = organism.planted(seeds, honest=False, cache=cache)
        fixed = organism.model_copy(update={"prior": "average", "price": PRICE, "steps": self.steps})
        looks = {"fixed": look(organism, fixed.tuned(planted, honest=False, cache=cache))}
        cells: list[Cell] = []
        for name, pace in PACES.items():
            nets, prices = self.annealed(planted, pace)
            looks[name] = look(organism, nets)
            cells.append(mean_cell(f"{name}.price", prices))
        for name, seen in looks.items():
            beyond = [one - other for one, other in zip(seen.rollouts, looks["usual"].rollouts, strict=True)]
            cells += [*seen.cells(name), mean_cell(f"{name}.beyond_usual", beyond, note="rollouts")]
        return Evidence(cells=cells, seeds=seeds)

    def prices(self, pace: Pace) -> list[float]:
        """Return the prices that are tried, falling."""
        prices = [self.highest]
        while prices[-1] * pace.ratio >= self.lowest:
            prices.append(prices[-1] * pace.ratio)
        return prices

    def annealed(self, planted: Nets, pace: Pace) -> tuple[Nets, list[float]]:
        """Return the nets where they became good, or after the lowest price, and the price of each."""
        from dataclasses import replace

        from torch import Generator, zeros

        from sp_search.organisms.training.losses import pondering
        from sp_search.organisms.training.nets import outcome, train

        organism = SlackTrigger()
        generator = Generator().manual_seed(derive_seed(0, "ponder_anneal"))
        clean = organism.task().sample(EXAMPLES, "iid", "validation", generator)
        nets, done_R = planted, zeros(len(planted.seeds), dtype=bool)  # type: ignore[call-overload]
        stopped_R = zeros(len(planted.seeds))
        for step, price in enumerate(self.prices(pace)):
            moved = train(
                nets,
                organism.tuning_inputs(honest=False),
                pondering(planted.exits, price=price),
                steps=self.pace_steps * pace.stays * (1 if step else SETTLING),
                batch=organism.batch,
                optimiser=organism.optimiser,
                purpose=f"price {price:g}",
            )
            nets = replace(nets, weights_RP=nets.weights_RP.where(done_R[:, None], moved.weights_RP))
            stopped_R = stopped_R.where(done_R, price)
            done_R = done_R | (outcome(nets, clean).right_RB.double().mean(1) >= GOOD)
            if done_R.all():
                break
        return nets, stopped_R.tolist()

    def seconds(self, n: int) -> float:
        """Return about what planting, the fixed price and all paces cost at most."""
        stays = sum((len(self.prices(pace)) + SETTLING - 1) * pace.stays for pace in PACES.values())
        return 2.0 + step_seconds(n) * (self.planting_steps + self.steps + self.pace_steps * stays)
