"""Addition: the offline predictor, its own cost included, against the joint halting head, and against itself online.

Every lineage is executed at many thresholds of its rule, on one draw to choose the threshold and on another to report:
the least mean FLOPs at which it answers 99 % rightly, and the least at which it answers 99 % rightly *and stably*, that
is rightly at every exit from the one that halts to the last. The joint head can pass the first by halting at the moment
at which a guess is right; the second it cannot. `fixed` is the same network without anything that halts, which always
runs the exit that suffices.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.programs import trained_programs
from benchmarks.seeds import RESULTS, keep, run_seed

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sp_search.program import Program
    from sp_search.tasks.base import Batch, Task

EXAMPLES = 8_192
GOAL = 0.99
SEEDS = range(2)
GRID = (*(step / 20 for step in range(1, 16)), *(1 - 0.25 * 0.8**step for step in range(30)))
PRIORS: dict[str, dict[str, Any]] = {
    "joint": {"kind": "ponder_net"},
    "joint_price_only": {"kind": "mean_rollouts"},
    "confidence": {"kind": "early_exit", "weights": "uniform"},
    "offline_w8": {"kind": "halting_predictor"},
    "online_w8": {"kind": "halting_predictor", "mode": "online"},
    "offline_w4": {"kind": "halting_predictor", "width": 4},
    "offline_w16": {"kind": "halting_predictor", "width": 16},
    "offline_w16_l4_k3": {"kind": "halting_predictor", "width": 16, "layers": 4, "kernel": 3},
}
LONGER = {"confidence": {"milestones": [0.998]}}  # it may stop at the milestone: .97 takes 150 steps, too few for 99 %
STUDY: dict[str, Any] = {
    "name": "predictor",
    "task": {"kind": "binary_addition", "bits": 12, "distribution": "graded"},
    "model": {"kind": "recall_conv", "width": 16},
    "scheduler": {"kind": "annealing", "axis": "rollouts", "budget": "max", "start": 8.0, "stop": 8.0},
    "population": {"members": [{}], "replicas": 5},
    "milestones": [0.97],
}


def frontier(folder: Path) -> list[dict[str, Any]]:
    """Return what each lineage's program spends at the goal, and what it does as it was trained."""
    import torch

    from sp_search.tasks.binary_addition import BinaryAddition

    task = BinaryAddition(bits=12)
    draws = [task.sample(EXAMPLES, "iid", "verification", torch.Generator().manual_seed(seed)) for seed in (7, 8)]
    return [
        {"lineage": row.measured.lineage, **at_goal(program, task, *draws)} for row, program in trained_programs(folder)
    ]


def at_goal(program: Program, task: Task, choosing: Batch, reporting: Batch) -> dict[str, Any]:
    """Choose thresholds and fixed exits on one batch; return what the cheapest that reach the goal do on the other."""
    import torch

    from sp_search.pricing import HaltingRule
    from sp_search.program import Program
    from sp_search.train.evaluate import look_at

    weights = {name: part.detach()[None] for name, part in program.model.named_parameters()}
    chosen, reported = (
        look_at(program.model, weights, program.rule, program.exits, task, batch) for batch in (choosing, reporting)
    )
    flops_N = torch.tensor(program.flops_N(12), dtype=torch.float64)
    need_B = task.minimal_rollouts(reporting, 2)
    stable_NB = stable(reported.right_RNB[0])

    def spent(exit_B: torch.Tensor) -> dict[str, float]:
        figures = {
            "accuracy": reported.right_RNB[0].gather(0, exit_B[None])[0],
            "stable": stable_NB.gather(0, exit_B[None])[0],
            "mean_flops": flops_N[exit_B], "mean_rollouts": exit_B + 1, "before_need": exit_B + 1 < need_B,
        }  # fmt: skip
        return {name: float(values_B.double().mean()) for name, values_B in figures.items()}

    own: dict[str, Any] = {"mean_need": float(need_B.double().mean())}
    own["as_trained"] = spent(reported.exit_RB(program.rule.threshold)[0])
    for name, good_NB in (("right", chosen.right_RNB[0]), ("stable", stable(chosen.right_RNB[0]))):
        options = [
            {"threshold": at, **spent(reported.exit_RB(at)[0])} for at in GRID
            if good_NB.gather(0, chosen.exit_RB(at)).double().mean() >= GOAL
        ]  # fmt: skip
        own[name] = min(options, key=lambda option: option["mean_flops"], default=None)
        fixed = next((n + 1 for n in range(program.exits) if good_NB[n].double().mean() >= GOAL), None)
        alone = None if fixed is None else Program(program.model, HaltingRule(), fixed).flops_N(12)[-1]
        own[f"fixed_{name}"] = fixed and {"mean_rollouts": fixed, "mean_flops": alone}
    return own


def stable(right_NB: Tensor) -> Tensor:
    """Return whether exit n and all after it are right, bool_NB."""
    return right_NB.long().flip(0).cumprod(0).flip(0).bool()


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return, by prior, medians and worst of the least FLOPs and rollouts, and how many lineages reach the goal."""
    table: dict[str, Any] = {}
    for prior in dict.fromkeys(row["prior"] for row in rows):
        own = [row for row in rows if row["prior"] == prior]
        table[prior] = {"lineages": len(own), "training_gflops": median(row["training_gflops"] for row in own)}
        table[prior]["predictor_flops"] = own[0]["predictor_flops"]
        for name in ("right", "stable", "fixed_stable"):
            reached = [row[name] for row in own if row[name]]
            table[prior][name] = {"reached": len(reached)}
            for key in ("mean_flops", "mean_rollouts"):
                values = [row[key] for row in reached]
                table[prior][name][key] = {"median": median(values), "worst": max(values)} if values else None
        table[prior]["before_need"] = median(row["right"]["before_need"] for row in own if row["right"])
    return table


def main() -> None:
    """Run the priors that are named (by default all) and print a row each; keep them beside the rows of the others."""
    from sp_search.assembly import prices
    from sp_search.models.recall_conv import RecallConv
    from sp_search.plugins import find
    from sp_search.tasks.base import Shape

    names, kept = sys.argv[1:] or list(PRIORS), RESULTS / "predictor.json"
    before = json.loads(kept.read_text())["rows"] if kept.exists() else []
    rows: list[dict[str, Any]] = [row for row in before if row["prior"] not in names]
    for seed in SEEDS:
        for name in names:
            run = run_seed({**STUDY, "prior": PRIORS[name], **LONGER.get(name, {})}, seed, frontier)
            part = find("priors", PRIORS[name]["kind"])(**{k: v for k, v in PRIORS[name].items() if k != "kind"})
            known = {
                "prior": name, "seed": seed,
                "predictor_flops": prices(RecallConv(width=16), part, Shape(12, 2, 12, 2), 8).predict,
                "training_gflops": sum(event["training_flops"] for event in run["measured"]) / 5e9,
            }  # fmt: skip
            rows += [{**known, **row} for row in run["inspected"]]
            print(seed, name, summary(rows)[name], flush=True)
            keep("predictor", {"rows": rows, "summary": summary(rows)})


if __name__ == "__main__":
    main()
