"""What answering at exit n costs: analytic FLOPs per example and halting rules, without torch.

Pricing runs before anything is built (`plan`, budgets), so it is plain arithmetic; `compute.flops` checks it against
the operations that really run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Reads = Literal["nothing", "halt", "answer"]


QUANTILE_FLOPS = 4.0
"""Arithmetic of the rule `quantile` at one exit: negate, log-sigmoid, add to the log-survival, compare."""


def confidence_flops(answers: int, classes: int) -> float:
    """Return the arithmetic of the rule `confidence` at one exit.

    A softmax (5 per class) and its maximum (1 per class) at each of T = `answers` positions, their minimum (1 per
    position), a comparison.
    """
    return float(6 * answers * classes + answers + 1)


class Prices(NamedTuple):
    """Analytic FLOPs per example. `step_N`, `halt_N`, `answer_N`: of exit n alone, not cumulative.

    They price the model's own methods. `confidence` is what the rule of that name adds at an exit (`confidence_flops`).
    """

    start: float
    step_N: tuple[float, ...]
    halt_N: tuple[float, ...]
    answer_N: tuple[float, ...]
    confidence: float = 0.0


@dataclass(frozen=True)
class HaltingRule:
    """When a program stops. `reads` says what is computed at every exit, and so what is priced there.

    - `last`: at exit N (reads nothing).
    - `quantile`: at the first exit whose cumulative halting probability is >= threshold (reads the halting unit).
    - `confidence`: at the first exit whose least confident position has max softmax >= threshold (reads the answer).

    The remainder always stays on N: that is what executes.
    """

    kind: Literal["last", "quantile", "confidence"] = "last"
    threshold: float = 0.5

    @property
    def reads(self) -> Reads:
        """What the rule computes at every exit."""
        readings: dict[str, Reads] = {"last": "nothing", "quantile": "halt", "confidence": "answer"}
        return readings[self.kind]


def cumulative_flops(prices: Prices, rule: HaltingRule) -> tuple[float, ...]:
    """Return flops_N: what a program has spent per example when it answers at exit n under `rule`.

    At exit N nothing is left to decide: the halting unit is not read there, nor the arithmetic of a rule spent. The
    answer always is.
    """
    totals = []
    spent = prices.start
    last = len(prices.step_N)
    for index in range(last):
        spent += prices.step_N[index]
        decides = index + 1 < last
        if rule.reads == "halt" and decides:
            spent += prices.halt_N[index] + QUANTILE_FLOPS
        answered = spent + prices.answer_N[index]
        if rule.reads == "answer":
            answered += prices.confidence if decides else 0.0
            spent = answered
        totals.append(answered)
    return tuple(totals)
