"""What answering at exit n costs: analytic FLOPs per example and halting rules, without torch.

Pricing runs before anything is built (`plan`, budgets), so it is plain arithmetic; `compute.flops` checks it against the
operations that really run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Reads = Literal["nothing", "halt", "answer"]


class Prices(NamedTuple):
    """Analytic FLOPs per example. `step_N`, `halt_N`, `answer_N`: of exit n alone, not cumulative."""

    start: float
    step_N: tuple[float, ...]
    halt_N: tuple[float, ...]
    answer_N: tuple[float, ...]


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

    At exit N nothing is left to decide, so the halting unit is not read there; the answer always is. The arithmetic of
    the rule itself (a log-survival update, a softmax and a maximum) belongs to `halt_N` and `answer_N` of the model.
    """
    totals = []
    spent = prices.start
    last = len(prices.step_N)
    for index in range(last):
        spent += prices.step_N[index]
        if rule.reads == "halt" and index + 1 < last:
            spent += prices.halt_N[index]
        if rule.reads == "answer":
            spent += prices.answer_N[index]
            totals.append(spent)
        else:
            totals.append(spent + prices.answer_N[index])
    return tuple(totals)
