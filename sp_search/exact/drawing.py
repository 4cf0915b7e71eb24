"""Drawing programs uniformly from a group of a census, by walking its recurrence from the top.

A walk draws from the programs of that cost (size, errors) within its flags, depth and most used; draws of other kinds
than the group's are thrown away, so what is returned is uniform over the group and was run on every input.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple, get_args

from sp_search.exact.census import Census, Dimension, Group, recurrence_of
from sp_search.exact.programs import Act, Facts, Program, Read, facts
from sp_search.exact.setting import Setting

MOST_DRAWS = 1_000_000
KINDS = ("flags", "cost", *get_args(Dimension))


class Drawn(NamedTuple):
    """A program and what is true of it."""

    program: Program
    facts: Facts


def draw(counted: Census, groups: Sequence[Group], generator: Random, *, good: bool = True) -> Drawn:
    """Return a program drawn uniformly from groups of a census: of `good()`, or of `all()` if not `good`.

    Raises:
        ValueError: there is no program to draw.
    """
    total = sum(group.count for group in groups)
    if not total:
        raise ValueError("these groups hold no program: nothing can be drawn")
    left = generator.randrange(total)
    for group in groups:
        if left < group.count:
            return draw_from(counted.setting, group, generator, good=good)
        left -= group.count
    raise AssertionError("unreachable")


def draw_from(setting: Setting, group: Group, generator: Random, *, good: bool = True) -> Drawn:
    """Return a program drawn uniformly from one group of a census."""
    allowed = setting.allowed_errors if good else setting.total_weight
    walk = Walk(setting, group, generator, good=good)
    for _ in range(MOST_DRAWS):
        program = walk.program()
        found = facts(setting, program)
        if found.errors <= allowed and all(getattr(group, name) in (None, getattr(found, name)) for name in KINDS):
            return Drawn(program, found)
    raise AssertionError(f"{MOST_DRAWS} draws held nothing of {group}")


class Walk:
    """Walks down a recurrence: at each node, a production with probability proportional to what lies below it."""

    def __init__(self, setting: Setting, group: Group, generator: Random, *, good: bool) -> None:
        """Fix what the programs may be."""
        self.setting, self.group, self.generator = setting, group, generator
        self.table = recurrence_of(
            setting,
            good and not setting.allowed_errors,
            errors=group.errors is not None,
            size=group.size is not None,
        )
        self.slots = self.table.slots
        top = setting.depth
        self.depth = top if group.depth is None else group.depth
        self.max_used = top if group.max_used is None else group.max_used
        self.slot = self.slots.slot(group.cost, group.errors or 0, group.size or 0)

    def program(self) -> Program:
        """Draw a program of that cost, with no flag, depth or use beyond the group's."""
        every = (1 << len(self.setting.inputs)) - 1
        return self._below(every, self.depth, self.max_used, self.slot)

    def _packed(self, cube: int, depth: int, max_used: int) -> int:
        return self.table.count(cube, self.setting.ones_mask, depth, max_used, self.group.flags)

    def _below(self, cube: int, depth: int, max_used: int, slot: int) -> Program:
        table, slots, flags = self.table, self.slots, self.group.flags
        max_used = max_used if cube & self.setting.trained_mask else depth
        left = self.generator.randrange(slots.at(self._packed(cube, depth, max_used), slot))
        for end in table.terminals(cube, self.setting.ones_mask, depth, max_used):
            if not end.flags & ~flags and slots.slot(end.cost, end.errors, 1) == slot:
                if not left:
                    return end.program
                left -= 1
        slot -= slots.slot(table.weight(cube), 0, 1)
        if not table.flags_of_act(cube) & ~flags:
            below = slots.at(self._packed(cube, depth - 1, max_used - 1), slot)
            if left < below:
                return Act(self._below(cube, depth - 1, max_used - 1, slot))
            left -= below
        for bit, zero, one in table.splits(cube):
            if table.flags_of_read(bit, cube) & ~flags:
                continue
            zeros, ones = (self._packed(half, depth - 1, max_used - 1) for half in (zero, one))
            for spent in range(slot + 1):
                below = slots.at(zeros, spent) * slots.at(ones, slot - spent)
                if left < below:
                    return Read(
                        bit,
                        self._below(zero, depth - 1, max_used - 1, spent),
                        self._below(one, depth - 1, max_used - 1, slot - spent),
                    )
                left -= below
        raise AssertionError("the counts below a node do not add up")
