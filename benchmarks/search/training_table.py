"""A table of real training outcomes: digits by perceptrons of every width, thirty lineages each, trained to the end.

One hidden layer on the 8 x 8 digits; a budget is its FLOPs per image. No lineage stops early, so a level's price is the
same for all of its lineages. The comparison draws lineages from this table instead of training them again.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.ladder import UNTIED, Ladder, train
from benchmarks.seeds import keep
from sp_search.models.exit_mlp import ExitMlp
from sp_search.tasks.digits import Digits
from sp_search.train.evaluate import draw_batch, try_program

WIDTHS = [*range(1, 21), *(round(20 * 1.1**n) for n in range(1, 38))]
LINEAGES, STEPS = list(range(30)), 300
NEVER_STOPS = 0.9999


def level(ladder: Ladder, width: int, seed: int) -> dict[str, Any]:
    """Return what one width computes, what training one of its lineages takes, and every lineage's accuracy."""
    runner, at = ladder.runner(seed), ladder.assignment(seed, LINEAGES, width)
    state, rungs = train(runner, at, None)
    programs = [runner.program(at, state, lineage) for lineage in LINEAGES]
    batch, exact = draw_batch(ladder.task, "iid", "verification", 360, 0, 0)
    counts = [try_program(program, ladder.task, batch, exact=exact).count for program in programs]
    return {
        "width": width, "flops": programs[0].max_available_flops(1),
        "training_flops": sum(rung.flops for rung in rungs.values()) / len(rungs),
        "accuracy": [round(count.correct / count.n, 5) for count in counts],
    }  # fmt: skip


def main(seed: int = 0) -> None:
    """Train every width and keep the table."""
    torch.set_num_threads(1)
    ladder = Ladder(Digits(), ExitMlp(depth=0), 1, WIDTHS, NEVER_STOPS, {**UNTIED, "plateau": None, "steps": STEPS})
    rows = []
    for width in WIDTHS:
        rows.append(level(ladder, width, seed))
        accuracy = sorted(rows[-1]["accuracy"])
        print(
            width,
            rows[-1]["flops"],
            f"{rows[-1]['training_flops']:.3g}",
            accuracy[0],
            accuracy[15],
            accuracy[-1],
            flush=True,
        )
    keep("search_training_table", {"seed": seed, "steps": STEPS, "levels": rows})


if __name__ == "__main__":
    main()
