"""The space of a search by proposals: from a proposer's numbers to a configuration with a budget, and back.

A proposal is a point: `cap` (where its most FLOPs lie between the cheapest and the dearest program, on a logarithmic
scale), a share for every axis but the last, and the fields that the space lists. Its program is priced before anything
trains. Pure arithmetic: who chooses the points is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Any, NamedTuple

from pydantic import ValidationError

from sp_search import assembly
from sp_search.assembly import Parts, parts_of
from sp_search.pricing import cumulative_flops
from sp_search.records import Budget, BudgetKind, LevelReport
from sp_search.sections import Dimension, SearchSettings
from sp_search.shares import Price, Range, Ranges, from_share_of_log, grown, share_of_log, shared_axes, shares_of
from sp_search.tasks.base import Shape

CAP = "cap"
SHARE = "share."
PRIOR = "prior."
MOST_CORNERS = 4096
"""Combinations of choices and bounds that are priced to know the cheapest and the dearest program."""

Point = dict[str, Any]


class Proposal(NamedTuple):
    """A configuration with the budget that realises it; `flops` is the most that its program spends per example."""

    config: dict[str, Any]
    budget: Budget
    flops: float


class Corner(NamedTuple):
    """A program at a corner of the space and its price."""

    fields: Point
    flops: float


class Came(NamedTuple):
    """What came of a proposal: what its program computes, and by how much it misses the milestone (0: it passed)."""

    compute: float
    shortfall: float


@dataclass(frozen=True)
class ProposalSpace:
    """Every configuration that a search may propose, and its price.

    Attributes:
        base: the study's model and prior.
        shape: of the task.
        kind: of the budget. A program under a mean budget is built with every exit that the space has, and its cap
            is shared with the exits that it may use on average.
        axes: values of the model's axes.
        fields: the fields that are chosen, by their name in the study.
    """

    base: Parts
    shape: Shape
    kind: BudgetKind
    axes: Ranges
    fields: dict[str, Dimension]

    @classmethod
    def of(cls, search: SearchSettings, base: Parts, shape: Shape, kind: BudgetKind) -> ProposalSpace:
        """Return the space of a study's section `search`, which has been found valid for these parts."""
        names = [name for name in search.space if name in base.model.axes()]
        axes = {name: Range(int(search.space[name].low or 1), int(search.space[name].high or 1)) for name in names}
        fields = {name: dimension for name, dimension in search.space.items() if name not in axes}
        return cls(base, shape, kind, axes, fields)

    @property
    def shares(self) -> list[str]:
        """The names of the shares in a point."""
        return [SHARE + name for name in shared_axes(self.axes)]

    @cached_property
    def cheapest(self) -> Corner:
        """The program that costs least: no smaller cap holds any."""
        return min(self._corners(largest=False), key=lambda corner: corner.flops)

    @cached_property
    def dearest(self) -> float:
        """What the program costs that costs most."""
        return max(corner.flops for corner in self._corners(largest=True))

    def corners(self) -> int:
        """Return how many combinations of choices and bounds there are."""
        return prod(len(dimension.ends()) for dimension in self.fields.values())

    def buildable(self) -> bool:
        """Whether any combination of choices and bounds can be built for the task."""
        return next(self._corners(largest=False), None) is not None

    def counts(self, name: str) -> bool:
        """Whether a field takes whole numbers alone."""
        part = self.base.prior if name.startswith(PRIOR) else self.base.model
        return type(part).model_fields[name.removeprefix(PRIOR)].annotation is int

    def realise(self, point: Point, cap: float) -> Proposal | None:
        """Return the proposal at a point, of at most `cap` FLOPs; None where its fields leave none, or do not fit."""
        config = config_of({name: point[name] for name in self.fields})
        parts = self._parts(config)
        if parts is None:
            return None
        wanted = min(cap, from_share_of_log(point[CAP], self.cheapest.flops, self.dearest))
        values = grown(self.axes, [point[name] for name in self.shares], self._needs_of(parts), wanted * (1 + 1e-12))
        return None if values is None else self._proposal(config, parts, values, wanted)

    def at(self, config: dict[str, Any], axis: dict[str, int], cap: float) -> Proposal | None:
        """Return the proposal of a configuration with the values of its axes, as if it had been made at `cap`."""
        parts = self._parts(config)
        return None if parts is None else self._proposal(config, parts, axis, cap)

    def _proposal(self, config: dict[str, Any], parts: Parts, values: dict[str, int], cap: float) -> Proposal:
        axis = self._built(values)
        flops = max(flops_of(parts, self.shape, axis))
        own = flops if self.kind == "max" else cap
        return Proposal(config, Budget(kind=self.kind, measure="flops", cap=own, axis=axis), flops)

    def point_of(self, proposal: Proposal) -> Point:
        """Return a point at which `realise` gives the proposal's program."""
        named = {PRIOR + name: value for name, value in proposal.config.get("prior", {}).items()} | proposal.config
        needs, values = self._needs_of(parts_of(*self.base, proposal.config)), dict(proposal.budget.axis)
        if self.kind == "mean":
            exits = self.base.model.exits_axis()
            low, high = self.axes[exits]
            keeping = [one for one in range(low, high + 1) if needs(values | {exits: one}) <= proposal.budget.cap]
            values[exits] = max(keeping, default=low)
        point: Point = {CAP: share_of_log(needs(values), self.cheapest.flops, self.dearest)}
        point |= dict(zip(self.shares, shares_of(self.axes, values), strict=True))
        return point | {name: named[name] for name in self.fields}

    def share_of(self, cap: float) -> float:
        """Return the coordinate `cap` of a price."""
        return share_of_log(cap, self.cheapest.flops, self.dearest)

    def largest(self, cap: float, cost: Callable[[Parts, dict[str, int]], float]) -> float | None:
        """Return the largest `cost` of any program within `cap`, or None where there are too many to look at.

        The cost rises with every axis, so only programs that cannot grow along the last axis are looked at.
        """
        *others, last = self.axes
        ranges = [range(self.axes[name].low, self.axes[name].high + 1) for name in others]
        if self.corners() * prod(map(len, ranges)) > MOST_CORNERS:
            return None
        found = 0.0
        for fields in self._combinations():
            parts = self._parts(config_of(fields))
            if parts is None:
                continue
            for values in product(*ranges):
                held = {name: Range(value, value) for name, value in zip(others, values, strict=True)}
                reached = grown({**held, last: self.axes[last]}, [], self._needs_of(parts), cap)
                found = found if reached is None else max(found, cost(parts, self._built(reached)))
        return found

    def furthest(self, cap: float) -> list[dict[str, int]]:
        """Return, for every axis, the program that goes as far along it alone as `cap` allows, in the base's fields."""
        least, needs = {name: Range(axis.low, axis.low) for name, axis in self.axes.items()}, self._needs_of(self.base)
        reached = (grown({**least, name: axis}, [], needs, cap) for name, axis in self.axes.items())
        return [self._built(values) for values in reached if values is not None]

    def _built(self, values: dict[str, int]) -> dict[str, int]:
        """Return what is built for these values: under a mean budget every exit that there is."""
        exits = self.base.model.exits_axis()
        return values | {exits: self.axes[exits].high} if self.kind == "mean" else values

    def _needs_of(self, parts: Parts) -> Price:
        """Return the function that prices the axes' values: answering at the exit that they name."""
        exits = self.base.model.exits_axis()
        return lambda values: max(flops_of(parts, self.shape, self._built(values))[: values[exits]])

    def _parts(self, config: dict[str, Any]) -> Parts | None:
        """Return the parts of a configuration, or None where its fields do not go together."""
        try:
            parts = parts_of(*self.base, config)
        except ValidationError:
            return None
        unfit = parts.model.refuses(self.shape) or parts.prior.refuses(self.kind)
        return None if unfit else parts

    def _combinations(self) -> Iterator[Point]:
        for values in product(*(dimension.ends() for dimension in self.fields.values())):
            yield dict(zip(self.fields, values, strict=True))

    def _corners(self, *, largest: bool) -> Iterator[Corner]:
        """Yield every combination of fields that can be built, at the least or the largest values of the axes."""
        values = {name: axis.high if largest else axis.low for name, axis in self.axes.items()}
        for fields in self._combinations():
            parts = self._parts(config_of(fields))
            if parts is not None:
                yield Corner(fields, self._needs_of(parts)(values))


def config_of(fields: Point) -> dict[str, Any]:
    """Return a member's configuration: fields of the model, and under `prior` those of the prior."""
    config = {name: value for name, value in fields.items() if not name.startswith(PRIOR)}
    own = {name.removeprefix(PRIOR): value for name, value in fields.items() if name.startswith(PRIOR)}
    return config | ({"prior": own} if own else {})


def flops_of(parts: Parts, shape: Shape, axis: dict[str, int]) -> tuple[float, ...]:
    """Return flops_N of a program with these values of its axes, before it is built."""
    own = parts._replace(model=parts.model.at(axis))
    prices = assembly.prices(*own, shape, axis[own.model.exits_axis()])
    return cumulative_flops(prices, own.prior.rule())


def came_of(report: LevelReport, budget: Budget, milestone: float) -> Came | None:
    """Return what a report says of its proposal, or None where no lineage of it could be judged.

    One verified lineage is enough. A lineage whose accuracy was never measured misses the whole milestone.
    """
    tried = [lineage for lineage in report.lineages if lineage.tried]
    if not tried:
        return None
    if any(lineage.passed for lineage in tried):
        known = [lineage.shortfall for lineage in tried if lineage.passed and lineage.shortfall is not None]
        return Came(report.cheapest_pass or budget.cap, min([0.0, *known]))
    missed = min(milestone if lineage.shortfall is None else lineage.shortfall for lineage in tried)
    means = [lineage.mean_compute.value for lineage in tried if lineage.mean_compute is not None]
    spent = min(means, default=budget.cap) if budget.kind == "mean" else budget.cap
    return Came(spent, max(missed, 1e-6))  # what passed its gates and not its cap or its checks is no success either
