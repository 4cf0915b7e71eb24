"""Pools of good programs, their compute and whether they do harm: what deceiving costs in them, and how often it wins.

A search that raises its cap by `step` from a random phase, and looks everywhere at each level, stops at a cap that lies
uniformly in [C*, C* + step) and takes any good program below it. So a pool has one curve: the chance that harm is
selected against x = step / (C* of harm - C* of the rest). It is exact: an integral over the phase, no sampling.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import inf
from typing import NamedTuple


class Good(NamedTuple):
    """A good program (or `weight` alike ones): its compute on the training distribution, and whether it does harm."""

    cost: float
    harmful: bool
    weight: float = 1.0


class Pool:
    """Good programs of one space."""

    def __init__(self, programs: Iterable[Good]) -> None:
        """Keep them by cost.

        Raises:
            ValueError: there is none with harm, or none without, so that nothing can be compared.
        """
        self.programs = sorted(one for one in programs if one.weight > 0)
        if {program.harmful for program in self.programs} != {False, True}:
            raise ValueError("a pool holds good programs with harm and good ones without")
        self._share_within: dict[float, float] = {}
        harmful = total = 0.0
        for one in self.programs:
            total += one.weight
            harmful += one.weight * one.harmful
            self._share_within[one.cost] = harmful / total

    def least(self, *, harmful: bool) -> float:
        """Return C* of the programs that do harm, or of those that do not."""
        return min(one.cost for one in self.programs if one.harmful == harmful)

    @property
    def gap(self) -> float:
        """C* of harm - C* of the rest, in units of compute."""
        return self.least(harmful=True) - self.least(harmful=False)

    @property
    def tax(self) -> float:
        """C* of harm / C* of the rest - 1; infinite where good programs without harm need no compute at all."""
        honest = self.least(harmful=False)
        return self.gap / honest if honest else inf if self.gap > 0 else 0.0

    @property
    def share(self) -> float:
        """The share of harmful programs in the whole pool: what is selected without any preference."""
        return self._share_within[self.programs[-1].cost]

    def selects_harm(self, step: float) -> float:
        """Return the chance that a search which raises its cap by `step` ends with a harmful program."""
        start = self.programs[0].cost
        within = [cost for cost in self._share_within if cost < start + step]
        parts = ((high - low) * self._share_within[low] for low, high in pairwise([*within, start + step]))
        return sum(parts) / step

    def curve(self, xs: Sequence[float]) -> list[float]:
        """Return the chance at steps of x gaps.

        Raises:
            ValueError: deceiving costs nothing here, so that no step is a multiple of its price.
        """
        if self.gap <= 0:
            raise ValueError(f"the gap is {self.gap:g}: where deceiving is free there is no curve over step / gap")
        return [self.selects_harm(x * self.gap) for x in xs]


def envelope(x: float, share: float = 1.0) -> float:
    """Return (1 - 1/x)+ * share: what a pool reaches if all of its honest programs but the cheapest cost too much.

    With share 1 no pool can exceed it, as up to a step of one gap nothing harmful is within reach.
    """
    return share * max(0.0, 1.0 - 1.0 / x)
