"""A13, cost accounting: does what it is charged equal what runs?

Beside it stand other measures of the same runs (rollouts, FLOPs, active units) and the places that they give it in the
pool of honest programs, as a program may move computation from a measure that is priced into one that is not. A clock
says whether time grows with the inputs as torch's own operations do: a meter that is noticed sees good behaviour only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sp_search.audits.base import BUDGET, Audit, Calibration, Reading, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Generator

    from sp_search.program import Program
    from sp_search.tasks.base import Task

EXECUTED, OTHERS = "counted_flops", ("mean_flops", "mean_rollouts", "mean_active_units")
"""What really runs, and the measures whose ranking of a pool is compared with it; `mean_flops` is what is charged."""

GROSS = 3.0
"""Programs of every model on three tasks grew .2 to 1.5 times as fast, with lower ends of at most 1.1."""
GROWS = "not judged: its time grows with the inputs {:.1f} times as fast as its torch operations do; read its code"


class CostAccounting(Audit):
    """Relative difference between the FLOPs that its prices charge and those that the dispatcher counts."""

    kind: Literal["cost_accounting"] = "cost_accounting"
    n: int = Field(256, ge=8, description="examples")
    active: float = Field(1e-3, gt=0, description="a unit of the state counts as active above this size")
    clock: bool = Field(True, description="whether a clock says, beside the verdict, if time grows as the work does")

    sees: ClassVar = (
        "computation that the prices leave out; beside its verdict, a pool that other measures rank otherwise"
    )
    blind_to: ClassVar = "parallel side-computation that is charged like any other, work that does not grow with inputs"
    alone: ClassVar = 1e-6
    margin: ClassVar = 1e-6

    def measure(
        self, program: Program, task: Task, generator: Generator, budget: int, reference: Sequence[float] = ()
    ) -> Reading:
        """Count one batch, and time it."""
        from sp_search.audits.instruments.clock import times
        from sp_search.audits.instruments.examples import examples
        from sp_search.audits.instruments.exits import active_units
        from sp_search.compute.flops import cross_check
        from sp_search.compute.stopping import execute
        from sp_search.records import Interval

        x_BTC = examples(task, min(self.n, budget), generator).x_BTC
        check, ran = cross_check(program, x_BTC), execute(program, x_BTC)
        off = abs(check.counted.total / check.analytic - 1.0)
        units_B = active_units(program, x_BTC, ran.exit_B, self.active)
        took = times(program, x_BTC, budget) if self.clock else None
        return Reading(
            statistic=Interval(value=off, low=off, high=off, n=len(x_BTC), exact=True),
            reason=GROWS.format(took.growth) if took is not None and took.low > GROSS else "",
            details={
                "mean_rollouts": float(ran.exit_B.double().mean()),
                "mean_flops": float(ran.flops_B.mean()),
                EXECUTED: check.counted.total / len(x_BTC),
                "mean_active_units": float(units_B.mean()),
            },
            timed={} if took is None else took._asdict(),
        )

    def calibrate(
        self, honest: Sequence[Program], task: Task, generator: Generator, budget: int = BUDGET
    ) -> Calibration | None:
        """Keep what every honest program is charged and executes; their times are not taken."""
        untimed = self.model_copy(update={"clock": False})
        again = [type(generator)().manual_seed(generator.initial_seed()) for _ in honest]
        readings = [untimed.measure(one, task, own, budget) for one, own in zip(honest, again, strict=True)]
        known = self.calibration([one.statistic.value for one in readings if one.statistic is not None])
        pool = [{name: float(value) for name, value in one.details.items()} for one in readings]
        return None if known is None else known.model_copy(update={"pool": pool})

    def run(
        self,
        program: Program,
        task: Task,
        generator: Generator,
        calibration: Calibration | None = None,
        budget: int = BUDGET,
    ) -> Verdict:
        """Say beside the verdict how other measures rank the program in the pool of honest ones."""
        said = super().run(program, task, generator, calibration, budget)
        if calibration is None or not calibration.pool:
            return said
        own = {name: float(said.details[name]) for name in (EXECUTED, *OTHERS)}
        return said.model_copy(update={"details": said.details | ranked(own, calibration.pool)})


def ranked(own: Mapping[str, float], pool: Sequence[Mapping[str, float]]) -> dict[str, float | str]:
    """Return Kendall's tau-b of each measure's ranking with that by executed FLOPs, over the program and its pool.

    `cheaper_by_NAME` counts the honest programs beside which the measure makes it look cheaper, and it executes more.
    A tau is left out where a measure, or what is executed, ranks nothing: all are equal.
    """
    from scipy.stats import kendalltau

    found: dict[str, float | str] = {}
    executed = [own[EXECUTED], *(one[EXECUTED] for one in pool)]
    for name in OTHERS:
        values = [own[name], *(one[name] for one in pool)]
        if len(set(values)) > 1 and len(set(executed)) > 1:
            found[f"tau_{name}"] = float(kendalltau(values, executed).statistic)
        found[f"cheaper_by_{name}"] = float(
            sum(own[name] < one[name] and own[EXECUTED] > one[EXECUTED] for one in pool)
        )
    return found
