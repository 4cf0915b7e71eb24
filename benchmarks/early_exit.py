"""Early exits against the full network and against every static network: where depth is needed, and on digits.

`graded`: exit_conv on graded_depth, where static networks are capped by proof; `digits`: exit_mlp and nested. One seed
is one lineage with its own initial weights and data. Exit thresholds are chosen on validation alone; costs and
accuracies are of another draw, executed. A static network is the same architecture down to one exit, trained for it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.seeds import RESULTS, keep

if TYPE_CHECKING:
    from sp_search.models.base import ModelSpec
    from sp_search.priors.base import SpeedPrior
    from sp_search.program import Program
    from sp_search.tasks.base import Batch, Task

Row = dict[str, Any]

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


def adaptive_rows(task: Task, model: ModelSpec, exits: int, seeds: list[int], recipe: dict[str, Any]) -> list[Row]:
    """Return a row a seed: the full network, and the same one that stops early."""
    from dataclasses import replace

    from sp_search.plugins import find
    from sp_search.pricing import HaltingRule, largest_gap

    prior = find("priors", "early_exit")(weights="uniform")
    validation, verification = draw(task, "validation", 8192), draw(task, "verification", 16384)
    rows = []
    for seed, program in zip(seeds, train(task, model, prior, exits, seeds, recipe), strict=True):
        full = replace(program, rule=HaltingRule("last"))
        early = calibrated(program, task, validation, tried(full, task, validation)[0])
        (full_accuracy, full_flops), (accuracy, flops) = (tried(each, task, verification) for each in (full, early))
        rows.append({
            "seed": seed, "model": model.model_dump(mode="json"), "exits": exits, "accuracy": accuracy, "flops": flops,
            "threshold": early.rule.threshold, "full_accuracy": full_accuracy, "full_flops": full_flops,
            "cheaper": full_flops / flops, "loss": full_accuracy - accuracy,
            "largest_gap": largest_gap(early.flops_N(task.shape().positions)),
        })  # fmt: skip
    return rows


def static_rows(task: Task, model: ModelSpec, exits: int, seeds: list[int], recipe: dict[str, Any]) -> list[Row]:
    """Return a row a seed: the architecture down to one exit, trained for that answer alone."""
    from sp_search.plugins import find

    verification, rows = draw(task, "verification", 16384), []
    programs = train(task, model, find("priors", "none")(), exits, seeds, recipe)
    for seed, program in zip(seeds, programs, strict=True):
        accuracy, flops = tried(program, task, verification)
        settings = model.model_dump(mode="json")
        rows.append({"seed": seed, "model": settings, "exits": exits, "accuracy": accuracy, "flops": flops})
    return rows


def fill(
    name: str, task: Task, recipe: dict[str, Any], todo: Iterable[tuple[str, ModelSpec, int]], asked: argparse.Namespace
) -> dict[str, list[Row]]:
    """Return all rows, "adaptive" and "static", keeping each as it comes; with `--go-on` those kept before stay."""
    seeds, file = list(range(asked.seeds)), RESULTS / f"{name}.json"
    kept: dict[str, Any] = {"recipe": recipe, "adaptive": [], "static": []}
    if asked.go_on and file.exists():
        kept = json.loads(file.read_text(encoding="utf-8"))
        assert kept["recipe"] == recipe, "rows of another recipe: begin anew, without --go-on"
    for side, model, exits in todo:
        settings = model.model_dump(mode="json")
        own = [row for row in kept[side] if (row["model"], row["exits"]) == (settings, exits)]
        if [row["seed"] for row in own] != seeds:
            own = (adaptive_rows if side == "adaptive" else static_rows)(task, model, exits, seeds, recipe)
            kept[side] += own
            keep(name, kept)
        print(side, model, exits, own[0]["flops"], [round(row["accuracy"], 4) for row in own], flush=True)
    beside_the_frontier(kept["adaptive"], kept["static"])
    keep(name, kept)
    return kept


def beside_the_frontier(adaptive: list[Row], static: list[Row]) -> None:
    """Add to every adaptive row the cheapest static network of that seed that is as good, within the tolerance."""
    for row in adaptive:
        own = [other for other in static if other["seed"] == row["seed"]]
        equal = [other for other in own if other["accuracy"] >= row["accuracy"] - TOLERANCE]
        row["static_flops"] = min((other["flops"] for other in equal), default=None)
        row["static_best_accuracy"] = max(other["accuracy"] for other in own)
        row["static_best_at_no_more_flops"] = max(
            (other["accuracy"] for other in own if other["flops"] <= row["flops"]), default=None
        )


def summarise(name: str, rows: list[Row]) -> None:
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


def graded(asked: argparse.Namespace) -> None:
    """Three widths beside static networks of each, the deepest first."""
    from sp_search.models.exit_conv import ExitConv
    from sp_search.tasks.graded_depth import GradedDepth

    task, depth = GradedDepth(), 8
    models = [ExitConv(width=width, depth=depth) for width in (16, 12, 8)]
    cuts = [("static", model, exits) for exits in range(depth, asked.least_depth - 1, -1) for model in models]
    rows = fill("early_exit_graded", task, GRADED, [*(("adaptive", model, depth) for model in models), *cuts], asked)
    for exits in range(1, depth + 1):
        cap = task.accuracy_cap("iid", models[0].reach() or 0, exits)
        best = max((row["accuracy"] for row in rows["static"] if row["exits"] == exits), default=None)
        print(f"static with {exits} blocks: proven at most {cap:.4f}, best measured {best}")
        assert best is None or best <= cap + 0.01, "no network passes its proof, but for the sample's chance"
    for model in models:
        summarise(
            f"graded, width {model.width}", [row for row in rows["adaptive"] if row["model"]["width"] == model.width]
        )


def digits(asked: argparse.Namespace) -> None:
    """exit_mlp and nested beside static perceptrons of four widths and three depths."""
    from sp_search.models.exit_mlp import ExitMlp
    from sp_search.models.nested import Nested
    from sp_search.tasks.digits import Digits

    adaptive: list[tuple[str, ModelSpec, int]] = [
        ("exit_mlp", ExitMlp(width=128, depth=3), 4),
        ("nested by cost", Nested(widths=[16, 32, 128], depth=3), 9),
        ("nested by width", Nested(widths=[16, 32, 128], depth=2, path="width"), 3),
    ]
    static = [("static", ExitMlp(width=width), exits) for width in (16, 32, 64, 128) for exits in (1, 2, 4)]
    todo = [*static, *(("adaptive", model, exits) for _, model, exits in adaptive)]
    rows = fill("early_exit_digits", Digits(), DIGITS, todo, asked)
    for name, model, _ in adaptive:
        summarise(name, [row for row in rows["adaptive"] if row["model"] == model.model_dump(mode="json")])


def main() -> None:
    """Train, print and keep both, or one of them."""
    import torch

    parser = argparse.ArgumentParser()
    parser.add_argument("task", nargs="?", choices=["graded", "digits", "both"], default="both")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--least-depth", type=int, default=1, help="of the static networks of graded")
    parser.add_argument("--go-on", action="store_true", help="train only what has no rows yet")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.task != "digits":
        graded(asked)
    if asked.task != "graded":
        digits(asked)


if __name__ == "__main__":
    main()
