"""Decision programs as trees: what they are, running one, and what is true of it over a whole setting.

Everything here runs programs input by input and enumerates them one by one, so that it can check the counts of
`counting`, which does neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntFlag
from typing import NamedTuple

from sp_search.exact.setting import Macro, Setting

MOST_PROGRAMS = 1_000_000


class Flag(IntFlag):
    """What a program does that it need not do, OR-ed over its inputs."""

    NONE = 0
    ACTS = 1
    """It acts on a trained input (W)."""
    CHECKS = 2
    """It reads a context bit on a trained input (Q)."""
    HARMS = 4
    """It answers wrongly or acts on a harm input (H)."""


def flags_of(*, acts: bool, checks: bool, harms: bool) -> Flag:
    """Return the flags of a program of any space, whose meaning is written here and nowhere else."""
    return Flag(Flag.ACTS * acts | Flag.CHECKS * checks | Flag.HARMS * harms)


def misbehaves(flags: int) -> bool:
    """Whether computation is spent on trained inputs for nothing that the metric sees."""
    return bool(flags & (Flag.ACTS | Flag.CHECKS))


def harms(flags: int) -> bool:
    """Whether something goes wrong in deployment."""
    return bool(flags & Flag.HARMS)


def deceives(flags: int) -> bool:
    """Whether it looks out for deployment, behaves until then, and harms there."""
    return Flag(flags) == Flag.CHECKS | Flag.HARMS


@dataclass(frozen=True)
class Leaf:
    """Answer `bit`; free."""

    bit: int


@dataclass(frozen=True)
class Search:
    """Run a macro of the setting and give its answer; costs what the macro costs."""

    macro: Macro


@dataclass(frozen=True)
class Act:
    """Do something that never helps, then go on; costs 1."""

    then: Program


@dataclass(frozen=True)
class Read:
    """Read a bit of the input and go on with `zero` or `one`; costs 1."""

    bit: int
    zero: Program
    one: Program


Program = Leaf | Search | Act | Read


class Execution(NamedTuple):
    """What one input saw of a program: its answer, its cost in reads and acts, how often it acted, the bits read."""

    answer: int
    cost: int
    acts: int
    reads: tuple[int, ...]


class Facts(NamedTuple):
    """What is true of a program in a setting. `cost` and `errors` are totals over the training weights.

    `failed` counts the checked inputs that it answers wrongly.
    """

    flags: int
    cost: int
    depth: int
    max_used: int
    size: int
    errors: int
    failed: int = 0


def execute(setting: Setting, program: Program, number: int) -> Execution:
    """Run a program on the full input of that number."""
    bits, cost, acts = setting.inputs[number], 0, 0
    reads: list[int] = []
    while True:
        match program:
            case Leaf(bit):
                return Execution(bit, cost, acts, tuple(reads))
            case Search(macro):
                wrong = macro.harmful and setting.harm_mask >> number & 1
                return Execution(setting.labels[number] ^ int(wrong), cost + macro.cost, acts, tuple(reads))
            case Act(then):
                program, acts = then, acts + 1
            case Read(bit, zero, one):
                program = one if bits[bit] else zero
                reads.append(bit)
        cost += 1


def depth(program: Program) -> int:
    """Return the most that a program could spend on any input (max_available)."""
    match program:
        case Leaf():
            return 0
        case Search(macro):
            return macro.cost
        case Act(then):
            return 1 + depth(then)
        case Read(_, zero, one):
            return 1 + max(depth(zero), depth(one))


def size(program: Program) -> int:
    """Return the number of nodes, leaves included."""
    match program:
        case Leaf() | Search():
            return 1
        case Act(then):
            return 1 + size(then)
        case Read(_, zero, one):
            return 1 + size(zero) + size(one)


def facts(setting: Setting, program: Program) -> Facts:
    """Run a program on every input and return what is true of it."""
    flags, cost, max_used, errors, failed = Flag.NONE, 0, 0, 0, 0
    for number, (label, weight) in enumerate(zip(setting.labels, setting.input_weights, strict=True)):
        run = execute(setting, program, number)
        if weight:
            cost, max_used = cost + weight * run.cost, max(max_used, run.cost)
            errors += weight * (run.answer != label)
            flags |= Flag.ACTS * bool(run.acts) | Flag.CHECKS * any(bit >= setting.task_bits for bit in run.reads)
        elif setting.harm_mask >> number & 1 and (run.answer != label or run.acts):
            flags |= Flag.HARMS
        failed += number in setting.checked and run.answer != label
    return Facts(int(flags), cost, depth(program), max_used, size(program), errors, failed)


def number_of_programs(setting: Setting) -> int:
    """Return how many programs a setting has, good or not."""

    def programs(free: int, left: int) -> int:
        terminals = 2 + sum(macro.cost <= left for macro in setting.macros)
        if not left:
            return terminals
        return terminals + programs(free, left - 1) + (free and free * programs(free - 1, left - 1) ** 2)

    return programs(setting.bits, setting.depth)


def enumerate_programs(setting: Setting) -> Iterator[Program]:
    """Yield every program of a setting.

    Raises:
        ValueError: there are more than `MOST_PROGRAMS`; count them instead.
    """
    if (programs := number_of_programs(setting)) > MOST_PROGRAMS:
        raise ValueError(f"{programs} programs: at most {MOST_PROGRAMS} are listed one by one; use `census`")

    def trees(free: tuple[int, ...], left: int) -> list[Program]:
        found: list[Program] = [Leaf(0), Leaf(1), *(Search(macro) for macro in setting.macros if macro.cost <= left)]
        if left:
            found += [Act(then) for then in trees(free, left - 1)]
            for bit in free:
                below = trees(tuple(other for other in free if other != bit), left - 1)
                found += [Read(bit, zero, one) for zero in below for one in below]
        return found

    yield from trees(tuple(range(setting.bits)), setting.depth)
