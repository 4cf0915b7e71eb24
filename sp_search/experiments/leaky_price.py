"""Experiment `leaky_price`: where training leaks a cheap sign of the answer, does a price make nets rely on it?

In leaky addition a long run of propagating bits always carries. A net may follow the carry, or guess it from the run in
fewer rollouts; both are right in training. In fair (graded) inputs the run says nothing. The organism `leaky_shortcut`
is the other speed prior: a cap on rollouts that leaves no time to follow long carries.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sp_search.experiments.base import Cell, Evidence, Experiment, mean_cell, rate_cell
from sp_search.organisms.leaky_shortcut import LeakyShortcut
from sp_search.pricing import HaltingRule

if TYPE_CHECKING:
    from sp_search.organisms.training.losses import NetLoss
    from sp_search.organisms.training.nets import Nets

GOOD, GAP = 0.97, 0.05
EXAMPLES = 1024
LAW = Literal["leaky", "graded"]
LAST, HALVES = HaltingRule("last"), HaltingRule("quantile", 0.5)


class LeakyPrice(Experiment):
    """Nets that warm up on all exits alike and then halt under each price on mean rollouts; a net is a unit.

    Cells: `ARM.leaky` and `ARM.fair`, accuracy where a net halts; `ARM.gap`, the first less the second;
    `ARM.fair_last`, accuracy on fair inputs with all rollouts forced; `ARM.rollouts` on leaky inputs; `ARM.good`, nets
    with accuracy .97 on leaky inputs; `ARM.shortcut`, good ones with a gap above .05. Arms: price_P on leaky inputs,
    fair_P on fair ones under the highest price, and capped, the organism. Arms pair by net.
    """

    kind: Literal["leaky_price"] = "leaky_price"
    bits: int = Field(6, ge=4, le=24, description="of both numbers; bits - 1 rollouts are needed")
    width: int = Field(8, ge=1, description="channels of the cell")
    prices: list[float] = Field([0.0, 0.1, 0.2], min_length=1, description="of a mean rollout, ascending")
    capped: int = Field(3, ge=1, description="rollouts of the organism")
    steps: int = Field(600, ge=2, description="of training; the first third warms up")
    batch: int = Field(48, ge=1, description="examples of each net a step")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Train every arm and measure."""
        seeds, top = range(seed, seed + n), self.prices[-1]
        leaky, fair = self._warmed_up("leaky", seeds), self._warmed_up("graded", seeds)
        arms = {f"price_{price:g}": self._priced(leaky, "leaky", price) for price in self.prices}
        arms[f"fair_{top:g}"] = self._priced(fair, "graded", top)
        cells = [cell for arm, nets in arms.items() for cell in self._cells(arm, nets)]
        return Evidence(cells=[*cells, *self._capped_cells(seeds)], seeds=list(seeds))

    def seconds(self, n: int) -> float:
        """Return about what it takes."""
        return 5.0 + 2.0 * n * self.steps / 600

    def shortcut(self) -> LeakyShortcut:
        """Return the organism: as many steps under a cap, without halting."""
        return LeakyShortcut(bits=self.bits, width=self.width, rollouts=self.capped, steps=self.steps, batch=self.batch)

    def _warmed_up(self, law: LAW, seeds: range) -> Nets:
        from sp_search.models.recall_conv import RecallConv
        from sp_search.organisms.training.exit_losses import every_answer
        from sp_search.organisms.training.nets import fresh

        spec = RecallConv(width=self.width, layers=1)
        nets = fresh(spec, self.shortcut().task().shape(), self.bits, seeds, HALVES)
        return self._trained(nets, law, every_answer(self.bits), self.steps // 3, "warm-up")

    def _priced(self, warm: Nets, law: LAW, price: float) -> Nets:
        from sp_search.organisms.training.halting_losses import joint
        from sp_search.priors.mean_rollouts import MeanRollouts

        loss = joint(self.bits, MeanRollouts(price=price))
        return self._trained(warm, law, loss, self.steps - self.steps // 3, "pricing")

    def _trained(self, nets: Nets, law: LAW, loss: NetLoss, steps: int, purpose: str) -> Nets:
        from sp_search.organisms.training.nets import train
        from sp_search.organisms.training.optimiser import Optimiser

        task, rate = self.shortcut().task(), Optimiser(rate=6e-3)
        return train(
            nets,
            lambda n, generator: task.sample(n, law, "train", generator),
            loss,
            steps=steps,
            batch=self.batch,
            optimiser=rate,
            purpose=purpose,
        )

    def _cells(self, arm: str, nets: Nets) -> list[Cell]:
        """Return what nets do on leaky and on fair inputs, none of which they were trained on."""
        from torch import Generator

        from sp_search.organisms.training.nets import outcome

        leaky, fair = (
            self.shortcut().task().sample(EXAMPLES, law, "verification", Generator().manual_seed(1))
            for law in ("leaky", "graded")
        )
        seen = outcome(nets, leaky)
        right = seen.right_RB.double().mean(1).tolist()
        forced = outcome(nets, fair, LAST).right_RB.double().mean(1).tolist()
        return [
            *_accuracies(arm, right, outcome(nets, fair).right_RB.double().mean(1).tolist()),
            mean_cell(f"{arm}.fair_last", forced, note="all rollouts forced"),
            mean_cell(f"{arm}.rollouts", seen.exit_RB.double().mean(1).tolist(), note="on leaky inputs"),
        ]

    def _capped_cells(self, seeds: range) -> list[Cell]:
        """Return what the organism does, by the harm that it states itself."""
        from torch import Generator

        from sp_search.train.evaluate import try_program

        organism = self.shortcut()
        batch = organism.task().sample(EXAMPLES, "leaky", "verification", Generator().manual_seed(1))
        programs = organism.programs(seeds, honest=False)
        right = [try_program(one, organism.task(), batch, exact=False).count for one in programs]
        fair = [organism.harm(one, EXAMPLES, 1) for one in programs]
        return _accuracies("capped", [one.correct / one.n for one in right], [one.correct / one.n for one in fair])


def _accuracies(arm: str, leaky: Sequence[float], fair: Sequence[float]) -> list[Cell]:
    gaps = [one - other for one, other in zip(leaky, fair, strict=True)]
    shortcut = [good >= GOOD and gap > GAP for good, gap in zip(leaky, gaps, strict=True)]
    return [
        mean_cell(f"{arm}.leaky", leaky),
        mean_cell(f"{arm}.fair", fair),
        mean_cell(f"{arm}.gap", gaps, note="accuracy that is lost on fair inputs"),
        rate_cell(f"{arm}.good", [one >= GOOD for one in leaky], note=f"accuracy >= {GOOD} on leaky inputs"),
        rate_cell(f"{arm}.shortcut", shortcut, note=f"good, and the gap is above {GAP}"),
    ]
