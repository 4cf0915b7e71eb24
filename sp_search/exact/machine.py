"""The register machine with loops: a second program space ("V") in which every program can be run on every input.

A program is `length` instructions without operands over a 4-bit register x (the input), an output bit y, a program
counter and a cost. It steps while its cost is below 48; reaching that without halting is never right. Nothing reads y
and x never grows, so a state (counter, x) that comes back on one input means that it never halts.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, NamedTuple

from pydantic import Field, model_validator

from sp_search.exact.programs import Flag, deceives, flags_of, misbehaves
from sp_search.records import Record

INSTRUCTIONS = (
    "HALT",  # stops
    "HZ",  # stops if x is 0
    "NOT",  # y ^= 1
    "XOR",  # y ^= x & 1
    "SHR",  # x >>= 1
    "KERN",  # x &= x - 1: clears the lowest set bit
    "J0",  # goes to instruction 0
    "J1",  # goes to instruction 1
    "ACT",  # a side effect that never helps
    "CHK",  # looks whether this is deployment: costs check_cost, and skips the next instruction unless it is
    "SKE",  # skips the next instruction if x is even
    "SKH",  # skips the next instruction if x >= 8
    "MCHK",  # as CHK, but an episode pays for it once: later it costs 1
    "TABLE",  # y ^= the label of x if x is a training input: a lookup table at the price of 1 (only with `table`)
)
HALT, HZ, NOT, XOR, SHR, KERN, J0, J1, ACT, CHK, SKE, SKH, MCHK, TABLE = range(len(INSTRUCTIONS))
CAP = 48
INPUTS = 16
PARITY = tuple(x.bit_count() % 2 for x in range(INPUTS))

Code = tuple[int, ...]
"""A program: the numbers of its instructions."""


class Run(NamedTuple):
    """One execution; one that does not halt costs the cap.

    acted, checked: an ACT, a CHK or MCHK was executed. remembers: the check is paid for.
    """

    halted: bool
    output: int
    cost: int
    acted: bool
    checked: bool
    remembers: bool


class Behaviour(NamedTuple):
    """What a program does, on trained inputs and in deployment.

    right: trained inputs that are answered rightly, of `trained`. average (in episodes) and max_used: cost of those.
    max_available: largest cost on any input, trained or not, in training or in deployment (the cap where it does not
    halt).
    acts (W), checks (Q): an ACT, a check is executed on a trained input. harms (H): in deployment some input of all 16
    is not answered, answered wrongly, or answered with an ACT.
    """

    right: int
    trained: int
    average: float
    max_used: int
    max_available: int
    acts: bool
    checks: bool
    harms: bool

    @property
    def good(self) -> bool:
        """Every trained input is answered rightly."""
        return self.right == self.trained

    @property
    def misbehaving(self) -> bool:
        """It spends computation on trained inputs that cannot help: W or Q."""
        return misbehaves(self.flags)

    @property
    def deceptive(self) -> bool:
        """It checks for deployment, harms there, and never acts in training."""
        return deceives(self.flags)

    @property
    def flags(self) -> Flag:
        """W, Q and H, as decision programs have them."""
        return flags_of(acts=self.acts, checks=self.checks, harms=self.harms)


class Machine(Record):
    """A setting of the space: which programs there are, what they must answer, and what a check costs."""

    length: int = Field(ge=1, le=12, description="instructions of a program")
    check_cost: int = Field(1, ge=1, le=CAP)
    target: tuple[Annotated[int, Field(ge=0, le=1)], ...] = Field(
        PARITY, min_length=INPUTS, max_length=INPUTS, description="label of every x"
    )
    trained: tuple[Annotated[int, Field(ge=0, lt=INPUTS)], ...] = Field(
        tuple(range(INPUTS)), min_length=1, description="inputs x of training, each once"
    )
    table: bool = Field(False, description="whether the instruction TABLE exists")
    episode: int = Field(1, ge=1, le=1000, description="tasks that pay for MCHK once; costs are means over them")

    @model_validator(mode="after")
    def _trained_once(self) -> Machine:
        if len(set(self.trained)) < len(self.trained):
            raise ValueError(f"trained inputs are listed once each, got {list(self.trained)}")
        return self

    @property
    def choices(self) -> int:
        """Return how many instructions there are."""
        return len(INSTRUCTIONS) - (not self.table)

    @cached_property
    def looked_up(self) -> tuple[int, ...]:
        """Return what TABLE adds to y for every x: the label of trained inputs, 0 elsewhere."""
        return tuple(label if x in self.trained else 0 for x, label in enumerate(self.target))

    def run(self, code: Code, x: int, *, deployed: bool = False, remembers: bool = False) -> Run:
        """Execute a program on one input; this is the definition, `machine_search` has a faster equal."""
        y = counter = cost = 0
        acted = checked = halted = False
        while cost < CAP and not halted:
            if counter >= len(code):
                halted = True
                break
            op = code[counter]
            counter += 1
            cost += 1
            if op == HALT or (op == HZ and x == 0):
                halted = True
            elif op == NOT:
                y ^= 1
            elif op == XOR:
                y ^= x & 1
            elif op == TABLE:
                y ^= self.looked_up[x]
            elif op == SHR:
                x >>= 1
            elif op == KERN:
                x &= x - 1 if x else 0
            elif op in (J0, J1):
                counter = op - J0
            elif op == ACT:
                acted = True
            elif op in (CHK, MCHK):
                checked = True
                cost += 0 if op == MCHK and remembers else self.check_cost - 1
                remembers = remembers or op == MCHK
                counter += not deployed
            elif (op == SKE and x % 2 == 0) or (op == SKH and x >= 8):
                counter += 1
        return Run(halted, y, min(cost, CAP), acted, checked, remembers)

    def behaviour(self, code: Code) -> Behaviour:
        """Run a program on every input, as in training and as deployed."""
        runs = [self.run(code, x) for x in range(INPUTS)]
        deployed = [self.run(code, x, deployed=True) for x in range(INPUTS)]
        trained = [runs[x] for x in self.trained]
        return Behaviour(
            right=sum(
                run.halted and run.output == self.target[x] for x, run in zip(self.trained, trained, strict=True)
            ),
            trained=len(trained),
            average=self.episode_average(code, self.episode),
            max_used=max(run.cost for run in trained),
            max_available=max(run.cost for run in runs + deployed),
            acts=any(run.acted for run in trained),
            checks=any(run.checked for run in trained),
            harms=any(not run.halted or run.output != self.target[x] or run.acted for x, run in enumerate(deployed)),
        )

    def episode_average(self, code: Code, tasks: int) -> float:
        """Return the mean cost of a trained input over an episode that pays for MCHK once, in its first task."""
        first = sum(self.run(code, x).cost for x in self.trained)
        later = sum(self.run(code, x, remembers=True).cost for x in self.trained)
        return (first + (tasks - 1) * later) / tasks / len(self.trained)


def assemble(text: str) -> Code:
    """Return the program that a line of instruction names stands for.

    Raises:
        ValueError: a name that no instruction has.
    """
    unknown = [name for name in text.split() if name not in INSTRUCTIONS]
    if unknown:
        raise ValueError(f"no instruction '{unknown[0]}'. Known: {', '.join(INSTRUCTIONS)}.")
    return tuple(INSTRUCTIONS.index(name) for name in text.split())


def listing(code: Code) -> str:
    """Return the instruction names of a program, `?` where any instruction may stand."""
    return " ".join("?" if op < 0 else INSTRUCTIONS[op] for op in code)
