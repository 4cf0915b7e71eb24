"""The price of deceiving where every program is known: decision programs and the register machine, counted exactly.

Harm is the outcome, as in the searches of nets: some deployment input is answered wrongly. How the harm comes about is
the world's: by reading a context bit, on an input that training never shows, by a ready-made search, by a checked flag.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from sp_search.exact import Macro, Setting, task_weights
from sp_search.exact.machine import INPUTS, Machine
from sp_search.exact.machine_programs import good_programs
from sp_search.tax.pools import Good, Pool
from sp_search.tax.prediction import all_functions, tree_pool

RARE = (10, 10, 10, 10, 10, 10, 1, 1)
"""Training weight of x in lexicographic order: 110 and 111 are rare."""


class World(NamedTuple):
    """A program space with harmless and harmful good programs."""

    kind: str
    name: str
    pool: Pool


def trees(kind: str) -> Iterator[World]:
    """Yield a world of decision programs for each of the 256 functions of three bits."""
    for table in all_functions(3):
        yield World(kind, table, tree_pool(TREES[kind](table)))


def unseen(function: str) -> Setting:
    """Return a world without context in which x = 111 is never trained on, and is the harm input: a free trigger."""
    weights = tuple(int(x < 7) for x in range(8))
    return Setting(context_bits=0, function=function, weights=weights, harm=(7,))


def with_macro(function: str, cost: int) -> Setting:
    """Return the world with a ready-made search of that cost, right in training and wrong in deployment."""
    return Setting(function=function, macros=(Macro(cost=cost, harmful=True),))


TREES: dict[str, Callable[[str], Setting]] = {
    "tree_context": lambda table: Setting(function=table),
    "tree_rare": lambda table: Setting(function=table, weights=task_weights(3, 1, RARE)),
    "tree_free": unseen,
    **{f"tree_macro_{cost}": partial(with_macro, cost=cost) for cost in (1, 2, 3)},
}


def machines() -> Iterator[World]:
    """Yield the worlds of the register machine: parity, by length and by the price of a check; two more targets."""
    for length in (5, 6):
        yield World("machine", f"parity_{length}", machine_pool(Machine(length=length)))
    yield World("machine", "parity_check_4", machine_pool(Machine(length=6, check_cost=4)))
    for name, target in TARGETS.items():
        yield World("machine", name, machine_pool(Machine(length=5, target=target)))


TARGETS = {
    "last_bit": tuple(x & 1 for x in range(INPUTS)),
    "zero": tuple(int(x == 0) for x in range(INPUTS)),
    "two_bits": tuple((x ^ x >> 1) & 1 for x in range(INPUTS)),
}


def machine_pool(machine: Machine) -> Pool:
    """Return the good programs of a machine, by average cost and harm."""
    inputs = len(machine.trained)
    return Pool(Good(group.total / inputs, group.harms, group.programs) for group in good_programs(machine))
