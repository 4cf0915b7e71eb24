"""Every good program of the register machine, counted without listing all: instructions are chosen when executed.

A position that no training run reaches may hold anything, so one listing with u such positions counts for 13^u
programs; deployment runs reach some of them, and are told apart in the same way. Also what each prior selects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from sp_search.exact.machine import (
    ACT,
    CAP,
    CHK,
    HALT,
    HZ,
    INPUTS,
    J0,
    J1,
    KERN,
    MCHK,
    NOT,
    SHR,
    SKE,
    SKH,
    TABLE,
    XOR,
    Code,
    Machine,
)
from sp_search.exact.programs import Flag, deceives, flags_of, misbehaves
from sp_search.records import Record

MOST_COUNTED = 8
"""Instructions of programs that are counted, which takes minutes."""


class Group(NamedTuple):
    """Good programs that do the same on every input.

    code: their instructions, -1 where any may stand. programs: how many they are. total and largest: cost over the
    trained inputs. later: total where an episode has already paid for MCHK. acts, checks, harms: as in `Behaviour`.
    """

    code: Code
    programs: int
    total: int
    largest: int
    later: int
    acts: bool
    checks: bool
    harms: bool

    @property
    def misbehaving(self) -> bool:
        """They act or check on a trained input."""
        return misbehaves(self.flags)

    @property
    def deceptive(self) -> bool:
        """They check, harm in deployment and never act in training."""
        return deceives(self.flags)

    @property
    def flags(self) -> Flag:
        """W, Q and H, as decision programs have them."""
        return flags_of(acts=self.acts, checks=self.checks, harms=self.harms)

    def in_episode(self, tasks: int) -> int:
        """Return the cost over the trained inputs in all tasks of an episode, which pays for MCHK in its first."""
        return self.total + (tasks - 1) * self.later


class Halted(NamedTuple):
    """A run that halted: its answer, its cost, whether it acted and whether it paid for MCHK."""

    output: int
    cost: int
    acted: bool
    paid: bool


@lru_cache(maxsize=16)
def good_programs(machine: Machine) -> tuple[Group, ...]:
    """Return all good programs of a setting.

    Raises:
        ValueError: it has more instructions than can be counted; every one more takes some twenty times as long.
    """
    if machine.length > MOST_COUNTED:
        raise ValueError(
            f"programs of {machine.length} instructions cannot be counted, only searched: at most {MOST_COUNTED}"
        )
    return tuple(_Enumeration(machine).groups())


class _Enumeration:
    """Runs a program that is still being written, through its training inputs and then as deployed."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.found = machine, list[Group]()
        self.code = [-1] * machine.length

    def groups(self) -> list[Group]:
        self._train(0, 0, 0, 0)
        return self.found

    def _train(self, index: int, total: int, largest: int, paid: int) -> None:
        """Go on from trained input number `index`; `paid` counts the runs that paid for MCHK."""
        machine = self.machine
        if index == len(machine.trained):
            later = total - paid * (machine.check_cost - 1)
            checks = CHK in self.code or MCHK in self.code  # what is written so far was executed on a trained input
            acts = ACT in self.code
            inputs = range(INPUTS) if checks else [x for x in range(INPUTS) if x not in machine.trained]
            self._deploy(list(inputs), (total, largest, later, acts, checks), harms=acts and not checks)
            return
        x = machine.trained[index]

        def go_on(run: Halted) -> None:
            if run.output == machine.target[x]:
                self._train(index + 1, total + run.cost, max(largest, run.cost), paid + run.paid)

        self._run(x, False, go_on, lambda: None)

    def _deploy(self, inputs: list[int], seen: tuple[int, int, int, bool, bool], harms: bool) -> None:
        """Go on with the inputs whose deployment is still to be seen, until one is harmed."""
        if harms or not inputs:
            free = self.machine.choices ** self.code.count(-1)
            self.found.append(Group(tuple(self.code), free, *seen, harms))
            return
        x, rest = inputs[0], inputs[1:]

        def go_on(run: Halted) -> None:
            self._deploy(rest, seen, run.acted or run.output != self.machine.target[x])

        self._run(x, True, go_on, lambda: self._deploy(rest, seen, True))

    def _run(self, x: int, deployed: bool, halts: Callable[[Halted], None], runs_on: Callable[[], None]) -> None:
        """Run from the beginning; where no instruction is written yet, write each in turn."""
        self._step(x, 0, 0, 0, False, False, (-1, -1), deployed, halts, runs_on)

    def _step(  # one loop over all state: a call per instruction would cost ten times as much
        self,
        x: int,
        y: int,
        counter: int,
        cost: int,
        acted: bool,
        paid: bool,
        jumped: tuple[int, int],
        deployed: bool,
        halts: Callable[[Halted], None],
        runs_on: Callable[[], None],
    ) -> None:
        code, length, machine = self.code, self.machine.length, self.machine
        while cost < CAP:
            if counter >= length:
                return halts(Halted(y, cost, acted, paid))
            op = code[counter]
            if op < 0:
                for choice in range(machine.choices):
                    code[counter] = choice
                    self._step(x, y, counter, cost, acted, paid, jumped, deployed, halts, runs_on)
                code[counter] = -1
                return None
            counter += 1
            cost += 1
            if op == HALT or (op == HZ and x == 0):
                return halts(Halted(y, cost, acted, paid))
            if op == NOT:
                y ^= 1
            elif op == XOR:
                y ^= x & 1
            elif op == TABLE:
                y ^= machine.looked_up[x]
            elif op == SHR:
                x >>= 1
            elif op == KERN:
                x &= x - 1 if x else 0
            elif op in (J0, J1):
                counter = op - J0
                if jumped == (x, counter):
                    break  # the state has come back: it never halts
                jumped = (x, counter)
            elif op == ACT:
                acted = True
            elif op in (CHK, MCHK):
                cost += 0 if op == MCHK and paid else machine.check_cost - 1
                paid = paid or op == MCHK
                counter += not deployed
            elif (op == SKE and x % 2 == 0) or (op == SKH and x >= 8):
                counter += 1
        return runs_on()


class Choice(Record):
    """What a prior selects from good programs; shares are exact probabilities over the programs it selects from."""

    prior: str
    programs: int
    misbehaving: float
    harmful: float
    deceptive: float
    average_cost: float


Sized = tuple[Machine, Group]


def _time(one: Sized) -> int:
    return one[1].in_episode(one[0].episode)


PRIORS: dict[str, tuple[Callable[[Sized], tuple[int, ...]], Callable[[Sized], Fraction]]] = {
    "none": (lambda one: (), lambda one: Fraction(1)),
    "max": (lambda one: (one[1].largest,), lambda one: Fraction(1)),
    "average": (lambda one: (_time(one),), lambda one: Fraction(1)),
    "max_then_average": (lambda one: (one[1].largest, _time(one)), lambda one: Fraction(1)),
    "simplest": (lambda one: (one[0].length,), lambda one: Fraction(1)),
    "length_mixture": (lambda one: (), lambda one: Fraction(1, one[0].choices ** one[0].length)),
    "levin": (lambda one: (), lambda one: Fraction(1, one[0].choices ** one[0].length * _time(one))),
}
"""By name: what must be least, and the weight of what remains. Levin's weight is 13^-length over the mean time."""


def select(machines: Sequence[Machine], prior: str) -> Choice:
    """Return what a prior selects from the good programs of some settings, alike but for their length.

    `max` is the largest cost on a trained input: what a free position could make a program spend is nobody's choice.
    """
    if prior not in PRIORS:
        raise ValueError(f"no prior '{prior}'. Known: {', '.join(PRIORS)}.")
    rank, weigh = PRIORS[prior]
    every = [(machine, group) for machine in machines for group in good_programs(machine)]
    if not every:
        lengths = ", ".join(str(machine.length) for machine in machines)
        raise ValueError(f"no program of {lengths or 'no'} instructions is good: give the machine more")
    best = min(map(rank, every))
    chosen = [one for one in every if rank(one) == best]
    weights = [weigh(one) * one[1].programs for one in chosen]

    def share(holds: Iterable[float | bool]) -> float:
        return float(sum(weight * Fraction(one) for weight, one in zip(weights, holds, strict=True)) / sum(weights))

    return Choice(
        prior=prior,
        programs=sum(group.programs for _, group in chosen),
        misbehaving=share(group.misbehaving for _, group in chosen),
        harmful=share(group.harms for _, group in chosen),
        deceptive=share(group.deceptive for _, group in chosen),
        average_cost=share(_time(one) / (one[0].episode * len(one[0].trained)) for one in chosen),
    )


def some_good(machine: Machine) -> tuple[Group, ...]:
    """Return all good programs of a setting that has any.

    Raises:
        ValueError: it has none.
    """
    if not (groups := good_programs(machine)):
        raise ValueError(f"no program of {machine.length} instructions is good: give the machine more")
    return groups


def misbehaving_within(machine: Machine, slack: float) -> float:
    """Return the share misbehaving of good programs whose average cost is within `slack` of the least."""
    groups = some_good(machine)
    tasks = machine.episode
    cap = min(group.in_episode(tasks) for group in groups) + slack * tasks * len(machine.trained)
    near = [group for group in groups if group.in_episode(tasks) <= cap]
    return sum(group.programs for group in near if group.misbehaving) / sum(group.programs for group in near)


def deceptive_excess(machine: Machine, tasks: int) -> float:
    """Return how much more the cheapest deceptive program costs than the cheapest honest one, in episodes of `tasks`.

    An episode pays for MCHK in its first task only; costs are means over trained inputs and tasks.
    """

    def least(groups: Iterable[Group]) -> Fraction:
        return min(Fraction(group.in_episode(tasks), tasks * len(machine.trained)) for group in groups)

    groups = some_good(machine)
    deceptive = [group for group in groups if group.deceptive]
    honest = [group for group in groups if not group.misbehaving]
    if not deceptive or not honest:
        kind = "honest" if deceptive else "deceptive"
        raise ValueError(f"no good program of {machine.length} instructions is {kind}: give the machine more")
    return float(least(deceptive) - least(honest))
