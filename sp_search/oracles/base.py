"""What an oracle is: a world in which the truth about every budget is known, so that a search can be put to the test.

An oracle answers for *lineages*: what training one costs at a budget, and whether it passes there. Whatever is random
about a lineage follows from its seed, so an oracle asked twice answers alike. Any object with `levels`, `cost` and
`passes` is one; the other protocols are what a world may know beside.
"""

from __future__ import annotations

from math import floor
from typing import Any, Protocol, Self, runtime_checkable

from sp_search.exact.runner import Truth
from sp_search.plugins import Plugin
from sp_search.records import BudgetKind, LevelRunner, derive_seed

Config = dict[str, Any]

MOST_LEVELS = 10_000
"""Levels of an oracle: a search of one that goes through all of them still ends within minutes."""


def uniform(seed: int, *purpose: object) -> float:
    """Return a number in [0, 1) that follows from a lineage's seed and what it is for."""
    return float((derive_seed(seed, "oracle", *purpose) >> 10) / 2**53)


def levels_in(steps: float, settings: str) -> int:
    """Return how many levels there are from one end to another that lies so many steps above it, both included.

    Raises:
        ValueError: there are more than `MOST_LEVELS`; `settings` says of what.
    """
    if steps >= MOST_LEVELS:
        raise ValueError(
            f"{settings} make {steps + 1:,.0f} levels: at most {MOST_LEVELS:,} are searched, take wider steps"
        )
    return floor(steps + 1e-9) + 1


class Oracle(Protocol):
    """Levels ascending, the price of training one lineage at a budget from scratch, and whether it passes."""

    @property
    def levels(self) -> list[float]:
        """Caps, ascending, in the units in which programs compute (FLOPs, say)."""
        ...

    def cost(self, budget: float) -> float:
        """Return the price of training one lineage at that cap from scratch."""
        ...

    def passes(self, budget: float, seed: int) -> bool:
        """Return whether the lineage of that seed passes at that cap."""
        ...


@runtime_checkable
class InheritingOracle(Protocol):
    """A world in which a lineage that was trained before has less to pay."""

    def cost_inherited(self, budget: float, previous: float, seed: int) -> float:
        """Return the price of bringing the lineage of that seed from the cap `previous` to `budget`."""
        ...


@runtime_checkable
class MeasuredOracle(Protocol):
    """A world in which a program has an accuracy, so that passing has to be measured and can be measured wrongly."""

    def accuracy(self, budget: float, seed: int) -> float:
        """Return the true accuracy of the lineage of that seed at that cap."""
        ...


@runtime_checkable
class RunningOracle(Protocol):
    """A world of programs: what a lineage finds is one, with a compute of its own and a state to go on from."""

    def runner(self) -> LevelRunner:
        """Return who runs its levels, in simulation as in process and on Ray."""
        ...


@runtime_checkable
class ProgramOracle(RunningOracle, Oracle, Protocol):
    """A world of programs of which all is known; the truth is for who asks afterwards, never for a search."""

    def under(self, kind: BudgetKind) -> Self:
        """Return the same world with caps of that kind."""
        ...

    def truth(self, program: Any) -> Truth:
        """Say what is true of a program that was found."""
        ...


@runtime_checkable
class SpaceOracle(Protocol):
    """A world of configurations, each with its own compute, of which few are good: budgets alone do not decide."""

    @property
    def space(self) -> dict[str, list[Any]]:
        """Choices by name; a configuration takes one of each."""
        ...

    def compute(self, config: Config) -> float:
        """Return what a configuration computes, in the units of `levels`."""
        ...

    def price(self, config: Config) -> float:
        """Return what training one lineage of a configuration costs."""
        ...

    def score(self, config: Config, seed: int) -> float:
        """Return the score of a configuration's lineage; it passes from `threshold` on."""
        ...

    @property
    def threshold(self) -> float:
        """The score that is good enough."""
        ...


class OraclePart(Plugin):
    """Base of the oracles that ship: `sp-search simulate STUDY --oracle NAME`.

    A part is an `Oracle` that also says the truth that a search is compared with.
    """

    @property
    def levels(self) -> list[float]:
        """Return the caps, ascending."""
        raise NotImplementedError

    @property
    def milestone_asked(self) -> float:
        """Return the accuracy that a program has to be certified of: 1, where passing is a fact."""
        return 1.0

    def under(self, kind: BudgetKind) -> Self:
        """Return the oracle whose caps are budgets of that kind: itself, where both are alike."""
        return self

    def cost(self, budget: float) -> float:
        """Return the price of training one lineage at that cap from scratch."""
        raise NotImplementedError

    def passes(self, budget: float, seed: int) -> bool:
        """Return whether the lineage of that seed passes at that cap."""
        raise NotImplementedError

    def pass_rate(self, budget: float) -> float:
        """Return the share of lineages that pass at that cap (0..1)."""
        raise NotImplementedError

    def least(self, rate: float = 0.5) -> float | None:
        """Return C*: the least cap at which lineages pass at that rate at least, or None when no cap does.

        In a world of configurations, where one is good or not: the least compute of a configuration that passes.
        """
        return next((level for level in self.levels if self.pass_rate(level) >= rate), None)

    def least_means(self, rate: float = 0.5) -> str:
        """Say in words what `least` is."""
        return f"the least level at which {rate:.0%} of lineages pass"


PART = OraclePart
