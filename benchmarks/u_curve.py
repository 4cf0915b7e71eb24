"""Too little and too much penalty: accuracy and executed compute of addition over the strength of a speed prior.

Every strength trains five lineages a study seed, and every lineage is executed on the same draw under its default rule.
Good enough is what `benchmarks.addition` asks: exact match of .97, at most 4.2 mean rollouts of 8 (mean need 3.75);
stable, that at most 1 % of the right answers turn wrong after the halt. The range of strengths at which most lineages
are good enough, or both, is how exactly the strength has to be known.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.predictor import STUDY
from benchmarks.programs import trained_programs
from benchmarks.seeds import RESULTS, keep, run_seed

EXAMPLES = 8_192
SEEDS = range(1)
PRICES = (0.0, 0.03, 0.1, 0.2, 0.4, 1.0)
CURVES: dict[str, tuple[str, str, tuple[float, ...]]] = {
    "mean_rollouts.price": ("mean_rollouts", "price", PRICES),
    "ponder_net.price": ("ponder_net", "price", PRICES),
    "ponder_net.beta": ("ponder_net", "beta", (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)),
}


def executed(folder: Path) -> list[dict[str, Any]]:
    """Return each lineage's accuracy and executed compute on one draw, and what accuracy hides."""
    import torch

    from sp_search.tasks.binary_addition import BinaryAddition
    from sp_search.train.evaluate import diagnose, try_program

    task, found = BinaryAddition(bits=12), []
    batch = task.sample(EXAMPLES, "iid", "verification", torch.Generator().manual_seed(12))
    for row, program in trained_programs(folder):
        trial = try_program(program, task, batch, exact=False)
        hidden = diagnose(program, task, batch, trial, examples=EXAMPLES)
        found.append({
            "lineage": row.measured.lineage, "accuracy": float(trial.right_B.double().mean()),
            "mean_rollouts": float(trial.exit_B.double().mean()), "mean_flops": float(trial.flops_B.mean()),
            **{name: hidden[name] for name in ("dead_halting", "corr_need", "unstable_after_halt")},
        })  # fmt: skip
    return found


def good_enough(row: dict[str, Any]) -> bool:
    """Whether a lineage is right often enough and stops early enough."""
    return bool(row["accuracy"] >= 0.97 and row["mean_rollouts"] <= 4.2)


def stable(row: dict[str, Any]) -> bool:
    """Whether its answers hold after the halt."""
    return bool((row["unstable_after_halt"] or 0) <= 0.01)


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return, by curve, medians and worst by strength, and the range of strengths at which most are good enough."""
    curves: dict[str, Any] = {}
    for name in dict.fromkeys(row["curve"] for row in rows):
        points = []
        for strength in sorted({row["strength"] for row in rows if row["curve"] == name}):
            own = [row for row in rows if row["curve"] == name and row["strength"] == strength]
            points.append({
                "strength": strength, "lineages": len(own), "good_enough": sum(map(good_enough, own)),
                "dead": sum(bool(row["dead_halting"]) for row in own),
                "stable": sum(map(stable, own)),
                "good_and_stable": sum(good_enough(row) and stable(row) for row in own),
                "accuracy": median(row["accuracy"] for row in own),
                "worst_accuracy": min(row["accuracy"] for row in own),
                "mean_rollouts": median(row["mean_rollouts"] for row in own),
                "most_rollouts": max(row["mean_rollouts"] for row in own),
                "mean_flops": median(row["mean_flops"] for row in own),
            })  # fmt: skip
        curves[name] = {"points": points}
        for key in ("good_enough", "good_and_stable"):
            curves[name][f"mostly_{key}"] = [p["strength"] for p in points if p[key] > p["lineages"] / 2]
    return curves


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw, by curve, every lineage's exact match and mean rollouts over the strength, and the share that is good.

    A strength of zero is drawn at half of the smallest other one.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    curves = summary(rows)
    figure, axes = plt.subplots(3, len(curves), figsize=(3.6 * len(curves), 7.2), sharex="col", squeeze=False)
    for column, (name, curve) in zip(axes.T, curves.items(), strict=True):
        smallest = min(point["strength"] for point in curve["points"] if point["strength"])
        own = [row for row in rows if row["curve"] == name]
        for axis, key in zip(column[:2], ("accuracy", "mean_rollouts"), strict=True):
            places = [row["strength"] or smallest / 2 for row in own]
            axis.plot(places, [row[key] for row in own], "o", ms=3, alpha=0.5, color="tab:gray")
            axis.plot(
                [point["strength"] or smallest / 2 for point in curve["points"]],
                [point[key] for point in curve["points"]],
                color="tab:blue",
            )
            axis.set_ylabel({"accuracy": "exact match", "mean_rollouts": "mean executed rollouts"}[key])
        column[1].axhline(4.2, lw=0.8, ls="--", color="black")
        column[0].axhline(0.97, lw=0.8, ls="--", color="black")
        for key, style in (("good_enough", "-s"), ("good_and_stable", "--o")):
            places = [point["strength"] or smallest / 2 for point in curve["points"]]
            shares = [point[key] / point["lineages"] for point in curve["points"]]
            column[2].plot(places, shares, style, ms=4, color="tab:green", label=key.replace("_", " "))
        column[2].legend(fontsize="small")
        column[2].set(ylim=(-0.05, 1.05), ylabel="share of lineages", xlabel=name, xscale="log")
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main() -> None:
    """Run the curves that are named (by default all), print a row a strength, keep rows, summary and figure."""
    rows: list[dict[str, Any]] = []
    for seed in SEEDS:
        for name in sys.argv[1:] or CURVES:
            kind, field, strengths = CURVES[name]
            for strength in strengths:
                run = run_seed({**STUDY, "name": "u-curve", "prior": {"kind": kind, field: strength}}, seed, executed)
                rows += [{"curve": name, "strength": strength, "seed": seed, **row} for row in run["inspected"]]
                print(seed, name, summary(rows)[name]["points"][-1], flush=True)
            keep("u_curve", {"rows": rows, "summary": summary(rows)})
    draw(rows, RESULTS / "u_curve.png")


if __name__ == "__main__":
    main()
