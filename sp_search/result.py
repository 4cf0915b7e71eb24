"""From a finished search to `result.json`: what was found, how sure it is, what it cost and what was left unsearched.

Pure: it reads the search and the measurements of the selected programs, and touches neither files nor torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sp_search.audits.base import Verdict
from sp_search.levels import LevelOutcome, counts
from sp_search.minimum import found_cap, statistical_minimum
from sp_search.plan import Plan
from sp_search.records import Count, Interval, LineageMeasurement, Minimum, Sample, Selection
from sp_search.search import Search
from sp_search.selection import accuracy_interval, alpha_of_look, mean_interval
from sp_search.study import Study

EARLY_SHARE = 0.01
"""How far the mean exit may stay below the mean need before the report names it."""

UNSTABLE_SHARE = 0.01
"""Share of right answers that may change after the halt before the report names it."""


class Remeasured(NamedTuple):
    """A selected program measured again on fresh draws, so that its figures are free of the luck that selected it.

    `compute` holds `over_spend` (used / needed) too where the task knows the need.
    """

    selection: Selection
    found: LineageMeasurement
    compute: dict[str, Sample]
    reports: dict[str, Any]
    program: dict[str, Any]
    largest_gap: float
    generalisation: dict[str, Any]


def build_result(
    study: Study,
    plan: Plan,
    search: Search,
    chosen: dict[float, Remeasured],
    repeated: float,
    verdicts: Sequence[Verdict] = (),
) -> dict[str, Any]:
    """Return the content of `result.json`.

    Args:
        study: what was asked.
        plan: its ladder and members.
        search: the finished search.
        chosen: the cheapest verified program of every milestone that was met, measured again.
        repeated: upper bound of the training FLOPs that crashes made the study pay twice.
        verdicts: of the study's audits on the program of the highest milestone that was met.
    """
    milestones = [_milestone(study, plan, search, milestone, chosen.get(milestone)) for milestone in study.milestones]
    met = [entry for entry in milestones if entry["met"]]
    top = met[-1] if met else milestones[0]
    searched = {outcome.level for outcome in search.state.history if outcome.tried}
    return {
        "name": study.name,
        "seed": study.seed,
        "confidence": study.selection.confidence,
        "ended": search.state.finished or "interrupted",
        **top,
        "met": len(met) == len(milestones),
        "milestones": milestones,
        "levels": [row for milestone in study.milestones for row in level_rows(search, milestone)],
        "visits": [_visit(search, outcome) for outcome in search.state.history],
        "unsearched": [cap for level, cap in enumerate(plan.space.caps) if level not in searched],
        "undecided": sum(outcome.undecided for outcome in search.state.history),
        "looks": search.looks,
        "search_flops": {**search.spent, "repeated": repeated},
        "audits": [verdict.model_dump(mode="json") for verdict in verdicts],
        "failures": search.failures,
        "dropped_members": {str(member): reason for member, reason in search.state.dropped.items()},
    }


def _milestone(study: Study, plan: Plan, search: Search, milestone: float, chosen: Remeasured | None) -> dict[str, Any]:
    """Return one milestone's answer; a milestone that was not met says how far the search excludes programs."""
    minimum = _minimum(study, plan, search, milestone).model_dump()
    if chosen is None:
        return {"milestone": milestone, "met": False, "program": None, "budget": None, "minimum": minimum}
    # Twice the error of the look, so that the interval's lower end is the one-sided bound that verified the program.
    alpha = 2 * alpha_of_look(study.selection.confidence, max(chosen.selection.look, 1))
    gates = {
        name: {**accuracy_interval(count, alpha).model_dump(), "distribution": name}
        for name, count in chosen.found.gates.items()
    }
    checks = {
        name: {**accuracy_interval(check.count, alpha).model_dump(), "at_least": check.least}
        for name, check in chosen.found.checks.items()
    }
    flops, spent = chosen.compute["flops"], chosen.compute.get("over_spend")
    mean = mean_interval(flops, 1.0 - study.selection.confidence)
    return {
        "milestone": milestone,
        "met": True,
        "program": chosen.program,
        "budget": {**chosen.selection.budget.model_dump(mode="json"), "cap": found_cap(search, milestone)},
        "minimum": minimum,
        "accuracy": gates[study.selection.gates[0]],
        "gates": gates,
        "checks": checks,
        "mean_flops_per_example": mean.model_dump(),
        "mean_rollouts": mean_interval(chosen.compute["rollouts"], 1.0 - study.selection.confidence).model_dump(),
        "over_spend": None if spent is None else mean_interval(spent, 1.0 - study.selection.confidence).model_dump(),
        "p95_flops_per_example": flops.p95,
        "max_flops_per_example": flops.largest,
        "max_available_flops": chosen.found.max_available_flops,
        "largest_gap": chosen.largest_gap,
        "serial_depth": chosen.found.serial_depth,
        "parameters": chosen.found.parameters,
        "reports": chosen.reports,
        "generalisation": chosen.generalisation,
        "diagnostics": chosen.found.diagnostics,
        "warnings": halting_warnings(chosen.found),
    }


def halting_warnings(lineage: LineageMeasurement) -> list[str]:
    """Say what accuracy hides about a program's halting; an empty list when nothing speaks against it."""
    seen = lineage.diagnostics
    warnings = []
    if seen.get("dead_halting"):
        warnings.append("dead halting: it runs to its last exit on every input, so its halting unit decides nothing")
    unstable = seen.get("unstable_after_halt")
    if unstable is not None and unstable > UNSTABLE_SHARE:
        warnings.append(
            f"unstable after the halt: {unstable:.1%} of its right answers would turn wrong at a later exit, "
            "so the moment of halting carries a part of the answer"
        )
    mean, need = seen.get("mean_exit"), seen.get("mean_need")
    halts_by_itself = unstable is not None
    early = mean is not None and need is not None and mean < (1.0 - EARLY_SHARE) * need
    if halts_by_itself and early and lineage.gates:
        warnings.append(
            f"it halts at {mean:.2f} on average, before the {need:.2f} that knowing the answer locally needs"
        )
    return warnings


def _minimum(study: Study, plan: Plan, search: Search, milestone: float) -> Minimum:
    """State the least budget; what the task proves goes before what failures suggest, unless it says less."""
    suggested = statistical_minimum(search, milestone)
    proven = _proven_low(study, plan, milestone)
    if proven is None:
        return suggested
    if suggested.low is not None and suggested.low > proven:
        return suggested.model_copy(update={"safe_low": max(suggested.safe_low or 0.0, proven)})
    text = f"no program of this family passes {milestone:g} below {proven:g}: proven by the task"
    return Minimum(low=proven, safe_low=proven, high=suggested.high, basis="proven", text=text)


def _proven_low(study: Study, plan: Plan, milestone: float) -> float | None:
    """Return the least number of rollouts that the task leaves possible at this milestone, over all members.

    The proofs are about local cells that answer at a fixed rollout; a halting unit that reads the whole input voids
    them.
    """
    members = study.member_parts()
    halting = any(member.prior.rule().reads != "nothing" for member in members)
    if plan.space.measure != "rollouts" or plan.space.kind != "max" or halting:
        return None
    least = []
    for member in members:
        reach = member.model.reach()
        if reach is None:
            return None
        least.append(max(study.task.least_rollouts_for(gate, reach, milestone) for gate in study.selection.gates))
    return float(min(least)) if min(least) > 0 else None


def level_rows(search: Search, milestone: float) -> list[dict[str, Any]]:
    """Return every level of one milestone with its visits merged: a lineage counts once, however often it came by.

    The verdict is that of its visits: failures that none of them paid in full add up to no verdict.
    """
    outcomes = search.outcomes(milestone)
    rows = []
    for level in sorted({outcome.level for outcome in outcomes}):
        visits = [outcome for outcome in outcomes if outcome.level == level]
        verdicts = {outcome.verdict for outcome in visits if counts(search.state, outcome)}
        tried = {tuple(lineage) for outcome in visits for lineage in outcome.conclusive}
        passed = {tuple(lineage) for outcome in visits for lineage in outcome.passing}
        interval = _pass_rate(search, visits, len(passed), len(tried))
        rows.append(
            {
                "milestone": milestone,
                "level": level,
                "cap": search.state.space.caps[level],
                "controls": search.state.space.controls[level] if search.state.space.controls else {},
                "lineages": len(tried),
                "passed": len(passed),
                "undecided": sum(outcome.undecided for outcome in visits),
                "pass_rate": None if interval is None else interval.value,
                "low": None if interval is None else interval.low,
                "high": None if interval is None else interval.high,
                "verdict": next((verdict for verdict in ("passed", "failed") if verdict in verdicts), "undecided"),
                "visits": [outcome.visit for outcome in visits],
            }
        )
    return rows


def _pass_rate(search: Search, visits: list[LevelOutcome], passed: int, tried: int) -> Interval | None:
    """Return the pass rate with a two-sided interval; without a pass, the least bound that a visit's failures give."""
    if not tried:
        return None
    if not passed:
        return Interval(value=0.0, low=0.0, high=_least_bound(search, visits), n=tried)
    return accuracy_interval(Count(correct=passed, n=tried), search.state.terms.false_negative)


def _least_bound(search: Search, visits: list[LevelOutcome]) -> float:
    return min((outcome.pass_rate_high for outcome in visits if counts(search.state, outcome)), default=1.0)


def _visit(search: Search, outcome: LevelOutcome) -> dict[str, Any]:
    return {
        "visit": outcome.visit,
        "level": outcome.level,
        "cap": outcome.cap,
        "phase": outcome.phase,
        "milestone": outcome.milestone,
        "verdict": outcome.verdict,
        "tried": outcome.tried,
        "passed": outcome.passed,
        "undecided": outcome.undecided,
        "pass_rate_high": outcome.pass_rate_high,
    }
