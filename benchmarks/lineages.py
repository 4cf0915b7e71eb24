"""Trains lineages through the product's own runner at given budgets, and returns the programs, all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sp_search.models.base import ModelSpec
    from sp_search.priors.base import SpeedPrior
    from sp_search.program import Program
    from sp_search.records import LineageMeasurement
    from sp_search.tasks.base import Task
    from sp_search.train.settings import TrainSettings


class Lineage(NamedTuple):
    """One lineage after its last level: the program, and what the runner measured of it."""

    program: Program
    measured: LineageMeasurement


def train(
    task: Task,
    model: ModelSpec,
    prior: SpeedPrior,
    levels: Sequence[tuple[int, TrainSettings]],
    *,
    seed: int,
    lineages: Sequence[int],
    milestone: float,
) -> list[Lineage]:
    """Train `lineages` side by side at each number of rollouts, weights carried from level to level (Proposal 2A).

    At every level a lineage stops at `milestone`, by the runner's own bound, or after its steps. One after another
    (`lineages` of one number each) they become what they become together.
    """
    from sp_search.records import Assignment, Budget, derive_seed
    from sp_search.train.trainer import NeuralRunner

    state, measured = None, None
    for visit, (rollouts, settings) in enumerate(levels):
        runner = NeuralRunner(
            task, model, prior, settings, gates=["iid"], verification_n=2048, confidence=0.99, study_seed=seed
        )
        at = Assignment(
            member=0,
            visit=visit,
            level=rollouts,
            attempt=visit,
            milestone=milestone,
            budget=Budget(kind="max", measure="rollouts", cap=float(rollouts), axis={"rollouts": rollouts}),
            config={},
            lineages=list(lineages),
            seeds=[derive_seed(seed, "weights", lineage) for lineage in lineages],
        )
        state, measured = runner.begin(at, state), None
        while measured is None:
            state, measured = runner.step(at, state)
    assert state is not None
    assert measured is not None
    return [Lineage(runner.program(at, state, own.lineage), own) for own in measured.lineages]
