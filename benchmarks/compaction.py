"""What dropping halted rows saves of the wall time that masking wastes, over the size of a rollout.

One untrained recall cell per row of the table, stopped by sampling with one constant rate, so that examples leave early
(mean exit near N / 4) or late (near 3 N / 4). Masked, compacted and the default run in turn, in one process, on one
thread. Ideal is masking's time times the share of row steps that nobody needed. Only ratios are claimed: the time of a
rollout is printed to say where each row stands.
"""

from __future__ import annotations

import os
import time
from statistics import median
from typing import Any

import torch
from torch import Generator

from benchmarks.seeds import keep
from sp_search.compute import execute
from sp_search.models.recall_conv import RecallConv
from sp_search.pricing import HaltingRule
from sp_search.program import Program
from sp_search.tasks.base import Shape

CELLS = [  # width, rollouts, batch, positions
    (16, 16, 1, 16), (16, 16, 16, 16), (16, 16, 64, 16), (16, 16, 256, 16), (32, 16, 256, 16), (64, 16, 256, 16),
    (64, 32, 256, 32), (128, 32, 256, 32), (64, 32, 512, 32),
]  # fmt: skip
RATES = {"early": 4.0, "late": 0.6}  # over N: the rate of halting at each exit
REPEATS = 5
WAYS: dict[str, bool | None] = {"masked": False, "compacted": True, "default": None}


def program_of(width: int, exits: int, positions: int, rate: float, seed: int) -> Program:
    """Return an untrained cell whose halting unit always says `rate`."""
    shape = Shape(positions, 1, positions, 2)
    model: Any = RecallConv(width=width).build(shape, exits, halting=True, generator=Generator().manual_seed(seed))
    with torch.no_grad():
        model.halt_unit.weight.zero_()
        model.halt_unit.bias.fill_(torch.logit(torch.tensor(rate)).item())
    return Program(model, HaltingRule("sample", seed=seed), exits)


def repeat(cell: tuple[int, int, int, int], rate: float, seed: int) -> dict[str, float]:
    """Return seconds of each way, once, and the share of row steps that masking wastes."""
    width, exits, batch, positions = cell
    program = program_of(width, exits, positions, rate, seed)
    x_BTC = torch.randn(batch, positions, 1, generator=Generator().manual_seed(seed))
    ran = execute(program, x_BTC)
    found = {"wasted": 1 - float(ran.exit_B.sum()) / (batch * float(ran.exit_B.max()))}
    with torch.no_grad():
        state = program.model.start(x_BTC)
        rollouts = [_seconds(lambda: program.model.step(state, 1)) for _ in range(5)]
    found["rollout"] = min(rollouts)
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    turns = max(2, min(30, int(0.06 / (exits * max(found["rollout"], 1e-5)))))
    for _ in range(turns):  # in turn, so that what else the machine does falls on all three
        for name, compact in WAYS.items():
            times[name].append(_seconds(lambda compact=compact: execute(program, x_BTC, compact=compact)))  # type: ignore[misc]
    return found | {name: min(each) for name, each in times.items()}


def _seconds(call: Any) -> float:
    started = time.process_time()  # of one thread: what other processes do to the clock on the wall is left out
    call()
    return time.process_time() - started


def row_of(cell: tuple[int, int, int, int], spread: str) -> dict[str, Any]:
    """Return a row of the table."""
    runs = [repeat(cell, RATES[spread] / cell[1], seed) for seed in range(REPEATS)]
    slower = [run["default"] / run["masked"] - 1 for run in runs]
    row: dict[str, Any] = {"width": cell[0], "rollouts": cell[1], "batch": cell[2], "positions": cell[3]}
    row |= {"spread": spread, "rollout_ms": 1e3 * median(run["rollout"] for run in runs)}
    row |= {"wasted": median(run["wasted"] for run in runs), "slower": median(slower), "slower_worst": max(slower)}
    for way in ("compacted", "default"):
        shares = [(1 - run[way] / run["masked"]) / run["wasted"] for run in runs if run["wasted"]]
        row |= {f"{way}_saved": median(shares), f"{way}_worst": min(shares)} if shares else {}
    return row


def main() -> None:
    """Print and keep the table."""
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    rows = []
    print("width  N  batch  T spread  rollout ms  wasted  saved of it: always (worst)  default (worst)  slower (worst)")
    for cell in CELLS:
        for spread in RATES:
            rows.append(row := row_of(cell, spread))
            saved = "  ".join(
                f"{row[f'{way}_saved']:6.2f} ({row[f'{way}_worst']:6.2f})" if f"{way}_saved" in row else " " * 15
                for way in ("compacted", "default")
            )
            print(
                f"{cell[0]:5d} {cell[1]:2d} {cell[2]:6d} {cell[3]:2d} {spread:6s} {row['rollout_ms']:8.2f} "
                f"{row['wasted']:9.2f} {saved} {row['slower']:+8.3f} ({row['slower_worst']:+.3f})"
            )
    keep("compaction", {"load_before": load, "repeats": REPEATS, "rows": rows})


if __name__ == "__main__":
    main()
