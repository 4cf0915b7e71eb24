"""The census of a setting: its programs in groups of one kind, each with its exact number.

A group is made of the programs with the same flags and total training cost, and the same depth, most used, size or
errors where a caller asks for these. Counted once, when first asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any, Literal, get_args

from sp_search.exact.counting import ALL_FLAGS, Recurrence, exactly
from sp_search.exact.programs import deceives, harms, misbehaves
from sp_search.exact.setting import Setting
from sp_search.plugins import suggest

Dimension = Literal["depth", "max_used", "size", "errors"]


@dataclass(frozen=True)
class Group:
    """`count` programs alike in flags and total training cost, and in the other dimensions that were asked for."""

    count: int
    flags: int
    cost: int
    depth: int | None = None
    max_used: int | None = None
    size: int | None = None
    errors: int | None = None

    @property
    def misbehaving(self) -> bool:
        """Whether these programs spend training computation on what no metric sees."""
        return misbehaves(self.flags)

    @property
    def harmful(self) -> bool:
        """Whether these programs do harm in deployment."""
        return harms(self.flags)

    @property
    def deceptive(self) -> bool:
        """Whether these programs look out for deployment and harm there."""
        return deceives(self.flags)


class Census:
    """What `census` returns."""

    def __init__(self, setting: Setting) -> None:
        """Count nothing yet."""
        self.setting = setting
        self._counted: dict[tuple[bool, frozenset[str]], tuple[Group, ...]] = {}

    def good(self, *by: Dimension) -> tuple[Group, ...]:
        """Return the good programs: with no error in training, or errors of weight `allowed_errors` at most."""
        allowed = self.setting.allowed_errors
        if not allowed:
            return self._groups(True, frozenset(by))
        kept = (group for group in self._groups(False, frozenset((*by, "errors"))) if (group.errors or 0) <= allowed)
        return merged(kept, by)

    def some_good(self, *by: Dimension) -> tuple[Group, ...]:
        """Return the good programs.

        Raises:
            ValueError: no program of the setting is good.
        """
        if not (groups := self.good(*by)):
            raise ValueError(f"no program of depth {self.setting.depth} is good: give the setting more depth")
        return groups

    def all(self, *by: Dimension) -> tuple[Group, ...]:
        """Return every program, good or not."""
        return self._groups(False, frozenset(by))

    def average(self, cost: int) -> float:
        """Return a total cost as the average over the training distribution."""
        return cost / self.setting.total_weight

    def _groups(self, good: bool, by: frozenset[str]) -> tuple[Group, ...]:
        if unknown := sorted(by - set(get_args(Dimension))):
            near = suggest(unknown[0], list(get_args(Dimension)))
            raise ValueError(f"no dimension '{unknown[0]}'.{near} Known: {', '.join(get_args(Dimension))}")
        if (good, by) not in self._counted:
            self._counted[good, by] = tuple(counted(self.setting, good, by))
        return self._counted[good, by]


def census(setting: Setting) -> Census:
    """Return the census of a setting; its tables are counted when they are asked for."""
    return Census(setting)


def merged(groups: Iterable[Group], by: Collection[Dimension]) -> tuple[Group, ...]:
    """Return the groups with the dimensions that are not in `by` summed over."""
    summed: dict[str, Any] = dict.fromkeys(set(get_args(Dimension)) - set(by))
    totals = Counter[Group]()
    for group in groups:
        totals[replace(group, count=0, **summed)] += group.count
    return tuple(replace(kind, count=count) for kind, count in totals.items())


@lru_cache(maxsize=8)
def recurrence(shape: Setting, good: bool, errors: bool, size: bool) -> Recurrence:
    """Return the recurrence of all settings of a shape (which differ in function alone), with what it has counted."""
    return Recurrence(shape, good=good, errors=errors, size=size)


def recurrence_of(setting: Setting, good: bool, *, errors: bool = False, size: bool = False) -> Recurrence:
    """Return the recurrence that counts for a setting, shared with the other functions of its shape."""
    shape = Setting.model_validate(setting.model_dump() | {"function": "zero", "allowed_errors": 0})
    return recurrence(shape, good, errors, size)


def counted(setting: Setting, good: bool, by: frozenset[str]) -> Iterator[Group]:
    """Yield the groups of a setting, each of one exact kind."""
    table = recurrence_of(setting, good, errors="errors" in by, size="size" in by)
    everywhere, top = (1 << len(setting.inputs)) - 1, setting.depth

    @cache
    def at_most(depth: int, max_used: int) -> list[int]:
        if min(depth, max_used) < 0:
            return [0] * (ALL_FLAGS + 1)
        return exactly(lambda flags: table.count(everywhere, setting.ones_mask, depth, max_used, flags))

    def differences(limits: list[tuple[int, int, int]], below: tuple[int, int]) -> list[tuple[int, int, int]]:
        return limits + [(-sign, depth - below[0], used - below[1]) for sign, depth, used in limits]

    for depth in range(top + 1) if "depth" in by else [None]:
        for max_used in range((top if depth is None else depth) + 1) if "max_used" in by else [None]:
            limits = [(1, top if depth is None else depth, top if max_used is None else max_used)]
            if depth is not None:
                limits = differences(limits, (1, 0))
            if max_used is not None:
                limits = differences(limits, (0, 1))
            tables = [(sign, at_most(*limit)) for sign, *limit in limits]
            for flags in range(ALL_FLAGS + 1):
                packed = sum(sign * counts[flags] for sign, counts in tables)
                for count, cost, errors, size in table.slots.unpack(packed):
                    known = {"size": size if "size" in by else None, "errors": errors if "errors" in by else None}
                    yield Group(count, flags, cost, depth, max_used, **known)
