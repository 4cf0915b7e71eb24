"""Proposal 1's bill: does a network that grows cost less to train than its final size alone, and than every size anew?

The lineages of a seed train on one ladder of widths with one recipe. *Scratch* begins every width afresh and trains it
until the milestone is met, the train loss stays on a plateau, or the steps are used up. *Growth* inherits; it leaves
a width early, after a set number of steps, or waits for the plateau. Where growth met the milestone at width w, (a) is
its bill over that of scratch at w alone, (b) over that of scratch at every width up to w. Where scratch did not meet
the milestone, its bill is what it spent without an answer, so the ratio is an upper bound.

FLOPs are the runner's own: forward, backward, optimiser and the looks. How long growth stays was chosen on seed 100.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

import torch

from benchmarks.seeds import keep
from sp_search.models.base import ModelSpec
from sp_search.models.exit_conv import ExitConv
from sp_search.models.exit_mlp import ExitMlp
from sp_search.models.recall_conv import RecallConv
from sp_search.priors.none import NoPrior
from sp_search.records import Assignment, Budget, RunnerState, derive_seed
from sp_search.tasks.base import Task
from sp_search.tasks.binary_addition import BinaryAddition
from sp_search.tasks.digits import Digits
from sp_search.tasks.graded_depth import GradedDepth
from sp_search.tasks.prefix_sums import PrefixSums
from sp_search.train.settings import TrainSettings
from sp_search.train.trainer import NeuralRunner


@dataclass(frozen=True)
class Rung:
    """One lineage at one width: how it ended, after how many steps, for how many FLOPs."""

    width: int
    ended: str
    steps: int
    flops: float


@dataclass(frozen=True)
class Ladder:
    """A task with a model's widths and a recipe."""

    task: Task
    model: ModelSpec
    exits: int
    widths: list[int]
    milestone: float
    train: dict[str, Any]

    def runner(self, study_seed: int, **train: Any) -> NeuralRunner:
        """Return the runner of a study seed, with further settings of the recipe."""
        settings = TrainSettings(**{**self.train, **train})
        rest: dict[str, Any] = {"gates": ["iid"], "verification_n": 1000, "confidence": 0.99, "study_seed": study_seed}
        return NeuralRunner(self.task, self.model, NoPrior(), settings, **rest)

    def assignment(self, study_seed: int, lineages: list[int], width: int) -> Assignment:
        """Return the assignment of some lineages to a width."""
        visit, axis = self.widths.index(width), {"width": width, self.model.exits_axis(): self.exits}
        return Assignment(
            member=0, visit=visit, level=visit, attempt=visit + 1, milestone=self.milestone,
            budget=Budget(kind="max", measure="flops", cap=1e12, axis=axis),
            config={}, lineages=lineages, seeds=[derive_seed(study_seed, 0, lineage) for lineage in lineages],
        )  # fmt: skip


def train(runner: NeuralRunner, at: Assignment, before: RunnerState | None) -> tuple[RunnerState, dict[int, Rung]]:
    """Train lineages at a width to their ends; a slice's FLOPs are shared by the lineages that were live in it."""
    state, spent = runner.begin(at, before), dict.fromkeys(at.lineages, 0.0)
    while live := [one for one, ended in zip(at.lineages, state.meta["ended"], strict=True) if ended is None]:
        paid = state.meta["training_flops"]
        state, _ = runner.step(at, state)
        for lineage in live:
            spent[lineage] += (state.meta["training_flops"] - paid) / len(live)
    ends = zip(at.lineages, state.meta["ended"], state.meta["train_steps"], strict=True)
    return state, {one: Rung(at.budget.axis["width"], ended, steps, spent[one]) for one, ended, steps in ends}


def climb(ladder: Ladder, seed: int, lineages: list[int], policy: dict[str, Any]) -> dict[int, list[Rung]]:
    """Return the rungs of every lineage that grows from the least width on until it meets the milestone.

    At the largest width nothing is left to grow into, so the recipe has its full length there.
    """
    state, left = None, lineages
    rungs: dict[int, list[Rung]] = {lineage: [] for lineage in lineages}
    for width in ladder.widths:
        if left:
            steps = {"steps": ladder.train["steps"]} if width == ladder.widths[-1] else {}
            state, found = train(
                ladder.runner(seed, **{**policy, **steps}), ladder.assignment(seed, left, width), state
            )
            for lineage in left:
                rungs[lineage].append(found[lineage])
            left = [lineage for lineage in left if found[lineage].ended != "reached"]
    return rungs


def scratch(ladder: Ladder, seed: int, lineages: list[int]) -> dict[int, dict[int, Rung]]:
    """Return what training every width afresh took, by lineage and width."""
    runner = ladder.runner(seed)
    found = {width: train(runner, ladder.assignment(seed, lineages, width), None)[1] for width in ladder.widths}
    return {lineage: {width: found[width][lineage] for width in ladder.widths} for lineage in lineages}


def compare(grown: list[Rung], anew: dict[int, Rung]) -> dict[str, Any]:
    """Return one lineage's bill against both rivals'."""
    last, bill = grown[-1], sum(rung.flops for rung in grown)
    return {
        "met": last.ended == "reached", "width": last.width, "steps": [rung.steps for rung in grown], "flops": bill,
        "over_final_alone": bill / anew[last.width].flops,
        "over_every_size": bill / sum(rung.flops for width, rung in anew.items() if width <= last.width),
        "final_alone_met": anew[last.width].ended == "reached",
    }  # fmt: skip


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return medians and worst cases over the lineages that met the milestone."""
    met = [row for row in rows if row["met"]]
    found: dict[str, Any] = {"met": len(met), "of": len(rows), "widths": sorted(row["width"] for row in met)}
    for name in ("over_final_alone", "over_every_size"):
        ratios = [row[name] for row in met]
        found[name] = {"median": median(ratios), "worst": max(ratios)} if ratios else None
    return found


RECURRENT = {"batch": 64, "learning_rate": 5e-3, "burn_in": 0.3, "plateau": 4}
UNTIED = {"batch": 64, "learning_rate": 3e-3, "plateau": 4}
WIDTHS = [4, 8, 16, 32]
DIGITS = Ladder(Digits(), ExitMlp(depth=1), 2, [6, 13, 30, 68], 0.9, {**UNTIED, "steps": 800})
LADDERS = {
    "prefix_sums": (Ladder(PrefixSums(bits=9), RecallConv(), 6, WIDTHS, 0.99, {**RECURRENT, "steps": 1200}), 200),
    "addition": (Ladder(BinaryAddition(bits=6), RecallConv(), 4, WIDTHS, 0.97, {**RECURRENT, "steps": 1000}), 100),
    "graded_depth": (
        Ladder(GradedDepth(positions=7), ExitConv(depth=4), 4, WIDTHS, 0.97, {**UNTIED, "steps": 1500}),
        200,
    ),
    "digits_augmented": (DIGITS, 100),
    "digits_plain": (replace(DIGITS, task=Digits(shift=False, noise=0.0)), 100),
}
"""The ladder of every task, and how many steps early growth stays at a width."""


def described(ladder: Ladder) -> dict[str, Any]:
    """Return a ladder as JSON."""
    parts = {"task": ladder.task.model_dump(mode="json"), "model": ladder.model.model_dump(mode="json")}
    return {**parts, **{name: getattr(ladder, name) for name in ("exits", "widths", "milestone", "train")}}


def policies(early: int) -> dict[str, dict[str, Any]]:
    """Return the ways to grow: when it leaves a width, what new units begin with, and the optimiser."""
    return {
        "early": {"steps": early},
        "plateau": {},
        "early, fresh optimiser": {"steps": early, "growth_optimiser": "reset"},
        "early, noise .1": {"steps": early, "growth_noise": 0.1},
        "early, split, noise .1": {"steps": early, "growth": "split", "growth_noise": 0.1},
    }


def main() -> None:
    """Print and keep one row a lineage and a summary for every task and way to grow."""
    torch.set_num_threads(1)
    lineages, seeds = list(range(5)), [int(word) for word in sys.argv[1:]] or [0, 1]
    kept: dict[str, Any] = {}
    for name, (ladder, early) in LADDERS.items():
        anew = {seed: scratch(ladder, seed, lineages) for seed in seeds}
        kept[name] = {"ladder": described(ladder), "early": early, "growth": {}, "scratch": []}
        for seed, found in anew.items():
            for lineage, rungs in found.items():
                rows = [{"seed": seed, "lineage": lineage, **asdict(rung)} for rung in rungs.values()]
                kept[name]["scratch"] += rows
        for policy, fields in policies(early).items():
            rows = []
            for seed in seeds:
                grown = climb(ladder, seed, lineages, fields)
                rows += [{"seed": seed, "lineage": one, **compare(grown[one], anew[seed][one])} for one in lineages]
            kept[name]["growth"][policy] = {"summary": summary(rows), "rows": rows}
            print(f"{name}, {policy}: {summary(rows)}", flush=True)
    keep("ladder", kept)


if __name__ == "__main__":
    main()
