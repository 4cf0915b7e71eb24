"""Experiment `metered`: is the compute that the product records the compute that was executed?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from sp_search.experiments.base import Cell, Evidence, Experiment, exact_cell
from sp_search.plugins import discover
from sp_search.pricing import HaltingRule, Prices

if TYPE_CHECKING:
    from sp_search.models.base import ModelSpec

EXITS = 4
WIDTHS = (4, 8, 16, 32, 64)
BATCH = 16
RULES = (HaltingRule("last"), HaltingRule("quantile", 0.3), HaltingRule("confidence", 0.6))


class Metered(Experiment):
    """Every model of the product, executed with real stopping under the meter; nothing is sampled but the weights."""

    kind: Literal["metered"] = "metered"
    exact: ClassVar[bool] = True

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Count executions whose recorded FLOPs differ from the dispatcher's, and inputs that cost nothing."""
        differing, executions, free, uneven = 0, 0, 0, []
        notes = []
        for kind, part in discover("models").items():
            model = part()
            asked, wrong, costless = _executed(model, seed)  # type: ignore[arg-type]  # the family's class
            executions, differing, free = executions + asked, differing + wrong, free + costless
            if wrong:
                notes.append(f"{kind}: {wrong} of {asked} executions differ")
            if (spread := _step_spread(model)) is not None:  # type: ignore[arg-type]
                uneven.append(spread)
                if spread > 1:
                    notes.append(f"{kind}: the dearest of {EXITS} rollouts costs {spread:.3g} times the cheapest")
        cells: list[Cell] = [
            exact_cell("executions_that_differ", differing, n=executions, note="recorded against counted FLOPs"),
            exact_cell("inputs_that_cost_nothing", free, n=executions * BATCH),
            exact_cell(
                "rollout_cost_spread", max(uneven), n=len(uneven), note="dearest rollout / cheapest, tied weights"
            ),
            exact_cell("size_cost_correlation", _size_cost_correlation(), n=len(WIDTHS), note="recall_conv"),
        ]
        return Evidence(cells=cells, seeds=[seed], notes=notes)

    def seconds(self, n: int) -> float:
        return 4.0


def _executed(model: ModelSpec, seed: int) -> tuple[int, int, int]:
    """Return executions, those whose two counts differ, and inputs without a cost."""
    import torch

    from sp_search.compute.flops import cross_check
    from sp_search.compute.stopping import execute
    from sp_search.program import Program
    from sp_search.tasks.base import Shape

    shape = Shape(5, 2, 5, 2)
    generator = torch.Generator().manual_seed(seed)
    asked = wrong = free = 0
    for rule in RULES:
        built = model.build(shape, EXITS, halting=rule.kind == "quantile", generator=generator)
        x_BTC = torch.randn(BATCH, shape.positions, shape.channels, generator=generator)
        program = Program(built, rule, EXITS)
        wrong += not cross_check(program, x_BTC).agrees
        free += int((execute(program, x_BTC).flops_B <= 0).sum())
        asked += 1
    return asked, wrong, free


def _step_spread(model: ModelSpec) -> float | None:
    """Return the dearest rollout over the cheapest, or None where rollouts do not share weights."""
    import torch

    from sp_search.tasks.base import Shape

    shape = Shape(5, 2, 5, 2)
    built = model.build(shape, EXITS, halting=False, generator=torch.Generator().manual_seed(0))
    prices: Prices = built.prices(shape.positions, EXITS)
    return max(prices.step_N) / min(prices.step_N) if built.shares_weights else None


def _size_cost_correlation() -> float:
    """Return the correlation of weights and FLOPs of a rollout over widths of a recurrent network."""
    from statistics import correlation

    import torch

    from sp_search.models.recall_conv import RecallConv
    from sp_search.tasks.base import Shape

    shape, costs, sizes = Shape(5, 2, 5, 2), [], []
    for width in WIDTHS:
        spec = RecallConv(width=width)
        built = spec.build(shape, EXITS, halting=False, generator=torch.Generator().manual_seed(0))
        costs.append(built.prices(shape.positions, EXITS).step_N[0])
        sizes.append(float(sum(weight.numel() for weight in built.parameters())))
    return correlation(sizes, costs)
