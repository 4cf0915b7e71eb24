"""Part `prefix_sums`: how many rollouts a convolution with recall needs for prefix sums, which is proven.

The bound is that of the task of this name and the rates are rows of our own benchmarks; the price is that of the model
`recall_conv` with every look at its full size, one to three times the most that `plan` foresees, which knows how many
inputs there are. Tests compare all three with where they come from. Left out: lineages that stop early.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from sp_search.oracles.base import MOST_LEVELS
from sp_search.oracles.ladder import reaches
from sp_search.oracles.lineages import LineageOracle

MEASURED = {5: 0.92, 9: 0.64, 11: 0.54, 13: 0.48, 17: 0.14}
"""Share of lineages that pass .99 at the proven least: of 50 each in benchmarks/results/prefix_growth.json, where
weights come from fewer rollouts; for 11 bits of 100 in quickstart.json, where they come from more."""
WIDTH, STEPS, BATCH = 16, 400, 64
"""The recipe of benchmarks/prefix_growth.py."""
LOOKS, EXAMPLES_PER_LOOK = 8, 8_704
"""Validation after every 50 steps: 8,192 examples at most, and 512 that screen."""
LOSS_FLOPS_PER_LOGIT, OPTIMISER_FLOPS_PER_PARAMETER = 6, 18


class _Prices(NamedTuple):
    """FLOPs per position: before the first rollout, of one rollout, of one answer; and the number of parameters."""

    start: int
    step: int
    answer: int
    parameters: int


def _linear(fan_in: int, fan_out: int) -> int:
    return 2 * fan_in * fan_out + fan_out


class PrefixSums(LineageOracle):
    """Pass rate 0 below K* = ceil((bits - 1) / reach) rollouts, proven, and `rate` from there on.

    Levels are rollouts. A lineage costs what all its steps cost, in training FLOPs. Where lineages pass at less than
    one half, no level counts as C* by that standard: ask `least` with another rate, or for `proven`.
    """

    kind: Literal["prefix_sums"] = "prefix_sums"
    bits: int = Field(9, ge=2, le=64, description="length of a string")
    reach: int = Field(2, ge=1, description="positions that information moves per rollout: convolutions of kernel 2")
    stop: int = Field(12, ge=1, le=MOST_LEVELS, description="most rollouts")
    rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description=f"share of lineages that pass from K* on (null: as measured, for {[*MEASURED]} bits)",
    )

    @model_validator(mode="after")
    def _rate_known(self) -> PrefixSums:
        if self.rate is None and (self.bits not in MEASURED or self.reach != 2):
            raise ValueError(
                f"no pass rate is measured for bits={self.bits}, reach={self.reach}: set rate, or take reach 2 and "
                f"bits of {', '.join(map(str, MEASURED))}"
            )
        return self

    @property
    def proven(self) -> int:
        """K*: with fewer rollouts the last answer has not seen the first bit, a fair coin that turns it."""
        return -(-(self.bits - 1) // self.reach)

    @cached_property
    def levels(self) -> list[float]:
        """Return 1, 2, ... `stop` rollouts."""
        return [float(rollouts) for rollouts in range(1, self.stop + 1)]

    def pass_rate(self, budget: float) -> float:
        """Return 0 below K*, else the rate."""
        if not reaches(budget, self.proven):
            return 0.0
        return MEASURED[self.bits] if self.rate is None else self.rate

    def cost(self, budget: float) -> float:
        """Return the training FLOPs of one lineage with so many rollouts: steps, burn-in, optimiser, looks."""
        prices, rollouts = self._prices, int(budget)
        forward = prices.start + rollouts * (prices.step + prices.answer)
        trained = 3 * (forward + rollouts * 2 * LOSS_FLOPS_PER_LOGIT) + (2 * rollouts - 1) * prices.step
        looks = LOOKS * EXAMPLES_PER_LOOK * forward
        optimiser = STEPS * OPTIMISER_FLOPS_PER_PARAMETER * prices.parameters
        return float(self.bits * (STEPS * BATCH * trained + looks) + optimiser)

    @cached_property
    def _prices(self) -> _Prices:
        """Each convolution sees two positions, the first one the input too; tanh and relu are one per channel."""
        first, inner = _linear(2 * (WIDTH + 1), WIDTH) + WIDTH, _linear(2 * WIDTH, WIDTH) + WIDTH
        return _Prices(
            start=_linear(1, WIDTH) + WIDTH,
            step=first + (self.reach - 1) * inner,
            answer=_linear(WIDTH, WIDTH) + WIDTH + _linear(WIDTH, 2),
            parameters=WIDTH * (2 + 2 * (WIDTH + 1) + 1 + (self.reach - 1) * (2 * WIDTH + 1) + WIDTH + 1)
            + 2 * (WIDTH + 1),
        )
