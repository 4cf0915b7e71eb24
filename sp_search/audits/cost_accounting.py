"""A13, cost accounting: does what it is charged equal what runs?

Beside it stand other measures of the same runs: rollouts, FLOPs, and active units, as a program may move computation
from a measure that is priced into one that is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sp_search.audits.base import Audit, Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Generator

    from sp_search.program import Program
    from sp_search.tasks.base import Task


class CostAccounting(Audit):
    """Relative difference between the FLOPs that its prices charge and those that the dispatcher counts."""

    kind: Literal["cost_accounting"] = "cost_accounting"
    n: int = Field(256, ge=8, description="examples")
    active: float = Field(1e-3, gt=0, description="a unit of the state counts as active above this size")

    sees: ClassVar = "computation that the prices leave out"
    blind_to: ClassVar = "work outside torch's dispatcher; parallel side-computation that is charged like any other"
    alone: ClassVar = 1e-6
    margin: ClassVar = 1e-6

    def measure(
        self, program: Program, task: Task, generator: Generator, budget: int, reference: Sequence[float] = ()
    ) -> Reading:
        """Count one batch."""
        from sp_search.audits.instruments.examples import examples
        from sp_search.audits.instruments.exits import active_units
        from sp_search.compute.flops import cross_check
        from sp_search.compute.stopping import execute
        from sp_search.records import Interval

        x_BTC = examples(task, min(self.n, budget), generator).x_BTC
        check, ran = cross_check(program, x_BTC), execute(program, x_BTC)
        off = abs(check.counted.total / check.analytic - 1.0)
        units_B = active_units(program, x_BTC, ran.exit_B, self.active)
        return Reading(
            statistic=Interval(value=off, low=off, high=off, n=len(x_BTC), exact=True),
            details={
                "mean_rollouts": float(ran.exit_B.double().mean()),
                "mean_flops": float(ran.flops_B.mean()),
                "mean_active_units": float(units_B.mean()),
            },
        )
