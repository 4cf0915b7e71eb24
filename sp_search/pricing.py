"""What answering at exit n costs: analytic FLOPs per example and halting rules, without torch.

Pricing runs before anything is built (`plan`, budgets), so it is plain arithmetic; `compute.flops` checks it against
the operations that really run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, inf, isnan, log, log1p, log2
from typing import Literal, NamedTuple, get_args

RuleKind = Literal[
    "last",
    "quantile",
    "sample",
    "accumulated",
    "prediction",
    "confidence",
    "entropy",
    "margin",
    "patience",
    "stability",
]
Reads = Literal["nothing", "halt", "prediction", "answer"]


class Prices(NamedTuple):
    """Analytic FLOPs per example. `step_N`, `halt_N`, `answer_N`: of exit n alone, not cumulative.

    They price the model's own methods; `predict` is the halting predictor's, zero where there is none. `answers` (T)
    and `classes` (V) are the sizes of an answer, from which the arithmetic of the rules that read it follows.
    """

    start: float
    step_N: tuple[float, ...]
    halt_N: tuple[float, ...]
    answer_N: tuple[float, ...]
    answers: int
    classes: int
    predict: float = 0.0


@dataclass(frozen=True)
class HaltingRule:
    """When a program stops: at the first exit whose score reaches `level`; the remainder always stays on exit N.

    - `last`: at exit N (reads nothing).
    - `quantile`: cumulative halting probability >= threshold (reads the halting unit).
    - `sample`: halts at every exit with the unit's own probability, drawn from `seed` (PonderNet, 2107.05407).
    - `accumulated`: the halting rates sum to >= threshold (ACT, 1603.08983).
    - `prediction`: a separate predictor says before the first step that n exits suffice with probability >= threshold.
    - `confidence`: the least confident position has a largest softmax >= threshold.
    - `entropy`: the largest entropy over positions is <= (1 - threshold) log V (BranchyNet, 1709.01686).
    - `margin`: the least gap between the two likeliest classes is >= threshold (CALM, 2207.07061).
    - `patience`: the answer has stayed the same for `threshold` further exits (PABEE, 2006.04152).
    - `stability`: between two exits no position's distribution moved by more than 1 - threshold (total variation).
    """

    kind: RuleKind = "last"
    threshold: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a rule that nothing defines.

        Raises:
            ValueError: the kind is unknown, or the threshold is not a number.
        """
        if self.kind not in get_args(RuleKind):
            raise ValueError(f"no halting rule is named '{self.kind}'. Known: {', '.join(get_args(RuleKind))}.")
        if isnan(self.threshold):
            raise ValueError(f"rule {self.kind}: the threshold is not a number, and no score reaches that")

    @property
    def reads(self) -> Reads:
        """What the rule computes at every exit (`prediction`: once, before the first step)."""
        readings: dict[RuleKind, Reads] = {"last": "nothing", "prediction": "prediction"}
        return "halt" if self.kind in ("quantile", "sample", "accumulated") else readings.get(self.kind, "answer")

    def level(self, classes: int) -> float:
        """Return the score at which it halts, in the units of `halting.score` (V = `classes`)."""
        threshold = self.threshold
        if self.kind == "last":
            return inf
        if self.kind == "quantile":  # the score is minus the logarithm of the survival
            return -log1p(-threshold) if threshold < 1 else inf
        if self.kind == "entropy":
            return (threshold - 1.0) * log(classes)
        if self.kind == "stability":
            return -2.0 * (1.0 - threshold)
        return threshold

    def candidates(self, exits: int) -> tuple[float, ...]:
        """Return the thresholds among which calibration chooses, the cheapest first; `sample` has none to choose."""
        if self.kind in ("last", "sample"):
            return (self.threshold,)
        if self.kind == "patience":
            return tuple(float(repeats) for repeats in range(exits))
        return THRESHOLDS


MOST_EXITS = 1_000
"""Exits (rollouts among them) that a program may have: each is priced, and a file that says more is not believed."""
THRESHOLDS = (0.02, *(step / 20 for step in range(1, 20)), 0.98, 0.99, 0.995, 0.999)


def rule_flops(rule: HaltingRule, answers: int, classes: int) -> float:
    """Return the arithmetic of a rule at one exit that it decides about, as `halting.score` and a comparison do it.

    The terms are per class of each position (a softmax is 5), per position, and per example.
    """
    per_class, per_position, per_example = {
        "last": (0, 0, 0),
        "quantile": (0, 0, 4),  # negate, log-sigmoid, subtract, compare
        "sample": (0, 0, 4),
        "accumulated": (0, 0, 3),  # sigmoid, add, compare
        "prediction": (0, 0, 1),
        "confidence": (6, 1, 1),  # softmax, largest; least over positions; compare
        "entropy": (8, 1, 1),  # log-softmax, exp, product, sum
        "margin": (5 + ceil(log2(classes)), 2, 1),  # softmax, the two largest; gap
        "patience": (1, 2, 3),  # argmax; equal, all; add, reset, compare
        "stability": (8, 1, 2),  # softmax, difference, absolute, sum; largest; negate, compare
    }[rule.kind]
    return float(per_class * answers * classes + per_position * answers + per_example)


SAMPLE_FLOPS = 1.0
"""Drawing the level at which an example halts, once."""


def cumulative_flops(prices: Prices, rule: HaltingRule) -> tuple[float, ...]:
    """Return flops_N: what a program has spent per example when it answers at exit n under `rule`.

    At exit N nothing is left to decide: the halting unit is not read there, nor the arithmetic of a rule spent. The
    answer always is.
    """
    totals = []
    spent = prices.start
    last = len(prices.step_N)
    arithmetic = rule_flops(rule, prices.answers, prices.classes)
    if last > 1:
        spent += prices.predict if rule.reads == "prediction" else 0.0
        spent += SAMPLE_FLOPS if rule.kind == "sample" else 0.0
    for index in range(last):
        spent += prices.step_N[index]
        decides = index + 1 < last
        if rule.reads in ("halt", "prediction") and decides:
            spent += arithmetic + (prices.halt_N[index] if rule.reads == "halt" else 0.0)
        answered = spent + prices.answer_N[index]
        if rule.reads == "answer":
            answered += arithmetic if decides else 0.0
            spent = answered
        totals.append(answered)
    return tuple(totals)


def largest_gap(flops_N: Sequence[float]) -> float:
    """Return the largest factor between a cumulative cost and the next: how far a budget must jump at the most.

    Early exits make smaller jumps than a choice among networks does; 1 where there is one cost only.
    """
    return max((after / before for before, after in pairwise(flops_N)), default=1.0)
