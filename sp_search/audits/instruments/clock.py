"""Time beside counted work: does it grow with the inputs by more than torch's own operations take?

An ordinary run is timed, which no meter watches, and a run whose every operation is timed; both on a large and on a
small batch, in turns. Differences between the batches leave out what a run costs whatever it runs on (Python's own
part); what is left is about 1 where torch does all the work. Time is the processor's, of all threads: on a busy machine
that of the wall says nothing about a program. What waits, or runs in another process, is not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from time import process_time
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sp_search.compute.stopping import execute
from sp_search.program import Program

REPEATS = 9
"""Turns; the median lies between the second smallest and the second largest of 9 with probability .96."""
FLOPS = 5e7
"""Of the large batch, about, so that a turn takes some hundredths of a second."""
MOST_ROWS, LEAST_ROWS, PART = 4096, 64, 8
"""Of the large batch; the small one has a `PART` of them."""


class Turn(NamedTuple):
    """Seconds that the large batch takes longer than the small one: as a whole, and inside torch's operations."""

    whole: float
    inside: float


class Times(NamedTuple):
    """growth: seconds that a run's time grows by over those that its operations' time does; low to high: 96 %.

    nanoseconds_per_flop: of the growth, per FLOP that the ledger charges for it.
    """

    growth: float
    low: float
    high: float
    nanoseconds_per_flop: float


def times(program: Program, x_BTC: Tensor, budget: int) -> Times | None:
    """Time a program; None where the budget is too small, or where its operations do not take longer on more inputs."""
    spent = float(execute(program, x_BTC).flops_B.mean())
    rows = int(min(MOST_ROWS, FLOPS // spent, budget // (2 * REPEATS + 2) * PART // (PART + 1)))
    if rows < LEAST_ROWS:
        return None
    large_BTC = x_BTC.repeat(-(-rows // len(x_BTC)), 1, 1)[:rows]
    small_BTC = large_BTC[: rows // PART]
    flops = float(execute(program, large_BTC).flops_B.sum() - execute(program, small_BTC).flops_B.sum())
    turns = [
        Turn(
            _seconds(program, large_BTC) - _seconds(program, small_BTC),
            _seconds_inside(program, large_BTC) - _seconds_inside(program, small_BTC),
        )
        for _ in range(REPEATS)
    ]
    return summary(turns, flops)


def summary(turns: Sequence[Turn], flops: float) -> Times | None:
    """Return the median of the turns' ratios between their second smallest and second largest; None without growth."""
    if min(turn.inside for turn in turns) <= 0.0:
        return None
    ratios = sorted(turn.whole / turn.inside for turn in turns)
    return Times(median(ratios), ratios[1], ratios[-2], 1e9 * median(turn.whole for turn in turns) / flops)


class _Clock(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up what the operations take that reach the dispatcher."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seconds = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        began = process_time()
        output = func(*args, **(kwargs or {}))
        self.seconds += process_time() - began
        return output


@torch.no_grad()
def _seconds(program: Program, x_BTC: Tensor) -> float:
    began = process_time()
    execute(program, x_BTC)
    return process_time() - began


@torch.no_grad()
def _seconds_inside(program: Program, x_BTC: Tensor) -> float:
    with _Clock() as clock:
        execute(program, x_BTC)
    return float(clock.seconds)
