"""Mazes of side 9, learnt in minutes on one thread, then unrolled further: side 17 solved?

Rollouts grow while the weights stay (Proposal 2A), every second batch first runs a while without gradient. The recipe
was chosen on seeds of 100 and up; a lineage never stops early. `--twice` gives it twice the steps.
"""

from __future__ import annotations

import sys
import time
from statistics import median
from typing import Any

from benchmarks.lineages import train
from benchmarks.seeds import keep

LEVELS = [(4, 100, 3e-3), (8, 100, 3e-3), (12, 1500, 3e-3), (28, 500, 1e-3)]
"""Rollouts, steps, step size."""
EXAMPLES = 500


def lineage(seed: int, times_steps: int) -> dict[str, Any]:
    """Train one lineage and return what it solves: side 9 at 1x and 2x its rollouts, side 17 at 2x and 4x."""
    import torch

    from sp_search.plugins import find
    from sp_search.pricing import HaltingRule
    from sp_search.program import Program
    from sp_search.train.evaluate import try_program
    from sp_search.train.settings import TrainSettings

    torch.set_num_threads(1)
    task = find("tasks", "mazes")(side=9, longer_side=17)
    model = find("models", "recall_conv")(width=24, layers=2, kernel=3, causal=False)
    common = {"batch": 32, "burn_in": 0.5, "evaluate_every": 50, "validation": 256, "screening": 256}
    levels = [
        (rollouts, TrainSettings(**common, steps=times_steps * steps, learning_rate=rate, decay_from=0.3, decay_to=0.3))
        for rollouts, steps, rate in LEVELS
    ]
    started, cpu = time.monotonic(), time.process_time()
    (found,) = train(task, model, find("priors", "none")(), levels, seed=seed, lineages=[0], milestone=0.9999)
    spent = {"cpu_seconds": round(time.process_time() - cpu), "seconds": round(time.monotonic() - started)}
    program = found.program
    generator = torch.Generator().manual_seed(1_000 + seed)
    same = task.sample(EXAMPLES, "iid", "verification", generator)
    row: dict[str, Any] = {"seed": seed, "rollouts": program.exits, **spent}
    larger = task.sample(EXAMPLES, "longer", "verification", torch.Generator().manual_seed(2_000 + seed))
    for side, batch, multiples in ((9, same, (1, 2)), (17, larger, (2, 4))):
        for times in multiples:
            unrolled = Program(program.model, HaltingRule(), times * program.exits)
            row[f"side_{side}_at_{times}x"] = try_program(unrolled, task, batch, exact=False).count.correct / EXAMPLES
    return row


def main() -> None:
    """Print one row a lineage (seeds 0 to 4, or those that are given), and the median and the worst."""
    rows: list[dict[str, Any]] = []
    asked, twice = [int(word) for word in sys.argv[1:] if word.isdigit()], "--twice" in sys.argv
    for seed in asked or range(5):
        rows.append(lineage(seed, 2 if twice else 1))
        print(rows[-1], flush=True)
        if seed < 100:
            keep("mazes_twice" if twice else "mazes", {"levels": LEVELS, "examples": EXAMPLES, "rows": rows})
    for times in (2, 4):
        solved = [row[f"side_17_at_{times}x"] for row in rows]
        print(f"side 17 at {times}x: median {median(solved):.3f}, worst {min(solved):.3f} of {len(solved)}")


if __name__ == "__main__":
    main()
