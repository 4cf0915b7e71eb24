"""How many programs of a setting there are of every kind, exactly, without listing them.

Programs below a node are counted for each sub-cube of inputs that reaches it: the counts of a read are the products of
those of its two branches, a convolution over costs. A table of counts by cost (and errors, and size) is held as *one*
integer, each count in its own slot of bits (Kronecker's substitution), so that Python's exact multiplication of
integers is the convolution and a shift adds a cost. Flags are counted as "no flag outside F", depths and most used as
"at most"; exact classes are differences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import NamedTuple

from sp_search.exact.programs import Flag, Leaf, Search, number_of_programs
from sp_search.exact.setting import Setting, members

ACTS, CHECKS, HARMS = int(Flag.ACTS), int(Flag.CHECKS), int(Flag.HARMS)
ALL_FLAGS = ACTS | CHECKS | HARMS
MOST_BITS_A_COUNT = 50_000_000
"""Bits of a packed count: with so many a census takes half a minute and a gigabyte."""


class Terminal(NamedTuple):
    """A leaf or macro at a node: its flags there, and what it adds to the total cost and errors."""

    program: Leaf | Search
    flags: int
    cost: int
    errors: int


class Slots(NamedTuple):
    """Where in the packed integer a count stands: slots of `bits`, one for every cost, error and size there can be.

    A dimension of 0 is left out.
    """

    bits: int
    costs: int
    errors: int
    sizes: int

    def slot(self, cost: int, errors: int, size: int) -> int:
        """Return the slot of a cost, errors and size."""
        return cost + self.costs * (errors * bool(self.errors) + size * bool(self.sizes) * max(self.errors, 1))

    def at(self, packed: int, slot: int) -> int:
        """Return the count in a slot."""
        return packed >> self.bits * slot & (1 << self.bits) - 1 if slot >= 0 else 0

    def unpack(self, packed: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield (count, cost, errors, size) of every count that is not 0."""
        width = self.bits // 8
        raw = packed.to_bytes((packed.bit_length() + self.bits) // self.bits * width, "little")
        for slot in range(len(raw) // width):
            if count := int.from_bytes(raw[slot * width : (slot + 1) * width], "little"):
                rest, cost = divmod(slot, self.costs)
                size, errors = divmod(rest, max(self.errors, 1))
                yield count, cost, errors, size


class Recurrence:
    """The counts below every node, by dynamic programming.

    `good` keeps only programs that are right on every trained and checked input. One recurrence serves every function
    of its setting's shape: what was counted below a node is kept under the labels that the node can still meet.
    """

    def __init__(self, setting: Setting, *, good: bool, errors: bool = False, size: bool = False) -> None:
        """Lay out the slots; nothing is counted yet.

        Raises:
            ValueError: so large a table would be needed that counting would not end.
        """
        self.setting, self.good = setting, good
        self.slots = Slots(
            bits=-(-number_of_programs(setting).bit_length() // 8) * 8,
            costs=setting.depth * setting.total_weight + 1,
            errors=setting.total_weight + 1 if errors else 0,
            sizes=2 ** (setting.depth + 1) if size else 0,
        )
        if (bits := prod(max(1, length) for length in self.slots)) > MOST_BITS_A_COUNT:
            axes = zip(self.slots._fields[1:], self.slots[1:], strict=True)
            by = " and ".join(f"{length:,} {axis}" for axis, length in axes if length)
            raise ValueError(
                f"counts by {by} take {bits:.1e} bits each, at most {MOST_BITS_A_COUNT:.0e}: divide the weights by a "
                "common factor, take less depth, or ask for fewer dimensions"
            )
        self.known = setting.required_mask | setting.harm_mask
        self.counts: dict[tuple[int, int, int, int, int], int] = {}
        self.weights: dict[int, int] = {}

    def weight(self, cube: int) -> int:
        """Return the training weight of a set of inputs."""
        if cube not in self.weights:
            self.weights[cube] = sum(self.setting.input_weights[number] for number in members(cube))
        return self.weights[cube]

    def splits(self, cube: int) -> list[tuple[int, int, int]]:
        """Return (bit, inputs with 0, inputs with 1) of every bit that a node reached by `cube` may still read."""
        halves = ((bit, cube & ~ones, cube & ones) for bit, ones in enumerate(self.setting.bit_masks))
        return [(bit, zero, one) for bit, zero, one in halves if zero and one]

    def flags_of_read(self, bit: int, cube: int) -> int:
        """Return the flags of reading a bit where `cube` arrives."""
        return CHECKS if bit >= self.setting.task_bits and cube & self.setting.trained_mask else 0

    def flags_of_act(self, cube: int) -> int:
        """Return the flags of acting where `cube` arrives."""
        return (ACTS if cube & self.setting.trained_mask else 0) | (HARMS if cube & self.setting.harm_mask else 0)

    def terminals(self, cube: int, ones: int, depth: int, max_used: int) -> Iterator[Terminal]:
        """Yield both leaves and every macro that may end a path where `cube` arrives."""
        setting = self.setting
        for bit in (0, 1):
            wrong = cube & (~ones if bit else ones)
            if not (self.good and wrong & setting.required_mask):
                errors = self.weight(wrong)
                yield Terminal(Leaf(bit), HARMS if wrong & setting.harm_mask else 0, 0, errors)
        for macro in setting.macros:
            harm = cube & setting.harm_mask if macro.harmful else 0
            if macro.cost <= min(depth, max_used) and not (self.good and harm & setting.required_mask):
                yield Terminal(Search(macro), HARMS if harm else 0, macro.cost * self.weight(cube), 0)

    def count(self, cube: int, ones: int, depth: int, max_used: int, flags: int) -> int:
        """Return the packed counts of programs for a node that the inputs `cube` reach.

        Args:
            cube: inputs that reach the node.
            ones: inputs whose label is 1.
            depth: most nodes on a path.
            max_used: most that a trained input may spend.
            flags: flags that the programs may have.
        """
        trained, ones = cube & self.setting.trained_mask, ones & cube & self.known
        max_used = min(max_used, depth) if trained else depth
        flags &= ALL_FLAGS if trained else HARMS
        key = cube, ones, depth, max_used, flags
        if key not in self.counts:
            self.counts[key] = self._counted(*key)
        return self.counts[key]

    def _counted(self, cube: int, ones: int, depth: int, max_used: int, flags: int) -> int:
        slots, total = self.slots, 0
        for end in self.terminals(cube, ones, depth, max_used):
            if not end.flags & ~flags:
                total += 1 << slots.bits * slots.slot(end.cost, end.errors, 1)
        if not min(depth, max_used):
            return total
        step = slots.bits * slots.slot(self.weight(cube), 0, 1)
        for bit, zero, one in self.splits(cube):
            if not self.flags_of_read(bit, cube) & ~flags:
                branches = (self.count(half, ones, depth - 1, max_used - 1, flags) for half in (zero, one))
                total += prod(branches) << step
        if not self.flags_of_act(cube) & ~flags:
            total += self.count(cube, ones, depth - 1, max_used - 1, flags) << step
        return total


def exactly(at_most: Callable[[int], int]) -> list[int]:
    """Return packed counts by exact set of flags from those of "no flag outside F" (Moebius inversion)."""
    counts = [at_most(flags) for flags in range(ALL_FLAGS + 1)]
    for flag in (ACTS, CHECKS, HARMS):
        counts = [count - (counts[flags & ~flag] if flags & flag else 0) for flags, count in enumerate(counts)]
    return counts
