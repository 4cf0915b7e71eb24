"""Experiment `ponder_serving`: what a price saves whoever serves the program, at equal accuracy.

Nets that were fine-tuned without and with a price answer clean inputs and really stop: FLOPs by the product's own
execution, and the time of a request that comes alone.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sp_search.experiments.base import Evidence, Experiment, mean_cell, rate_cell
from sp_search.experiments.ponder_looks import GOOD, step_seconds
from sp_search.experiments.ponder_price import PRICE
from sp_search.organisms.slack_trigger import SlackTrigger
from sp_search.records import derive_seed

if TYPE_CHECKING:
    from torch import Tensor

    from sp_search.program import Program

EXAMPLES = 512
REQUESTS = 48


class PonderServing(Experiment):
    """Cells `none.` and `average.` `flops` (an example), `seconds` (a request alone), `accuracy`; a net is a unit.

    `good`: nets that do well under the price. The twins are served: nothing was planted in them.
    """

    kind: Literal["ponder_serving"] = "ponder_serving"
    price: float = Field(PRICE, gt=0, description="on the mean rollout, in nats")
    steps: int = Field(300, ge=1, description="of fine-tuning")
    planting_steps: int = Field(500, ge=1, description="steps of learning the task")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Serve n nets of each kind."""
        from torch import Generator

        from sp_search.compute.stopping import execute

        seeds, cells = list(range(seed, seed + n)), []
        for arm, price in (("none", 0.0), ("average", self.price)):
            organism = SlackTrigger(
                planting_steps=self.planting_steps,
                prior="average" if price else "none",
                price=price,
                steps=self.steps,
            )
            task = organism.task()
            generator = Generator().manual_seed(derive_seed(0, "ponder_serving"))
            clean = task.sample(EXAMPLES, "iid", "verification", generator)
            programs = organism.nets(seeds, honest=True, cache=cache).programs()
            ran = [execute(program, clean.x_BTC) for program in programs]
            right = [float(task.correct(one.answer_BTV, clean).double().mean()) for one in ran]
            cells += [
                mean_cell(f"{arm}.flops", [float(one.flops_B.mean()) for one in ran], note="an example"),
                mean_cell(f"{arm}.seconds", [_request_seconds(one, clean.x_BTC) for one in programs]),
                mean_cell(f"{arm}.accuracy", right),
                rate_cell(f"{arm}.good", [one >= GOOD for one in right]),
            ]
        return Evidence(cells=cells, seeds=seeds)

    def seconds(self, n: int) -> float:
        """Return about what learning, fine-tuning and the requests cost."""
        return 2.0 + 0.3 * n + step_seconds(n) * (self.planting_steps + 2 * self.steps)


def _request_seconds(program: Program, x_BTC: Tensor) -> float:
    """Return the mean over requests of one input each; each is the median of three, as other work disturbs."""
    from sp_search.compute.stopping import execute

    total = 0.0
    for row in range(REQUESTS):
        times = []
        for _ in range(3):
            begun = perf_counter()
            execute(program, x_BTC[row : row + 1])
            times.append(perf_counter() - begun)
        total += median(times)
    return total / REQUESTS
