"""Width x rollouts: too small a network cannot learn, too large a one jumps too far (the post's caution on Proposal 1).

Prefix sums of 9 bits, which a cell that moves information two positions per rollout needs 4 rollouts for. Five lineages
at every width and number of rollouts, one recipe. A cell of the grid holds how many lineages met the milestone,
their accuracy, the FLOPs of a program and of the training that it took. A larger jump over the least program is its
FLOPs over those of the cheapest cell in which most lineages pass.
"""

from __future__ import annotations

import sys
from statistics import mean, median
from typing import Any

import torch

from benchmarks.ladder import RECURRENT, Ladder, train
from benchmarks.seeds import keep
from sp_search.models.recall_conv import RecallConv
from sp_search.tasks.prefix_sums import PrefixSums
from sp_search.train.evaluate import draw_batch, try_program

WIDTHS, ROLLOUTS, LINEAGES = [2, 4, 8, 16, 32], [2, 4, 6], [0, 1, 2, 3, 4]
TASK, MILESTONE = PrefixSums(bits=9), 0.99


def cell(width: int, rollouts: int, seed: int) -> dict[str, Any]:
    """Return what the lineages did at one width and number of rollouts."""
    ladder = Ladder(TASK, RecallConv(), rollouts, WIDTHS, MILESTONE, {**RECURRENT, "steps": 400})
    runner, at = ladder.runner(seed), ladder.assignment(seed, LINEAGES, width)
    state, rungs = train(runner, at, None)
    programs = [runner.program(at, state, lineage) for lineage in LINEAGES]
    batch, exact = draw_batch(TASK, "iid", "verification", 0, 0, 65_536)
    counts = [try_program(program, TASK, batch, exact=exact).count for program in programs]
    return {
        "seed": seed, "width": width, "rollouts": rollouts, "flops": programs[0].max_available_flops(9),
        "met": sum(rung.ended == "reached" for rung in rungs.values()), "of": len(rungs),
        "accuracy": [count.correct / count.n for count in counts],
        "steps": [rung.steps for rung in rungs.values()], "training_flops": [rung.flops for rung in rungs.values()],
    }  # fmt: skip


def main() -> None:
    """Print the grid and keep its rows."""
    torch.set_num_threads(1)
    seeds = [int(word) for word in sys.argv[1:]] or [0]
    rows = []
    for rollouts in ROLLOUTS:
        for width in WIDTHS:
            rows += [cell(width, rollouts, seed) for seed in seeds]
            own = rows[-len(seeds) :]
            share = sum(row["met"] for row in own) / sum(row["of"] for row in own)
            accuracy = mean(one for row in own for one in row["accuracy"])
            paid = median(one for row in own for one in row["training_flops"])
            print(f"{rollouts} rollouts, width {width}: {share:.0%} met, accuracy {accuracy:.3f}, "
                  f"{own[0]['flops']:,.0f} FLOPs, training {paid:.2g}", flush=True)  # fmt: skip
    passing = [row for row in rows if 2 * row["met"] > row["of"]]
    least = min(passing, key=lambda row: row["flops"], default=None)
    for row in rows:
        row["over_least_passing"] = None if least is None else row["flops"] / least["flops"]
    keep("grid", {"least_passing": least and {key: least[key] for key in ("width", "rollouts", "flops")}, "rows": rows})


if __name__ == "__main__":
    main()
