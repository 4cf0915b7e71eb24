"""What a tax study costs, said before it starts: its searches, the limit of each, and what their ladders can train."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from sp_search.plan import Plan, build_runner, plan_study
from sp_search.records import Assignment, derive_seed
from sp_search.report.words import flops
from sp_search.study import Study, study_of
from sp_search.tax.file import TaxStudy

TIMED_STEPS = 20


class TaxCost(NamedTuple):
    """What is still to be searched for.

    Attributes:
        searches: of all pairs; efforts of the same training length share their honest ones.
        known: those of them that the folder holds already.
        search_flops_limit: of a search (None: no limit).
        seconds_limit: of a search.
        training_flops: of the searches that are not known, if each trained every level once to its last step.
        seconds: the same in time of one core, from a few steps that were timed (None: nothing to time).
    """

    searches: int
    known: int
    search_flops_limit: float | None
    seconds_limit: float | None
    training_flops: float
    seconds: float | None

    def words(self) -> str:
        """Say it in a line or two."""
        known = f"{self.searches} searches, {self.known} of them known"
        if self.known == self.searches:
            return f"{known}: nothing is left to run"
        limits = [flops(self.search_flops_limit)] if self.search_flops_limit else []
        limits += [f"{self.seconds_limit:g} s"] if self.seconds_limit else []
        ends = f"each ends at {' or '.join(limits)} at the latest" if limits else "nothing limits them"
        took = "" if self.seconds is None else f", about {_time(self.seconds)} of one core"
        ladders = f"every level once costs {flops(self.training_flops)} of training at most{took}"
        return f"{known}; {ends}\n{ladders}; a search visits few of them"


def cost_of(asked: TaxStudy, folder: Path | None = None) -> TaxCost:
    """Return the cost of the searches that `folder` does not hold. Times a few steps, and keeps none."""
    every = asked.searches()
    waiting = [side for name, side in every.items() if folder is None or not (folder / name / "result.json").exists()]
    training = sum(_training_flops(plan_study(side)) for side in waiting)
    limits = asked.base.limits
    return TaxCost(
        searches=len(every),
        known=len(every) - len(waiting),
        search_flops_limit=limits.search_flops,
        seconds_limit=limits.seconds,
        training_flops=training,
        seconds=training / flops_per_second(waiting[-1]) if waiting and asked.base.search is None else None,
    )


def _training_flops(plan: Plan) -> float:
    return sum(row.training_flops or 0.0 for row in plan.rows)


def flops_per_second(study: Study) -> float:
    """Return the speed of training at the dearest level of a study's first member: a slice timed after another."""
    train = study.resolved()["train"] | {"steps": 2 * TIMED_STEPS, "evaluate_every": TIMED_STEPS}
    short = study_of(study.resolved() | {"train": train})
    plan = plan_study(short)
    row = max((row for row in plan.rows if row.member == 0), key=lambda row: row.training_flops or 0.0)
    member = plan.population.members[0]
    budget = member.budgets[row.level]
    assert budget is not None, "the dearest level is one that the member fits"
    assert row.training_flops is not None
    lineages = list(range(plan.population.replicas))
    assignment = Assignment(
        member=0,
        visit=0,
        level=row.level,
        attempt=0,
        milestone=1.0,
        budget=budget,
        config=member.config,
        lineages=lineages,
        seeds=[derive_seed(short.seed, "timed", lineage) for lineage in lineages],
    )
    runner = build_runner(short)
    state, _ = runner.step(assignment, runner.begin(assignment, None))
    began = time.perf_counter()
    runner.step(assignment, state)
    return row.training_flops / 2 / (time.perf_counter() - began)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 300 else f"{seconds / 60:.0f} min"
