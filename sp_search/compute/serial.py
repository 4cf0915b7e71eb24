"""Measures the critical path of a callable: the longest chain of operations that wait for each other.

The model is unlimited parallel hardware (`compute.price_table`: 1 per elementwise operation, ceil(log2 k) for a tree of
reductions, 0 for data movement), so equal FLOPs spent side by side and one after another come out differently.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from sp_search.compute.dispatch import PricedDispatch, storages
from sp_search.compute.doors import UnpricedOperationError
from sp_search.compute.formulas import Call, Price
from sp_search.compute.stopping import execute
from sp_search.program import Program


class _DepthMeter(PricedDispatch):  # type: ignore[no-untyped-call]
    """Remembers a depth per storage: views and in-place changes share it, and a freed storage's key is never reused."""

    def __init__(self) -> None:
        super().__init__()
        self.depths: dict[StorageWeakRef, int] = {}

    def record(self, operation: str, price: Price, call: Call) -> None:
        if price.depth is None:
            raise UnpricedOperationError(
                f"operation {operation} has FLOPs but no serial depth: register_price takes `depth` beside `flops`"
            )
        inputs = storages((call.args, call.kwargs))
        depth = int(price.depth(call)) + max((self.depths.get(storage, 0) for storage in inputs), default=0)
        for storage in storages(call.output) or inputs:  # what gives nothing back has changed what it was given
            self.depths[storage] = max(depth, self.depths.get(storage, 0))


def serial_depth(function: Callable[..., Any], *inputs: Any) -> int:
    """Run `function(*inputs)` and return the length of its longest chain of dependent operations.

    Different examples of a batch do not wait for each other, so any batch size gives the same depth. Parts written into
    one buffer are taken to depend on the buffer's deepest part, so the figure can only be too large.

    Raises:
        UnpricedOperationError: an operation ran whose price or depth is not known.
    """
    meter = _DepthMeter()
    meter.watch(function, inputs)
    return max(meter.depths.values(), default=0)


class InputShape(Protocol):
    """Anything that says how many positions and channels an input has (a task's `Shape`)."""

    @property
    def positions(self) -> int: ...
    @property
    def channels(self) -> int: ...


def program_serial_depth(program: Program, shape: InputShape) -> int:
    """Return the critical path of a program that never halts early, on one input of T = `shape.positions`.

    Data dependencies alone count: that a step may have to wait for the decision to go on is not in it.
    """
    never = replace(program.rule, threshold=math.inf)
    device = next(program.model.parameters()).device
    x_BTC = torch.zeros(1, shape.positions, shape.channels, device=device)
    return serial_depth(lambda: execute(program, x_BTC, rule=never))
