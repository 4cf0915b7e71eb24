"""The worlds of the comparison: what a configuration computes, what training it costs, whether its lineages pass.

*Thresholds*: a configuration is one budget, and a budget is one level of an oracle. *Rare programs*: a configuration is
one choice of everything, of which few are good. Both know their truth, C*, which no method is told.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any, Protocol

import numpy as np

from benchmarks.seeds import RESULTS
from sp_search.drive.simulated import CONFIDENCE, VERIFIED_ON
from sp_search.oracles.base import InheritingOracle, MeasuredOracle, SpaceOracle
from sp_search.records import Count
from sp_search.selection import accuracy_low, alpha_of_look

Config = dict[str, Any]
RATE = 0.5
"""A budget is enough when at least this share of its lineages pass (the studies' `verdict.min_pass_rate`)."""
REPLICATES = 12
"""A multiple of how often any configuration of a table was trained (2, 3 or 4 times)."""
LEAST_SHORTFALL = 1e-6
"""Of what does not pass."""


class World(Protocol):
    """What every method searches. `least` is C*, `purse` what a search may spend; prices are in the oracle's units."""

    name: str
    monotone: bool

    @property
    def least(self) -> float: ...
    @property
    def purse(self) -> float: ...
    @property
    def price_of_least(self) -> float: ...
    @property
    def prices(self) -> tuple[float, float]:
        """Return the least and the largest price of a lineage."""
        ...

    @property
    def choices(self) -> dict[str, list[Any]]:
        """Return the choices by name, or nothing where a configuration is one budget out of `bounds`."""
        ...

    @property
    def bounds(self) -> tuple[float, float]: ...

    def draw(self, rng: random.Random, below: float) -> Config:
        """Return a random configuration that computes less than `below`, or the cheapest where none does."""
        ...

    def compute(self, config: Config) -> float: ...

    @property
    def lowest(self) -> float:
        """Return the least compute at which any lineage at all passes: who claims it has nothing left to find."""
        ...

    def price(self, config: Config, seed: int, previous: float | None = None) -> float:
        """Return what training that lineage costs, from scratch or from what it computed before."""
        ...

    def shortfall(self, config: Config, seed: int, look: int = 1) -> float:
        """Return by how much a lineage is seen to miss at a search's look-th test, at most 1; 0 is verified."""
        ...

    def passes(self, config: Config, seed: int) -> bool:
        """Return the truth about one lineage."""
        ...

    def rate(self, config: Config) -> float:
        """Return the truth about a configuration: the share of all its lineages that pass."""
        ...


@dataclass
class Budgets:
    """A threshold world: any oracle over levels. What no oracle says a failure tells nothing: its shortfall is 1."""

    name: str
    oracle: Any
    monotone: bool = True
    stretch: float = 100.0
    _enough: dict[int, int] = field(default_factory=dict, repr=False)

    @cached_property
    def least(self) -> float:
        found = self.oracle.least()
        assert found is not None, f"{self.name} has no budget that passes"
        return float(found)

    @property
    def price_of_least(self) -> float:
        return float(self.oracle.cost(self.least))

    @cached_property
    def lowest(self) -> float:
        return float(self.oracle.least(rate=1e-9))

    @property
    def purse(self) -> float:
        return self.stretch * self.price_of_least

    @property
    def prices(self) -> tuple[float, float]:
        return self.oracle.cost(self.oracle.levels[0]), self.oracle.cost(self.oracle.levels[-1])

    @property
    def choices(self) -> dict[str, list[Any]]:
        return {}

    @property
    def bounds(self) -> tuple[float, float]:
        return self.oracle.levels[0], self.oracle.levels[-1]

    def draw(self, rng: random.Random, below: float) -> Config:
        low, high = self.bounds
        return {"budget": low * (max(min(high, below), low) / low) ** rng.random()}

    def compute(self, config: Config) -> float:
        """Return the largest level within the budget."""
        levels = self.oracle.levels
        return float(levels[max(bisect_right(levels, config["budget"] * (1 + 1e-9)) - 1, 0)])

    def price(self, config: Config, seed: int, previous: float | None = None) -> float:
        level = self.compute(config)
        if previous is None or not isinstance(self.oracle, InheritingOracle):
            return float(self.oracle.cost(level))
        return float(self.oracle.cost_inherited(level, previous, seed))

    def shortfall(self, config: Config, seed: int, look: int = 1) -> float:
        """Ask the oracle; where programs have an accuracy, a sample has to show it, as it has to in sp_search."""
        level = self.compute(config)
        if isinstance(self.oracle, MeasuredOracle):
            rng = np.random.default_rng([seed, int.from_bytes(repr(level).encode()[-6:], "big")])
            right = int(rng.binomial(VERIFIED_ON, self.oracle.accuracy(level, seed)))
            return (
                0.0 if right >= self._enough_right(look) else max(self.milestone - right / VERIFIED_ON, LEAST_SHORTFALL)
            )
        if self.oracle.passes(level, seed):
            return 0.0
        graded = getattr(self.oracle, "shortfall", None)
        return 1.0 if graded is None else max(graded(level, seed), LEAST_SHORTFALL)

    def _enough_right(self, look: int) -> int:
        """Return the fewest right answers whose lower bound is at the milestone, at the error that a look may spend."""
        if look not in self._enough:
            low, high, alpha = 0, VERIFIED_ON, alpha_of_look(CONFIDENCE, look)
            while high - low > 1:
                middle = (low + high) // 2
                shown = accuracy_low(Count(correct=middle, n=VERIFIED_ON), alpha) >= self.milestone
                low, high = (low, middle) if shown else (middle, high)
            self._enough[look] = high
        return self._enough[look]

    @property
    def milestone(self) -> float:
        """Return the accuracy that is asked for; 1 where lineages just pass or fail."""
        return float(self.oracle.milestone) if isinstance(self.oracle, MeasuredOracle) else 1.0

    def passes(self, config: Config, seed: int) -> bool:
        return bool(self.oracle.passes(self.compute(config), seed))

    def rate(self, config: Config) -> float:
        return float(self.oracle.pass_rate(self.compute(config)))


@dataclass
class Rare:
    """A rare-program world: a table of configurations, few of which pass. A configuration is good or it is not."""

    name: str
    oracle: Any
    evaluations: int = 1000
    monotone: bool = False

    def __post_init__(self) -> None:
        assert isinstance(self.oracle, SpaceOracle)

    @cached_property
    def least(self) -> float:
        return float(self.oracle.least())

    @cached_property
    def lowest(self) -> float:
        computes, configs = self._sorted
        return next(
            compute
            for compute, config in zip(computes, configs, strict=True)
            if any(self.passes(config, replicate) for replicate in range(REPLICATES))
        )

    @cached_property
    def _sorted(self) -> tuple[list[float], list[Config]]:
        """Return every configuration, and what it computes, the cheapest first."""
        every = [dict(zip(self.choices, values, strict=True)) for values in product(*self.choices.values())]
        ranked = sorted(((self.compute(config), place) for place, config in enumerate(every)))
        return [compute for compute, _ in ranked], [every[place] for _, place in ranked]

    @cached_property
    def _sample(self) -> list[tuple[float, float]]:
        """Return (compute, price) of configurations drawn evenly."""
        rng = random.Random(0)  # noqa: S311
        drawn = [{name: rng.choice(values) for name, values in self.choices.items()} for _ in range(2000)]
        return [(self.oracle.compute(config), self.oracle.price(config)) for config in drawn]

    @cached_property
    def price_of_least(self) -> float:
        """Return the mean price of a configuration: one evaluation."""
        return sum(price for _, price in self._sample) / len(self._sample)

    @property
    def purse(self) -> float:
        return self.evaluations * self.price_of_least

    @property
    def prices(self) -> tuple[float, float]:
        found = [price for _, price in self._sample]
        return min(found), max(found)

    @property
    def choices(self) -> dict[str, list[Any]]:
        return dict(self.oracle.space)

    @property
    def bounds(self) -> tuple[float, float]:
        found = [compute for compute, _ in self._sample]
        return min(found), max(found)

    def draw(self, rng: random.Random, below: float) -> Config:
        """Return any configuration that computes less, each with the same chance, or the cheapest where none does."""
        computes, configs = self._sorted
        return dict(configs[rng.randrange(max(bisect_left(computes, below), 1))])

    def compute(self, config: Config) -> float:
        return float(self.oracle.compute(config))

    def price(self, config: Config, seed: int, previous: float | None = None) -> float:
        return float(self.oracle.price(config))

    def shortfall(self, config: Config, seed: int, look: int = 1) -> float:
        """Return what is missing as a share of the threshold."""
        threshold = self.oracle.threshold
        return float(min(max((threshold - self.oracle.score(config, seed)) / abs(threshold), 0.0), 1.0))

    def passes(self, config: Config, seed: int) -> bool:
        """Return the truth about a lineage, also about one that a budget alone drew from the table."""
        if "budget" in config:
            return bool(self.oracle.passes(config["budget"], seed))
        return bool(self.oracle.score(config, seed) >= self.oracle.threshold)

    def rate(self, config: Config) -> float:
        """Return 1 where the configuration's mean score over its replicates passes, which is how C* is defined."""
        if "budget" in config:
            return float(self.oracle.pass_rate(config["budget"]))
        scores = [self.oracle.score(config, replicate) for replicate in range(REPLICATES)]
        return float(sum(scores) / len(scores) >= self.oracle.threshold)


@dataclass
class TrainedTable:
    """The real training task: digits by perceptrons of 57 widths, thirty lineages each (`training_table.py`)."""

    milestone: float

    @cached_property
    def _rows(self) -> dict[float, dict[str, Any]]:
        kept = json.loads((RESULTS / "search_training_table.json").read_text(encoding="utf-8"))
        return {row["flops"]: row for row in kept["levels"]}

    @cached_property
    def levels(self) -> list[float]:
        return list(self._rows)

    def cost(self, budget: float) -> float:
        return float(self._rows[budget]["training_flops"])

    def reached(self, budget: float, seed: int) -> float:
        """Return the accuracy of the lineage that the seed picks for this level; the table is the truth."""
        found = self._rows[budget]["accuracy"]
        key = hashlib.sha256(f"{seed}/{budget}".encode()).digest()
        return float(found[int.from_bytes(key[:4], "big") % len(found)])

    def passes(self, budget: float, seed: int) -> bool:
        return self.reached(budget, seed) >= self.milestone

    def shortfall(self, budget: float, seed: int) -> float:
        return self.milestone - self.reached(budget, seed)

    def pass_rate(self, budget: float) -> float:
        found = self._rows[budget]["accuracy"]
        return sum(one >= self.milestone for one in found) / len(found)

    def least(self, rate: float = RATE) -> float | None:
        return next((level for level in self.levels if self.pass_rate(level) >= rate), None)


def geometric(low: float, high: float, ratio: float) -> list[float]:
    """Return levels from low to high, each `ratio` times the one before."""
    count = round(math.log(high / low) / math.log(ratio))
    return [low * (high / low) ** (index / count) for index in range(count + 1)]
