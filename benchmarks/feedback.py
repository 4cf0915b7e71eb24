"""Only what it writes passes between rollouts (`feedback: output`): does it solve, and does it think on paper?

Prefix sums of 9 bits and graded addition of 12 bits; rollouts grow while the weights stay. Then the same programs run
with their scratchpad erased, or dealt to other examples, after every rollout but the last: with an erased one they know
what one rollout can know, whose proven cap stands beside it.
"""

from __future__ import annotations

import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.lineages import train
from benchmarks.seeds import keep

if TYPE_CHECKING:
    from torch import Tensor

    from sp_search.program import Program

CASES: dict[str, tuple[dict[str, Any], list[int]]] = {
    "prefix_sums": ({"bits": 9}, [1, 2, 3, 4, 5, 6]),
    "binary_addition": ({"bits": 12}, [2, 4, 6, 8]),
}
"""Task settings, and the numbers of rollouts that are trained one after another."""
EXAMPLES = 2048


def answers(program: Program, x_BTC: Tensor, disturbance: str) -> Tensor:
    """Return logits_BTV of the last rollout, with the scratchpad `kept`, `erased` or `shuffled` before each."""
    import torch

    model, state = program.model, program.model.start(x_BTC)
    with torch.no_grad():
        for index in range(1, program.exits + 1):
            state = model.step(state, index)
            if index < program.exits and disturbance != "kept":
                pad = model.scratchpad(state)
                state = model.with_scratchpad(state, 0 * pad if disturbance == "erased" else pad.roll(1, 0))
        return model.answer(state, program.exits)


def lineages(kind: str, seed: int, count: int) -> list[dict[str, Any]]:
    """Train `count` lineages and return what each answers rightly with its scratchpad, without, and with another's."""
    import torch

    from sp_search.plugins import find
    from sp_search.train.settings import TrainSettings

    torch.set_num_threads(1)
    fields, levels = CASES[kind]
    task, model = find("tasks", kind)(**fields), find("models", "recall_conv")(feedback="output", scratch_bits=8)
    settings = TrainSettings(steps=300)
    started = time.process_time()
    found = train(
        task,
        model,
        find("priors", "none")(),
        [(rollouts, settings) for rollouts in levels],
        seed=seed,
        lineages=range(count),
        milestone=0.98,
    )
    seconds = round((time.process_time() - started) / count)
    batch = task.sample(EXAMPLES, "iid", "verification", torch.Generator().manual_seed(1_000 + seed))
    cap = task.accuracy_cap("iid", model.reach(), 1)
    rows = []
    for own in found:
        row = {"task": kind, "seed": seed, "lineage": own.measured.lineage, "cpu_seconds": seconds}
        row["one_rollout_cap"] = cap
        for disturbance in ("kept", "erased", "shuffled"):
            right_B = task.correct(answers(own.program, batch.x_BTC, disturbance), batch)
            row[disturbance] = float(right_B.float().mean())
        rows.append(row)
    return rows


def main() -> None:
    """Print one row a lineage (five of study seed 0, or of the seed that is given), median and worst."""
    seed = int(sys.argv[1]) if sys.argv[1:] else 0
    rows = []
    for kind in CASES:
        own = lineages(kind, seed, 5 if seed < 100 else 2)
        rows += own
        for row in own:
            print(row, flush=True)
        kept, erased, shuffled = ([row[how] for row in own] for how in ("kept", "erased", "shuffled"))
        print(f"{kind}: exact match median {median(kept):.3f}, worst {min(kept):.3f}")
        print(f"  scratchpad erased: at most {max(erased):.3f}; shuffled over examples: at most {max(shuffled):.3f}")
        print(f"  proven cap of a single rollout: {own[0]['one_rollout_cap']:.3f}")
        if seed < 100:
            keep("feedback", {"cases": CASES, "examples": EXAMPLES, "rows": rows})


if __name__ == "__main__":
    main()
