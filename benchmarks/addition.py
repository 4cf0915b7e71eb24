"""Addition under `ponder_net` with a price: exactness, executed rollouts, and whether they follow the need.

Every lineage is also put to 48 uniform bits, four times its training length, with 32 rollouts available: the worst case
needs 24, the mean need grows as log2 n.
"""

from __future__ import annotations

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


def uniform_48(folder: Path) -> dict[int, dict[str, float]]:
    """Return, by lineage, exact match and mean executed rollouts on 48 uniform bits."""
    import torch

    from sp_search.program import Program
    from sp_search.tasks.binary_addition import BinaryAddition
    from sp_search.train.evaluate import try_program

    task, found = BinaryAddition(bits=48, distribution="uniform"), {}
    batch = task.sample(1024, "iid", "verification", torch.Generator().manual_seed(48))
    for row, program in trained_programs(folder):
        trial = try_program(Program(program.model, program.rule, 32), task, batch, exact=False)
        right, rollouts = float(trial.right_B.double().mean()), float(trial.exit_B.double().mean())
        found[row.measured.lineage] = {"exact_match": right, "mean_rollouts": rollouts}
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
    for name, best in (("exact_match", max), ("mean_rollouts", min)):
        values = [row["uniform_48"][name] for row in rows if row["uniform_48"]]
        worst = min(values) if best is max else max(values)
        print(f"48 uniform bits, {name}: median {median(values):.4f}, worst {worst:.4f}")
    means = [row["mean_rollouts"] for row in rows if row["mean_rollouts"]]
    print(f"mean rollouts: median {median(means):.2f}, worst {max(means):.2f}")
    keep("addition", {"rows": rows, "successes": successes})


if __name__ == "__main__":
    main()
