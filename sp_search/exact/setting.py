"""A setting of the world of decision programs: the task, who is trained on what, and what a program may be made of.

A full input is n task bits x and then k context bits d, numbered in lexicographic order (x0 is the highest bit). The
function to learn depends on x only; inputs with a training weight are trained on, harm inputs are met only in
deployment. Sets of inputs are bit masks: bit a of a mask says that input a belongs to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import cached_property
from itertools import product

from pydantic import Field, model_validator

from sp_search.plugins import suggest
from sp_search.records import Record

MOST_BITS = 6
MOST_DEPTH = 6
MOST_WEIGHT = 5000

FUNCTIONS: dict[str, Callable[[tuple[int, ...]], int]] = {
    "fig": lambda x: x[0] & (x[1] ^ x[2]),
    "majority": lambda x: int(2 * sum(x) > len(x)),
    "parity": lambda x: sum(x) % 2,
    "and": lambda x: int(all(x)),
    "or": lambda x: int(any(x)),
    "x0": lambda x: x[0],
    "xor2": lambda x: x[0] ^ x[1],
    "mux": lambda x: x[2] if x[0] else x[1],
    "zero": lambda _: 0,
    "one": lambda _: 1,
}
LEAST_BITS = {"fig": 3, "mux": 3, "xor2": 2}


def boolean_function(name_or_table: str, bits: int) -> tuple[int, ...]:
    """Return the truth table, in lexicographic order of x, of a function named in `FUNCTIONS` or written as 0s and 1s.

    Raises:
        ValueError: the table has not 2^bits entries, the name is unknown, or the function needs more bits.
    """
    if name_or_table and set(name_or_table) <= {"0", "1"}:
        if len(name_or_table) != 2**bits:
            raise ValueError(f"a truth table of {bits} bits has {2**bits} entries, got {len(name_or_table)}")
        return tuple(int(entry) for entry in name_or_table)
    if name_or_table not in FUNCTIONS:
        near = suggest(name_or_table, list(FUNCTIONS))
        raise ValueError(
            f"no function is named '{name_or_table}'.{near} Known: {', '.join(FUNCTIONS)}, or a truth table like 0110"
        )
    if bits < LEAST_BITS.get(name_or_table, 1):
        raise ValueError(f"'{name_or_table}' needs {LEAST_BITS[name_or_table]} task bits or more, got {bits}")
    return tuple(FUNCTIONS[name_or_table](x) for x in product((0, 1), repeat=bits))


class Macro(Record):
    """A ready-made search for a policy, as one terminal: right on every trained input, for a fixed cost.

    A harmful one answers wrongly on every harm input; an aligned one is right there too.
    """

    cost: int = Field(ge=0, le=MOST_DEPTH, description="reads' worth of computation whenever it runs")
    harmful: bool


class Setting(Record):
    """A world of programs: they read each bit at most once a path, and have at most `depth` nodes on it beside leaves.

    Programs are syntax trees: two that compute the same count separately.
    """

    task_bits: int = Field(3, ge=1, le=MOST_BITS)
    context_bits: int = Field(1, ge=0, le=MOST_BITS)
    function: str = Field("fig", description="a name of FUNCTIONS, or a truth table over x in lexicographic order")
    depth: int = Field(4, ge=0, le=MOST_DEPTH)
    weights: tuple[int, ...] | None = Field(
        None, description="training weight of every full input; 1 on each (x, 0..0) unless given"
    )
    harm: tuple[int, ...] | None = Field(
        None, description="harm inputs by number; every (x, 1..1) unless given, none without context bits"
    )
    checked: tuple[int, ...] = Field(
        (), description="inputs that a good program must answer rightly too, at no training cost: gates"
    )
    macros: tuple[Macro, ...] = ()
    allowed_errors: int = Field(0, ge=0, description="training weight that a good program may answer wrongly")

    @model_validator(mode="after")
    def _consistent(self) -> Setting:
        if self.bits > MOST_BITS:
            raise ValueError(
                f"{self.task_bits} task and {self.context_bits} context bits are {self.bits}: at most {MOST_BITS}"
            )
        boolean_function(self.function, self.task_bits)
        if self.weights is not None and (len(self.weights) != 2**self.bits or min(self.weights) < 0):
            raise ValueError(f"weights are {2**self.bits} numbers of 0 or more, got {list(self.weights)}")
        if not 1 <= self.total_weight <= MOST_WEIGHT:
            raise ValueError(f"weights add up to 1 to {MOST_WEIGHT}, got {self.total_weight}")
        for name, numbers in (("harm", self.harm or ()), ("checked", self.checked)):
            if not set(numbers) <= set(range(2**self.bits)):
                raise ValueError(f"{name} inputs are numbers below {2**self.bits}, got {list(numbers)}")
        if self.checked and self.allowed_errors:
            raise ValueError("checked inputs allow no errors: set allowed_errors to 0, or check nothing")
        if trained := self.harm_mask & self.trained_mask:
            raise ValueError(f"harm inputs are never trained on: give {members(trained)} no weight, or take them out")
        return self

    @property
    def bits(self) -> int:
        """Task and context bits."""
        return self.task_bits + self.context_bits

    @cached_property
    def inputs(self) -> tuple[tuple[int, ...], ...]:
        """Every full input, in lexicographic order."""
        return tuple(product((0, 1), repeat=self.bits))

    @cached_property
    def labels(self) -> tuple[int, ...]:
        """The right answer to every full input."""
        table = boolean_function(self.function, self.task_bits)
        return tuple(table[number >> self.context_bits] for number in range(2**self.bits))

    @cached_property
    def input_weights(self) -> tuple[int, ...]:
        """The training weight of every full input."""
        if self.weights is not None:
            return self.weights
        return tuple(int(number % 2**self.context_bits == 0) for number in range(2**self.bits))

    @cached_property
    def total_weight(self) -> int:
        """What the training weights add up to: a total cost divided by it is an average."""
        return sum(self.input_weights)

    @cached_property
    def trained_mask(self) -> int:
        """The inputs that are trained on."""
        return mask(number for number, weight in enumerate(self.input_weights) if weight)

    @cached_property
    def harm_mask(self) -> int:
        """The inputs on which a wrong answer or an act is harm."""
        if self.harm is not None:
            return mask(self.harm)
        last = 2**self.context_bits - 1
        return mask(number for number in range(2**self.bits) if self.context_bits and number & last == last)

    @cached_property
    def required_mask(self) -> int:
        """The inputs that a good program answers rightly."""
        return self.trained_mask | mask(self.checked)

    @cached_property
    def ones_mask(self) -> int:
        """The inputs whose right answer is 1."""
        return mask(number for number, label in enumerate(self.labels) if label)

    @cached_property
    def bit_masks(self) -> tuple[int, ...]:
        """For every bit, the inputs in which it is 1."""
        return tuple(mask(number for number, bits in enumerate(self.inputs) if bits[j]) for j in range(self.bits))


def mask(numbers: Iterable[int]) -> int:
    """Return the set of inputs of these numbers."""
    return sum(1 << number for number in set(numbers))


def members(inputs: int) -> list[int]:
    """Return the numbers of a set of inputs, ascending."""
    return [number for number in range(inputs.bit_length()) if inputs >> number & 1]


def task_weights(task_bits: int, context_bits: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Return weights of full inputs that give (x, 0..0) the weight of x, everything else none."""
    if len(weights) != 2**task_bits:
        raise ValueError(f"{task_bits} task bits have {2**task_bits} weights, got {len(weights)}")
    return tuple(weight if d == 0 else 0 for weight in weights for d in range(2**context_bits))


def honeypot_weights(task_bits: int, context_bits: int, share: Fraction) -> tuple[int, ...]:
    """Return weights with honeypots: trained inputs in which exactly one context bit is set.

    They have `share` of the training weight in all, 1/k of it for each context bit; x is uniform throughout.

    Raises:
        ValueError: with fewer than 2 context bits a honeypot would be deployment itself.
    """
    if context_bits < 2:
        raise ValueError(f"honeypots need 2 context bits or more, got {context_bits}")
    if not 0 <= share < 1:
        raise ValueError(f"the honeypots' share of the training weight lies in [0, 1), got {share}")
    plain, baited = context_bits * (share.denominator - share.numerator), share.numerator
    one_set = {1 << j for j in range(context_bits)}
    row = [plain if d == 0 else baited if d in one_set else 0 for d in range(2**context_bits)]
    return tuple(row * 2**task_bits)
