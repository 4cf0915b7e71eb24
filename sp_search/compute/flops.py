"""Counts the FLOPs that a callable really executes, operation by operation, and checks analytic prices against them.

Analytic prices are the truth that budgets are stated in; this count is their cross-check, and it fails closed:
`UnpricedOperationError` for what stands in no table. The convention is written once, in `compute.price_table`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sp_search.compute.dispatch import PricedDispatch
from sp_search.compute.formulas import Call, Price
from sp_search.compute.stopping import Execution, execute
from sp_search.halting import predicted
from sp_search.pricing import Prices
from sp_search.program import Program, ProgramModel


@dataclass(frozen=True)
class FlopCount:
    """FLOPs of one execution: `total`, and `by_operation` (data movement, which is free, is left out)."""

    total: float
    by_operation: dict[str, float]


class _FlopMeter(PricedDispatch):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()
        self.spent: dict[str, float] = {}

    def record(self, operation: str, price: Price, call: Call) -> None:
        flops = float(price.flops(call))
        if flops:
            self.spent[operation] = self.spent.get(operation, 0.0) + flops


def count_flops(function: Callable[..., Any], *inputs: Any) -> FlopCount:
    """Run `function(*inputs)` (a module or any callable, with or without gradients, vmap included) and count its FLOPs.

    Raises:
        UnpricedOperationError: an operation ran that has no price; the message says how to give it one.
    """
    meter = _FlopMeter()
    meter.watch(function, inputs)
    return FlopCount(float(sum(meter.spent.values())), dict(sorted(meter.spent.items())))


@dataclass(frozen=True)
class CrossCheck:
    """FLOPs of one batch as priced and as executed."""

    analytic: float
    counted: FlopCount

    @property
    def agrees(self) -> bool:
        """Whether they are equal: prices are exact, not approximate."""
        return self.analytic == self.counted.total


@torch.no_grad()
def measured_prices(model: ProgramModel, x_BTC: Tensor, *, exits: int, halting: bool) -> Prices:
    """Return the dispatcher's count, per example, of `start`, `step`, `halt`, `answer` and the halting predictor.

    For the contract test of a model: it must equal `model.prices(T, exits)` exactly. Without `halting` halt_N is zeros.
    """
    examples = x_BTC.shape[0]
    step_N, halt_N, answer_N = [], [], []
    start = count_flops(model.start, x_BTC).total / examples
    state = model.start(x_BTC)
    for index in range(1, exits + 1):
        step_N.append(count_flops(model.step, state, index).total / examples)
        state = model.step(state, index)
        halt_N.append(count_flops(model.halt, state, index).total / examples if halting else 0.0)
        answer_N.append(count_flops(model.answer, state, index).total / examples)
    answers, classes = model.answer(state, exits).shape[1:]
    predict = 0.0
    if "halting_predictor" in model._modules:
        predict = count_flops(lambda: predicted(model.predict(x_BTC))).total / examples
    return Prices(start, tuple(step_N), tuple(halt_N), tuple(answer_N), answers, classes, predict)


def cross_check(program: Program, x_BTC: Tensor) -> CrossCheck:
    """Execute `program` on a batch, with real stopping, and compare the ledger's FLOPs with the dispatcher's count.

    A contract test runs it over every model, rule and number of exits and asks for `agrees`. Thresholds of 0 and above
    1 make every example stop at exit 1 or at exit N.
    """
    executions: list[Execution] = []
    counted = count_flops(lambda: executions.append(execute(program, x_BTC, compact=True)))
    return CrossCheck(float(executions[0].flops_B.sum()), counted)
