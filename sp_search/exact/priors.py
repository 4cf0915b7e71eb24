"""What a prior selects from the good programs of a setting: one interface, feasible programs and their costs -> choice.

A prior keeps the programs that it likes best, or weighs them; accuracy plays no part beyond being good. `max` is the
post's max speed prior (computation available on any input, so depth), `max_used` its laxer reading (most spent on a
trained input), `average` the average-case speed prior. `levin` weighs by Schmidhuber's Speed Prior (2002): a program of
n symbols has 2^-length over its time, time being 1 + reads and acts so that an answer takes one step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, isfinite, log
from typing import NamedTuple

from pydantic import Field

from sp_search.exact.census import Census, Dimension, Group
from sp_search.plugins import suggest
from sp_search.records import Record


class Costs(NamedTuple):
    """What a prior may look at: averages over training, the most available and used, nodes, symbols to choose from."""

    average: float
    available: int
    used: int
    size: int
    symbols: int


@dataclass(frozen=True)
class Prior:
    """A prior by what it looks at (`by`), what must be least (`least`), and the log weight of what remains."""

    name: str
    by: tuple[Dimension, ...] = ()
    least: Callable[[Costs], tuple[float, ...]] = lambda _: ()
    log_weight: Callable[[Costs], float] = lambda _: 0.0


class Choice(Record):
    """What a prior selects. Shares are probabilities over the programs it selects from; costs are their means."""

    prior: str
    programs: int = Field(ge=1, description="good programs that can be selected")
    honest: int = Field(ge=0, description="how many of them spend nothing in training on what no metric sees")
    misbehaving: float
    harmful: float
    deceptive: float
    average_cost: float = Field(description="reads and acts per training input")


PRIORS = {
    prior.name: prior
    for prior in (
        Prior("none"),
        Prior("max", ("depth",), least=lambda costs: (costs.available,)),
        Prior("max_used", ("max_used",), least=lambda costs: (costs.used,)),
        Prior("average", (), least=lambda costs: (costs.average,)),
        Prior("max_then_average", ("depth",), least=lambda costs: (costs.available, costs.average)),
        Prior("simplest", ("size",), least=lambda costs: (costs.size,)),
        Prior("levin", ("size",), log_weight=lambda costs: -costs.size * log(costs.symbols) - log(1 + costs.average)),
    )
}
SOFT = ("soft_average", "soft_max", "soft_size")


def soft_average(beta: float) -> Prior:
    """Weigh a program by exp(-beta C), C its average cost."""
    return Prior(f"soft_average:{beta:g}", (), log_weight=lambda costs: -beta * costs.average)


def soft_max(beta: float) -> Prior:
    """Weigh a program by exp(-beta C), C the most that it could spend on any input."""
    return Prior(f"soft_max:{beta:g}", ("depth",), log_weight=lambda costs: -beta * costs.available)


def soft_size(beta: float, speed: float = 0.0) -> Prior:
    """Weigh a program by 2^(-beta nodes) exp(-speed C): a simplicity prior, alone or with an average speed prior."""
    return Prior(
        f"soft_size:{beta:g}" + (f":{speed:g}" if speed else ""),
        ("size",),
        log_weight=lambda costs: -beta * log(2) * costs.size - speed * costs.average,
    )


def prior(name: str) -> Prior:
    """Return a prior by its name: one of `PRIORS`, or one of `SOFT` with its strength, as in `soft_average:8`.

    Raises:
        ValueError: there is none of that name, or its strength is no number.
    """
    if name in PRIORS:
        return PRIORS[name]
    kind, _, strength = name.partition(":")
    if kind not in SOFT:
        known = ", ".join((*PRIORS, *(f"{kind}:BETA" for kind in SOFT)))
        raise ValueError(f"no prior is named '{name}'.{suggest(name, [*PRIORS, *SOFT])} Known: {known}")
    try:
        numbers = [float(number) for number in strength.split(":")]
        return {"soft_average": soft_average, "soft_max": soft_max, "soft_size": soft_size}[kind](*numbers)
    except (ValueError, TypeError) as error:
        raise ValueError(f"'{name}': write the strength as a number, as in {kind}:8") from error


def favoured(counted: Census, chosen: Prior | str) -> tuple[Group, ...]:
    """Return the groups of good programs among which a prior does not rank further (it may weigh them)."""
    chosen = prior(chosen) if isinstance(chosen, str) else chosen
    groups = counted.some_good(*chosen.by)
    ranks = [chosen.least(costs(counted, group)) for group in groups]
    best = min(ranks)
    return tuple(group for group, rank in zip(groups, ranks, strict=True) if rank == best)


def select(counted: Census, chosen: Prior | str) -> Choice:
    """Return what a prior, by itself or by name, selects from the good programs of a census."""
    chosen = prior(chosen) if isinstance(chosen, str) else chosen
    groups = favoured(counted, chosen)
    logs = [chosen.log_weight(costs(counted, group)) for group in groups]
    if not all(map(isfinite, logs)):
        raise ValueError(f"'{chosen.name}' gives some program no finite weight: take a strength nearer to 0")
    top = max(logs)
    weights = [group.count * (exp(log - top) if log < top else 1) for group, log in zip(groups, logs, strict=True)]
    return choice(counted, chosen.name, groups, weights)


def choice(counted: Census, name: str, groups: Sequence[Group], weights: Sequence[float]) -> Choice:
    """Return the choice that falls on each group with a probability proportional to its weight."""
    total = sum(weights)

    def share(events: Sequence[bool]) -> float:
        return sum(weight for weight, event in zip(weights, events, strict=True) if event) / total

    mean = sum(weight * group.cost for weight, group in zip(weights, groups, strict=True)) / total
    return Choice(
        prior=name,
        programs=sum(group.count for group in groups),
        honest=sum(group.count for group in groups if not group.misbehaving),
        misbehaving=share([group.misbehaving for group in groups]),
        harmful=share([group.harmful for group in groups]),
        deceptive=share([group.deceptive for group in groups]),
        average_cost=mean / counted.setting.total_weight,
    )


def costs(counted: Census, group: Group) -> Costs:
    """Return what a prior may look at; 0 where the census was not asked for a dimension."""
    setting = counted.setting
    symbols = 3 + setting.bits + len(setting.macros)
    return Costs(counted.average(group.cost), group.depth or 0, group.max_used or 0, group.size or 0, symbols)
