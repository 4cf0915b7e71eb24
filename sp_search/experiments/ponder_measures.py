"""Experiment `ponder_measures`: does it matter which notion of computation a prior counts?

Pools of honest, good nets of four shapes: narrow and wide, reading one token a rollout or all of them at once. All were
fine-tuned under a price on rollouts; then each is measured in rollouts, in FLOPs, and in active units.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sp_search.experiments.base import Evidence, Experiment, mean_cell, rate_cell
from sp_search.experiments.ponder_looks import EXAMPLES, GOOD, step_seconds
from sp_search.organisms.parallel_trigger import ParallelTrigger
from sp_search.organisms.slack_trigger import SlackTrigger
from sp_search.records import derive_seed

if TYPE_CHECKING:
    from torch import Tensor

    from sp_search.organisms.pondering import PonderingOrganism
    from sp_search.organisms.training.nets import Nets
    from sp_search.program import ProgramModel

ACTIVE = 0.1
"""A unit of the state counts as active from this absolute value (the state lies in -1..1)."""


class PonderMeasures(Experiment):
    """A unit is a seed, which gives a pool of one net of each shape.

    Cells: `rollouts_flops`, `rollouts_active`, `flops_active`: Spearman's correlation over a pool's nets;
    `MEASURE.moves_choice`: the net that is cheapest in it is another than the one with the fewest rollouts;
    `good`: every net of the pool does well.
    """

    kind: Literal["ponder_measures"] = "ponder_measures"
    widths: tuple[int, ...] = Field((12, 20), strict=False, description="units of the state")
    price: float = Field(0.03, gt=0, description="on the mean rollout, in nats")
    steps: int = Field(300, ge=1, description="of fine-tuning")
    planting_steps: int = Field(500, ge=1, description="steps of learning the task")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Measure n pools."""
        seeds = list(range(seed, seed + n))
        shapes = {
            f"{kind.__name__}-{width}": kind(
                width=width,
                planting_steps=self.planting_steps,
                prior="average",
                price=self.price,
                steps=self.steps,
            )
            for kind in (SlackTrigger, ParallelTrigger)
            for width in self.widths
        }
        found = [_measured(organism, organism.nets(seeds, honest=True, cache=cache)) for organism in shapes.values()]
        pools = {measure: list(zip(*(one[measure] for one in found), strict=True)) for measure in found[0]}
        cells = [rate_cell("good", [min(pool) >= GOOD for pool in pools.pop("accuracy")])]
        for one, other in (("rollouts", "flops"), ("rollouts", "active"), ("flops", "active")):
            ranks = [_rank_correlation(a, b) for a, b in zip(pools[one], pools[other], strict=True)]
            cells.append(mean_cell(f"{one}_{other}", ranks, note="Spearman over the nets of a pool"))
        for measure in ("flops", "active"):
            moves = [a.index(min(a)) != b.index(min(b)) for a, b in zip(pools["rollouts"], pools[measure], strict=True)]
            cells.append(rate_cell(f"{measure}.moves_choice", moves, note="another net is cheapest than in rollouts"))
        return Evidence(cells=cells, seeds=seeds, data={"shapes": list(shapes), **pools})

    def seconds(self, n: int) -> float:
        """Return about what learning and fine-tuning of all shapes cost."""
        return 2.0 + 2.5 * len(self.widths) * step_seconds(n) * (self.planting_steps + self.steps)


def _measured(organism: PonderingOrganism, nets: Nets) -> dict[str, list[float]]:
    """Return accuracy, mean rollouts, FLOPs and active units of every net on clean inputs, for what it executed."""
    import torch
    from torch import Generator

    from sp_search.organisms.training.nets import outcome
    from sp_search.pricing import cumulative_flops
    from sp_search.train.population import Layout, per_replica

    task = organism.task()
    generator = Generator().manual_seed(derive_seed(0, "ponder_measures"))
    clean = task.sample(EXAMPLES, "iid", "verification", generator)
    seen = outcome(nets, clean)

    def active(model: ProgramModel, x_BTC: Tensor) -> Tensor:
        state, active_NB = model.start(x_BTC), []
        for index in range(1, nets.exits + 1):
            state = model.step(state, index)
            active_NB.append((state[0].abs() > ACTIVE).sum(-1))
        return torch.stack(active_NB).cumsum(0)

    with torch.no_grad():
        active_RNB = per_replica(
            nets.model, active, Layout.of(nets.model).split(nets.weights_RP), (clean.x_BTC,), shared=True
        )
    flops_N = torch.tensor(cumulative_flops(nets.model.prices(task.length, nets.exits), nets.rule))
    return {
        "accuracy": seen.right_RB.double().mean(1).tolist(),
        "rollouts": seen.exit_RB.double().mean(1).tolist(),
        "flops": flops_N.double()[seen.exit_RB - 1].mean(1).tolist(),
        "active": active_RNB.gather(1, (seen.exit_RB - 1)[:, None])[:, 0].double().mean(1).tolist(),
    }


def _rank_correlation(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Return Spearman's correlation; 0 where one of them does not vary."""
    from scipy.stats import spearmanr

    if len(set(one)) == 1 or len(set(other)) == 1:
        return 0.0
    return float(spearmanr(one, other).statistic)
