"""Addition under `ponder_net` with a price: exactness, executed rollouts, and whether they follow the need.

Every lineage is also put to 48 uniform bits, four times its training length, with 32 rollouts available, and halts at
three levels of certainty: the worst case needs 24 rollouts, the mean need grows as log2 n.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.programs import trained_programs
from benchmarks.seeds import keep, run_seeds


def describe(seed: int, lineage: dict[str, Any]) -> dict[str, Any]:
    """Return one lineage's figures; what accuracy alone would hide is named."""
    diagnostics, gates, compute = lineage["diagnostics"], lineage["gates"], lineage["compute"]
    count = gates.get("iid")
    return {
        "seed": seed, "lineage": lineage["lineage"], "ended": lineage["ended"],
        "exact_match": count["correct"] / count["n"] if count else diagnostics.get("validation_accuracy"),
        "mean_rollouts": compute["rollouts"]["mean"] if compute else None,
        "corr_need": diagnostics.get("corr_need"), "dead_halting": diagnostics.get("dead_halting"),
        "unstable_after_halt": diagnostics.get("unstable_after_halt"),
    }  # fmt: skip


THRESHOLDS = (0.5, 0.9, 0.99)
"""Of the cumulative halting probability; .5 is the program's own."""


def uniform_48(folder: Path) -> dict[int, dict[float, dict[str, float]]]:
    """Return, by lineage and threshold, exact match and mean executed rollouts on 48 uniform bits."""
    import torch

    from sp_search.program import Program
    from sp_search.tasks.binary_addition import BinaryAddition
    from sp_search.train.evaluate import try_program

    task = BinaryAddition(bits=48, distribution="uniform")
    found: dict[int, dict[float, dict[str, float]]] = {}
    batch = task.sample(1024, "iid", "verification", torch.Generator().manual_seed(48))
    for row, program in trained_programs(folder):
        own = found[row.measured.lineage] = {}
        for threshold in THRESHOLDS:
            rule = replace(program.rule, threshold=threshold)
            trial = try_program(Program(program.model, rule, 32), task, batch, exact=False)
            right, rollouts = float(trial.right_B.double().mean()), float(trial.exit_B.double().mean())
            own[threshold] = {"exact_match": right, "mean_rollouts": rollouts}
    return found


def reaches(row: dict[str, Any]) -> bool:
    """Whether a lineage reaches all three figures with a halting unit that lives."""
    return (
        not row["dead_halting"]
        and (row["exact_match"] or 0) >= 0.97
        and (row["mean_rollouts"] or 9) <= 4.2
        and (row["corr_need"] or 0) >= 0.7
    )


def main() -> None:
    """Print one row a lineage, the study seeds that succeed, and the unstable and the dead apart."""
    rows, successes = [], []
    for run in run_seeds("addition_ponder.yaml", range(5), inspect=uniform_48):
        own = [describe(run["seed"], lineage) for event in run["measured"] for lineage in event["lineages"]]
        for row in own:
            row["uniform_48"] = run["inspected"].get(row["lineage"])
        rows += own
        for row in own:
            print(row)
        program = run["result"]["program"] or {}
        chosen = [row for row in own if row["lineage"] == program.get("lineage")]
        successes.append(any(reaches(row) for row in chosen))
    stable = [row for row in rows if (row["unstable_after_halt"] or 0) <= 0.01]
    print(f"selected program reaches the figures in {sum(successes)} of {len(successes)} study seeds")
    print(f"lineages: {sum(reaches(row) for row in rows)} of {len(rows)} reach them, of which")
    print(f"  stable after the halt (<= 1 % change): {sum(reaches(row) for row in stable)} of {len(stable)}")
    print(f"  dead halting: {sum(bool(row['dead_halting']) for row in rows)}")
    for threshold in THRESHOLDS:
        longer = [row["uniform_48"][threshold] for row in rows if row["uniform_48"]]
        right, spent = ([one[name] for one in longer] for name in ("exact_match", "mean_rollouts"))
        reached = sum(one["exact_match"] >= 0.98 and one["mean_rollouts"] <= 24 / 5 for one in longer)
        print(
            f"48 uniform bits at {threshold}: exact match median {median(right):.4f}, worst {min(right):.4f}; "
            f"rollouts median {median(spent):.2f}, most {max(spent):.2f}; >= .98 at a fifth of 24: {reached}"
        )
    means = [row["mean_rollouts"] for row in rows if row["mean_rollouts"]]
    print(f"mean rollouts: median {median(means):.2f}, worst {max(means):.2f}")
    keep("addition", {"rows": rows, "successes": successes})


if __name__ == "__main__":
    main()
