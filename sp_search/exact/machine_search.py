"""Local search over the register machine under a cap on cost, as a pure function of a state that is plain data.

A proposal changes one or two instructions of the program that is held, and sometimes swaps two. It is taken when it
costs no more than the cap and answers no fewer inputs. What moves the cap is not known here: growing it from below is
`grow`, and any scheduler of the product can do as well.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random
from typing import NamedTuple, get_args

from pydantic import Field

from sp_search.exact.machine import (
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
from sp_search.records import BudgetKind, Record, derive_seed

PATIENCE = 2000
"""Proposals without progress after which the search begins again from a random program."""
SWAPS = 0.25
"""Share of proposals that also swap two instructions."""


class SearchState(Record):
    """Where a local search stands; the same state, cap and number of proposals always give the same next state.

    found: the program that the last call ended with, good and within its cap; None if it found none.
    """

    seed: int
    calls: int = Field(0, ge=0, description="calls so far; every call has its own generator")
    evaluations: int = Field(0, ge=0)
    program: Code
    right: int = Field(ge=0, description="trained inputs that `program` answers rightly")
    stalled: int = Field(0, ge=0, description="proposals since the last progress")
    found: Code | None = None


Rows = list[list[tuple[int, int]]]
"""What each instruction of a program does from every state."""


class Grade(NamedTuple):
    """Right answers and cost of a program on the trained inputs; `right` is -1 as soon as it is known to be refused.

    `total` is over all tasks of an episode.
    """

    right: int
    total: int
    largest: int


class Grader:
    """Runs programs on the trained inputs, fast: a state (memory, counter, x) is executed once for all inputs.

    Equal to `Machine.run` on every program (tested). What is left to do from a state is one number:
    4 * cost + 2 * (it falls off the end, which needs one more step of the clock) + what y changes by.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.states = 2 * INPUTS * machine.length
        self.steps = [self._steps(op) for op in range(machine.choices)]

    def _steps(self, op: int) -> list[tuple[int, int]]:
        """Return for every state what executing `op` there leads to, and 4 * cost + change of y.

        Next states are indices; `states` is a halt and `states + 1` a fall off the end.
        """
        machine, steps = self.machine, []
        for state in range(self.states):
            memory, place = divmod(state, INPUTS * machine.length)
            counter, x = divmod(place, INPUTS)
            flip = {NOT: 1, XOR: x & 1, TABLE: machine.looked_up[x]}.get(op, 0)
            paid = op == CHK or (op == MCHK and not memory)
            skips = op in (CHK, MCHK) or (op == SKE and x % 2 == 0) or (op == SKH and x >= 8)
            target = {J0: 0, J1: 1}.get(op, counter + 1 + skips)
            x = {SHR: x >> 1, KERN: x & (x - 1) if x else 0}.get(op, x)
            following = ((memory | (op == MCHK)) * machine.length + target) * INPUTS + x
            if target >= machine.length:
                following = self.states + 1
            if op == HALT or (op == HZ and x == 0):
                following = self.states
            steps.append((following, 4 * (machine.check_cost if paid else 1) + flip))
        return steps

    def _rest(self, left: dict[int, int], rows: Rows, state: int) -> int:
        """Return what is left to do from a state, -1 if that never halts; `left` learns it of every state passed."""
        length, path = self.machine.length, []
        while (rest := left.get(state)) is None:
            left[state] = -1  # until it is known: coming back here means never halting
            following, gain = rows[state // INPUTS % length][state]
            path.append((state, gain))
            state = following
        if rest >= 0:
            for state, gain in reversed(path):
                rest = (rest + (gain & ~1)) ^ (gain & 1)
                left[state] = rest
        return rest

    def grade(self, code: Code, least: int = 0, total_cap: float = float("inf"), each_cap: float = CAP) -> Grade:
        """Run a program; it is refused as soon as it costs more than a cap or can no longer answer `least` rightly."""
        target, steps, filled = self.machine.target, self.steps, self.states // 2
        left: dict[int, int] = {self.states: 0, self.states + 1: 2}
        right = total = largest = 0
        allowed, later_tasks = len(self.machine.trained) - least, self.machine.episode - 1
        rows = [steps[op] for op in code]
        for x in self.machine.trained:
            rest = self._rest(left, rows, x)
            halts = rest >= 0 and (rest >> 2) + (rest >> 1 & 1) <= CAP
            cost = _cost(rest)
            if halts and rest & 1 == target[x]:
                right += 1
            else:
                allowed -= 1
            total += cost
            if later_tasks:  # in which MCHK is paid for
                total += later_tasks * _cost(self._rest(left, rows, filled + x))
            largest = max(largest, cost)
            if allowed < 0 or total > total_cap or cost > each_cap:
                return Grade(-1, total, largest)
        return Grade(right, total, largest)


def _cost(rest: int) -> int:
    return min(rest >> 2, CAP) if rest >= 0 else CAP


@lru_cache(maxsize=32)
def grader(machine: Machine) -> Grader:
    """Return the grader of a setting; its tables are made once."""
    return Grader(machine)


def begin(machine: Machine, seed: int, program: Code | None = None) -> SearchState:
    """Return a search at a random program, or at a given one (a warm start, a clone, a donor)."""
    if program is None:
        program = _random_program(machine, Random(derive_seed(seed, "begin")))  # noqa: S311 - reproducible
    if len(program) != machine.length or not all(0 <= op < machine.choices for op in program):
        raise ValueError(f"a program here has {machine.length} of {machine.choices} instructions, got {program}")
    return SearchState(seed=seed, program=program, right=grader(machine).grade(program).right)


def search(machine: Machine, state: SearchState, proposals: int, kind: BudgetKind, cap: float) -> SearchState:
    """Evaluate up to `proposals` programs under a cap on the mean or largest cost; stop at the first good one.

    A program that is held from before and is good within the cap is found at once, for one evaluation.

    Raises:
        ValueError: there is no such kind of cap.
    """
    if kind not in get_args(BudgetKind):
        raise ValueError(f"no cap is of kind '{kind}': take {' or '.join(get_args(BudgetKind))}")
    run, trained = grader(machine), len(machine.trained)
    total_cap, each_cap = (cap * trained * machine.episode, float(CAP)) if kind == "mean" else (float("inf"), cap)
    random = Random(derive_seed(state.seed, "call", state.calls))  # noqa: S311 - reproducible
    code, right, stalled = state.program, state.right, state.stalled
    tried, found = 0, None
    if right == trained and proposals:
        tried = 1
        found = code if run.grade(code, trained, total_cap, each_cap).right == trained else None
    while tried < proposals and found is None:
        if stalled >= PATIENCE:
            code, stalled = _random_program(machine, random), 0
            right = run.grade(code).right
        proposal = _propose(machine, code, random)
        tried += 1
        grade = run.grade(proposal, right, total_cap, each_cap)
        if grade.right < 0:
            stalled += 1
            continue
        stalled = 0 if grade.right > right else stalled + 1
        code, right = proposal, grade.right
        if right == trained:
            found = code
    return SearchState(
        seed=state.seed,
        calls=state.calls + 1,
        evaluations=state.evaluations + tried,
        program=code,
        right=right,
        stalled=stalled,
        found=found,
    )


def grow(machine: Machine, state: SearchState, per_level: int, kind: BudgetKind, step: float) -> SearchState:
    """Search at caps step, 2 step, ... up to the machine's own, `per_level` proposals at each, until the first find.

    Raises:
        ValueError: there is no such step.
    """
    if not 0 < step <= CAP:
        raise ValueError(f"a step of the cap lies above 0 and up to {CAP}, got {step}")
    for level in range(1, int(CAP / step) + 1):
        state = search(machine, state, per_level, kind, level * step)
        if state.found:
            break
    return state


def _random_program(machine: Machine, random: Random) -> Code:
    return tuple(int(random.random() * machine.choices) for _ in range(machine.length))


def _propose(machine: Machine, code: Code, random: Random) -> Code:
    """Draw one or two instructions anew, and in a quarter of proposals swap two."""
    draw, length, proposal = random.random, machine.length, list(code)
    for _ in range(1 if draw() < 0.5 else 2):
        proposal[int(draw() * length)] = int(draw() * machine.choices)
    if draw() < SWAPS:
        one, other = int(draw() * length), int(draw() * length)
        proposal[one], proposal[other] = proposal[other], proposal[one]
    return tuple(proposal)
