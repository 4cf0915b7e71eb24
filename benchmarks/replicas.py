"""Programs trained per CPU second in one process: many replicas side by side against one process a program.

The quickstart's cell at 4 rollouts of 11 bits, which cannot pass, so that every program takes all of its steps. Every
row is a process of its own, on one thread, the sizes in turn; what is compared is CPU time, as the machine is shared.
A process says what its start takes (interpreter, torch, the study) and what a slice of training with its look at
validation does, after a first one that warms up. A level of the recipe is 16 such slices.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from statistics import median
from typing import Any

from benchmarks.seeds import STUDIES, keep

WIDTHS, REPLICAS, ROUNDS = (12, 16), (1, 8, 32, 64), 3
ROLLOUTS, SLICES, LEVEL_SLICES = 4, 1, 16
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def trained(width: int, replicas: int) -> dict[str, Any]:
    """Train in this process, from its start on; return CPU seconds of the start and of a slice."""
    import torch

    from sp_search.plan import build_runner
    from sp_search.records import Assignment, Budget, derive_seed
    from sp_search.study import load_study

    torch.set_num_threads(1)
    runner = build_runner(load_study(STUDIES / "quickstart.yaml"))
    budget = Budget(kind="max", measure="rollouts", cap=float(ROLLOUTS), axis={"rollouts": ROLLOUTS})
    at = Assignment(
        member=0, visit=0, level=0, attempt=0, milestone=0.99, budget=budget, config={"width": width},
        lineages=list(range(replicas)), seeds=[derive_seed(0, "weights", one) for one in range(replicas)],
    )  # fmt: skip
    state = runner.begin(at, None)
    start = time.process_time()
    state, _ = runner.step(at, state)
    warm = time.process_time()
    for _ in range(SLICES):
        state, measured = runner.step(at, state)
        assert measured is None
    slice_s = (time.process_time() - warm) / SLICES
    assert not any(state.meta["ended"])
    return {"width": width, "replicas": replicas, "start_s": start, "first_slice_s": warm - start, "slice_s": slice_s}


def alone(width: int, replicas: int) -> dict[str, Any]:
    """Return what `trained` says in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.replicas", str(width), str(replicas)]
    told = subprocess.run(command, env=os.environ | ONE_THREAD, check=True, capture_output=True, text=True)  # noqa: S603
    row: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return row


def compared(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return how many times more programs a CPU second trains together, without and with the start of processes."""
    one = next(row for row in rows if row["replicas"] == 1)
    ratios = {}
    for row in rows:
        count = row["replicas"]
        ratios[f"training_{count}"] = count * one["slice_s"] / row["slice_s"]
        whole, own = (each["start_s"] + LEVEL_SLICES * each["slice_s"] for each in (one, row))
        ratios[f"level_{count}"] = count * whole / own
        ratios[f"slice_{count}"] = count * (one["start_s"] + one["slice_s"]) / (row["start_s"] + row["slice_s"])
    return ratios


def main() -> None:
    """Print the ratios of every round, and keep the rows."""
    rounds = []
    for width in WIDTHS:
        for _ in range(ROUNDS):
            rows = [alone(width, replicas) for replicas in REPLICAS]
            rounds.append({"width": width, "rows": rows, "ratios": compared(rows)})
            for row in rows:
                print({name: round(value, 4) for name, value in row.items()}, flush=True)
        own = [each["ratios"] for each in rounds if each["width"] == width]
        for name in own[0]:
            values = [ratios[name] for ratios in own]
            print(f"width {width}: {name} median {median(values):.1f}, worst {min(values):.1f}", flush=True)
    keep("replicas", {"rounds": rounds})


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(trained(int(sys.argv[1]), int(sys.argv[2]))))
    else:
        main()
