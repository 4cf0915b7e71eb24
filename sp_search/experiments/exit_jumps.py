"""By how much does the reachable computation jump: one rollout more, one exit further, one sub-network wider?

Counted from analytic prices, of networks on one task whose dearest programs are made as alike as whole widths allow.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sp_search.experiments.base import Evidence, Experiment, exact_cell
from sp_search.models.exit_mlp import ExitMlp
from sp_search.models.nested import Nested
from sp_search.models.ponder_cell import PonderCell
from sp_search.pricing import HaltingRule, cumulative_flops
from sp_search.tasks.base import Shape

if TYPE_CHECKING:
    from sp_search.models.base import ModelSpec


class ExitJumps(Experiment):
    """Cells: the largest `jump` between neighbouring reachable costs, zero included, as a share of the whole network.

    `rollout`: the whole network once more; `exits`: an answer after every layer; `nested`: after every layer of every
    width. `pondering_width` is the widest cell (hidden layer as wide) whose rollouts together cost no more than one
    pass of the network, as a share of the network's width; `pondering` is that cell's jump, as a share of the network.
    """

    exact: ClassVar[bool] = True
    kind: Literal["exit_jumps"] = "exit_jumps"
    features: int = Field(16, ge=1, description="numbers of an input")
    width: int = Field(32, ge=4, description="units of a layer of the whole network")
    layers: int = Field(8, ge=2, description="layers of the whole network, and rollouts of the pondering one")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Price the networks."""
        quarters = [self.width * share // 4 for share in (1, 2, 3, 4)]
        exits = self._costs(ExitMlp(width=self.width, depth=self.layers - 1), self.layers)
        nested = self._costs(Nested(widths=quarters, depth=self.layers), 4 * self.layers)
        widest = max(width for width in range(1, self.width + 1) if self._pondering(width)[-1] <= exits[-1])
        cells = [
            exact_cell("jump.rollout", 1.0, note="a network that is rolled out whole"),
            exact_cell("jump.exits", _largest_jump(exits)),
            exact_cell("jump.nested", _largest_jump(nested)),
            exact_cell("jump.pondering", _largest_jump(self._pondering(widest), of=exits[-1]), note="that cell's"),
            exact_cell("pondering_width", widest / self.width),
        ]
        return Evidence(cells=cells)

    def seconds(self, n: int) -> float:
        """Return about what it takes."""
        return 0.1

    def _pondering(self, width: int) -> list[float]:
        return self._costs(PonderCell(width=width, hidden=width), self.layers)

    def _costs(self, spec: ModelSpec, exits: int) -> list[float]:
        """Return what answering at each exit costs, with the looks at the answers before it."""
        prices = spec.prices(Shape(self.features, 1, 1, 2), exits, halting=False)
        return list(cumulative_flops(prices, HaltingRule("confidence", 0.9)))


def _largest_jump(costs: list[float], *, of: float | None = None) -> float:
    """Return the largest step between neighbours, from zero on, as a share of the last, or of another cost."""
    return max(high - low for low, high in zip([0.0, *costs], costs, strict=False)) / (of or costs[-1])
