"""Early exits against the full network and against every static network: where depth is needed, and on digits.

`graded`: exit_conv on graded_depth, where static networks are capped by proof; `digits`: exit_mlp and nested. One seed
is one lineage with its own initial weights and data. Exit thresholds are chosen on validation alone; costs and
accuracies are of another draw, executed. A static network is the same architecture down to one exit, trained for it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.seeds import keep

if TYPE_CHECKING:
    from sp_search.models.base import ModelSpec
    from sp_search.priors.base import SpeedPrior
    from sp_search.program import Program
    from sp_search.tasks.base import Batch, Task

TOLERANCE = 0.005
"""Of accuracy: by how much a static network may fall short of an adaptive one and still count as equal."""
VALIDATION_LOSS = 0.002
"""What the exit threshold may lose on validation."""
GRADED = {"steps": 5000, "batch": 128, "learning_rate": 5e-3, "decay_from": 0.7, "decay_to": 0.05}
DIGITS = {"steps": 1500, "batch": 64, "learning_rate": 3e-3, "decay_from": 0.5, "decay_to": 0.05}


def train(
    task: Task, model: ModelSpec, prior: SpeedPrior, exits: int, seeds: list[int], recipe: dict[str, Any]
) -> list[Program]:
    """Return one program a seed, all trained to the last step of the recipe."""
    from sp_search.records import Assignment, Budget, Measured, derive_seed
    from sp_search.train.settings import TrainSettings
    from sp_search.train.trainer import NeuralRunner

    settings = TrainSettings(**recipe, evaluate_every=500)
    runner = NeuralRunner(
        task, model, prior, settings, gates=["iid"], verification_n=256, confidence=0.99, study_seed=0
    )
    assignment = Assignment(
        member=0, visit=0, level=0, attempt=0, milestone=1.0,
        budget=Budget(kind="max", measure="rollouts", cap=exits, axis={"depth": exits}),
        config={}, lineages=seeds, seeds=[derive_seed(0, "early_exit", seed) for seed in seeds],
    )  # fmt: skip
    state, measured = runner.begin(assignment, None), None
    while measured is None:
        state, measured = runner.step(assignment, state)
    assert isinstance(measured, Measured)
    assert all(lineage.train_steps == recipe["steps"] for lineage in measured.lineages), "none stopped early"
    return [runner.program(assignment, state, seed) for seed in seeds]


def draw(task: Task, purpose: str, n: int) -> Batch:
    """Return one batch for choosing thresholds or for the figures."""
    from torch import Generator

    held_out = task.held_out(purpose)
    seed = {"validation": 1, "verification": 2}[purpose]
    return task.sample(held_out or n, "iid", purpose, Generator().manual_seed(seed))


def tried(program: Program, task: Task, batch: Batch) -> tuple[float, float]:
    """Return accuracy and mean executed FLOPs."""
    from sp_search.train.evaluate import try_program

    trial = try_program(program, task, batch, exact=False)
    return float(trial.right_B.double().mean()), float(trial.flops_B.mean())


def calibrated(program: Program, task: Task, batch: Batch, full: float) -> Program:
    """Return the program with the cheapest threshold that keeps the full network's accuracy on validation."""
    from dataclasses import replace

    for threshold in program.rule.candidates(program.exits):
        candidate = replace(program, rule=replace(program.rule, threshold=threshold))
        if tried(candidate, task, batch)[0] >= full - VALIDATION_LOSS:
            return candidate
    return candidate


def adaptive_rows(task: Task, model: ModelSpec, exits: int, seeds: list[int], recipe: dict[str, Any]) -> list[Any]:
    """Return a row a seed: the full network, the same network cut at every exit, and the one that stops early."""
    from dataclasses import replace

    from sp_search.plugins import find
    from sp_search.pricing import HaltingRule, largest_gap

    prior = find("priors", "early_exit")(weights="uniform")
    validation, verification = draw(task, "validation", 8192), draw(task, "verification", 16384)
    rows = []
    for seed, program in zip(seeds, train(task, model, prior, exits, seeds, recipe), strict=True):
        full = replace(program, rule=HaltingRule("last"))
        cut = [tried(replace(full, exits=exit_n), task, verification) for exit_n in range(1, exits + 1)]
        early = calibrated(program, task, validation, tried(full, task, validation)[0])
        accuracy, flops = tried(early, task, verification)
        rows.append({
            "seed": seed, "model": model.model_dump(mode="json"), "exits": exits, "accuracy": accuracy, "flops": flops,
            "threshold": early.rule.threshold, "full_accuracy": cut[-1][0], "full_flops": cut[-1][1],
            "cheaper": cut[-1][1] / flops, "loss": cut[-1][0] - accuracy, "cut": cut,
            "largest_gap": largest_gap(early.flops_N(task.shape().positions)),
        })  # fmt: skip
        print({name: value for name, value in rows[-1].items() if name not in ("cut", "model")}, flush=True)
    return rows


def static_rows(
    task: Task, models: Iterable[tuple[ModelSpec, int]], seeds: list[int], recipe: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return a row a static network and seed: the architecture down to one exit, trained for that answer alone."""
    from sp_search.plugins import find

    verification, rows = draw(task, "verification", 16384), []
    for model, exits in models:
        programs = train(task, model, find("priors", "none")(), exits, seeds, recipe)
        for seed, program in zip(seeds, programs, strict=True):
            accuracy, flops = tried(program, task, verification)
            settings = model.model_dump(mode="json")
            rows.append({"seed": seed, "model": settings, "exits": exits, "accuracy": accuracy, "flops": flops})
        accuracies = [round(row["accuracy"], 4) for row in rows[-len(seeds) :]]
        print("static", model, exits, rows[-1]["flops"], accuracies, flush=True)
    return rows


def beside_the_frontier(adaptive: list[dict[str, Any]], static: list[dict[str, Any]]) -> None:
    """Add to every adaptive row the cheapest static network of that seed that is as good, within the tolerance."""
    for row in adaptive:
        own = [other for other in static if other["seed"] == row["seed"]]
        equal = [other for other in own if other["accuracy"] >= row["accuracy"] - TOLERANCE]
        row["static_flops"] = min((other["flops"] for other in equal), default=None)
        row["static_best_accuracy"] = max(other["accuracy"] for other in own)
        row["static_best_at_no_more_flops"] = max(
            (other["accuracy"] for other in own if other["flops"] <= row["flops"]), default=None
        )


def summarise(name: str, rows: list[dict[str, Any]]) -> None:
    """Print median and worst of what an adaptive model saves."""
    cheaper, loss = [row["cheaper"] for row in rows], [row["loss"] for row in rows]
    accuracy = [row["accuracy"] for row in rows]
    against = [row["static_flops"] / row["flops"] if row["static_flops"] else float("inf") for row in rows]
    print(
        f"{name}: FLOPs saved median {median(cheaper):.2f} worst {min(cheaper):.2f}; "
        f"accuracy median {median(accuracy):.4f} worst {min(accuracy):.4f}; "
        f"loss median {median(loss):.4f} worst {max(loss):.4f}; "
        f"FLOPs of the equal static / own median {median(against):.2f} worst {min(against):.2f} (inf: none is as good)"
    )


def graded(seeds: list[int]) -> dict[str, Any]:
    """Return the rows of the graded task: three widths, static networks at every depth of each."""
    from sp_search.models.exit_conv import ExitConv
    from sp_search.tasks.graded_depth import GradedDepth

    task, depth = GradedDepth(), 8
    models = [ExitConv(width=width, depth=depth) for width in (16, 12, 8)]
    adaptive = {model.width: adaptive_rows(task, model, depth, seeds, GRADED) for model in models}
    cuts = [(model, exits) for exits in range(depth, 0, -1) for model in models]
    static = static_rows(task, cuts, seeds, GRADED)
    for width, rows in adaptive.items():
        beside_the_frontier(rows, static)
        summarise(f"graded, width {width}", rows)
    caps = [task.accuracy_cap("iid", models[0].reach() or 0, exits) for exits in range(1, depth + 1)]
    assert all(row["accuracy"] <= caps[row["exits"] - 1] + 0.01 for row in static), "no network passes its proof"
    return {
        "recipe": GRADED,
        "caps": caps,
        "adaptive": [row for rows in adaptive.values() for row in rows],
        "static": static,
    }


def digits(seeds: list[int]) -> dict[str, Any]:
    """Return the rows of digits: exit_mlp and nested beside static perceptrons of every width and depth."""
    from sp_search.models.exit_mlp import ExitMlp
    from sp_search.models.nested import Nested
    from sp_search.tasks.digits import Digits

    task = Digits()
    models: dict[str, tuple[ModelSpec, int]] = {
        "exit_mlp": (ExitMlp(width=128, depth=3), 4),
        "nested by cost": (Nested(widths=[16, 32, 128], depth=3), 9),
        "nested by width": (Nested(widths=[16, 32, 128], depth=2, path="width"), 3),
    }
    static = static_rows(
        task, [(ExitMlp(width=width), exits) for width in (16, 32, 64, 128) for exits in (1, 2, 4)], seeds, DIGITS
    )
    adaptive = {}
    for name, (model, exits) in models.items():
        adaptive[name] = adaptive_rows(task, model, exits, seeds, DIGITS)
        beside_the_frontier(adaptive[name], static)
        summarise(name, adaptive[name])
    return {"recipe": DIGITS, "adaptive": adaptive, "static": static}


def main() -> None:
    """Train, print and keep both, or one of them."""
    import torch

    parser = argparse.ArgumentParser()
    parser.add_argument("task", nargs="?", choices=["graded", "digits", "both"], default="both")
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    seeds = list(range(asked.seeds))
    if asked.task != "digits":
        keep("early_exit_graded", graded(seeds))
    if asked.task != "graded":
        keep("early_exit_digits", digits(seeds))


if __name__ == "__main__":
    main()
