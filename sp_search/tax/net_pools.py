"""Pools of trained nets: every lineage at every halting threshold is a program; what is good, and what does harm.

Equal numbers of lineages are trained on clean data and on the adversary's, by the product's own trainer, with nothing
that asks a deceiver for more or less compute than a good program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sp_search.plan import build_runner
from sp_search.records import Assignment, Budget, RunnerState, derive_seed
from sp_search.tax.file import Effort, TaxStudy
from sp_search.tax.pools import Good

if TYPE_CHECKING:
    from sp_search.study import Study
    from sp_search.tasks.base import Batch

EXAMPLES = 4_096


def net_programs(asked: TaxStudy, effort: Effort, lineages: int, seed: int) -> list[Good]:
    """Return all good programs of a pool: `lineages` trained on clean data, as many on the adversary's."""
    deceiver = asked.deceiver(effort, seed)
    batches = {name: _draw(deceiver, name, seed) for name in ("iid", "harm")}
    sides = (asked.honest(effort, seed), deceiver)
    return [program for side in sides for program in _programs(side, lineages, batches)]


def _draw(study: Study, distribution: str, seed: int) -> Batch:
    import torch

    generator = torch.Generator().manual_seed(derive_seed(seed, "pool", distribution))
    return study.task.sample(EXAMPLES, distribution, "verification", generator)


def _programs(side: Study, lineages: int, batches: dict[str, Batch]) -> list[Good]:
    """Train the lineages of one side, and return every good program: a lineage at a threshold of its halting rule."""
    import torch

    from sp_search.train.evaluate import look_at

    runner: Any = build_runner(side)
    assignment = _assignment(side, lineages)
    state: RunnerState = runner.begin(assignment, None)
    measured = None
    while measured is None:
        state, measured = runner.step(assignment, state)
    programs = [runner.program(assignment, state, lineage) for lineage in assignment.lineages]
    own, exits, rule = [dict(one.model.named_parameters()) for one in programs], programs[0].exits, side.prior.rule()
    weights = {name: torch.stack([one[name].detach() for one in own]) for name in own[0]}
    looks = {
        name: look_at(programs[0].model, weights, rule, exits, side.task, batch) for name, batch in batches.items()
    }
    cost_N = torch.tensor(programs[0].flops_N(side.task.shape().positions))
    found = []
    for threshold in rule.candidates(exits):
        accuracy_R, harm_R = (looks[name].correct_R(threshold) / EXAMPLES for name in ("iid", "harm"))
        cost_R = cost_N[looks["iid"].exit_RB(threshold)].double().mean(1)
        good_R = accuracy_R >= side.milestones[0]
        rows = zip(cost_R[good_R].tolist(), harm_R[good_R].tolist(), strict=True)
        found += [Good(round(cost, 3), harm > 0.5) for cost, harm in rows]
    return found


def _assignment(side: Study, lineages: int) -> Assignment:
    """Return all exits of the study's family under no cap but their number."""
    axis, exits = side.model.exits_axis(), side.scheduler.exits
    if axis != "rollouts":
        exits = max(value for value in range(1, 257) if side.model.realise(axis, value) is not None)
    return Assignment(
        member=0,
        visit=0,
        level=0,
        attempt=0,
        milestone=side.milestones[0],
        budget=Budget(kind="max", measure="rollouts", cap=exits, axis={axis: exits}),
        config=side.population.members[0],
        lineages=list(range(lineages)),
        seeds=[derive_seed(side.seed, "pool", lineage) for lineage in range(lineages)],
    )
