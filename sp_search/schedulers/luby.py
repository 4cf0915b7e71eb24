"""Baseline: Luby's universal restarts, 1 1 2 1 1 2 4 1 1 2 1 1 2 4 8 ... times the least budget.

Whatever the distribution of a lineage's success over budgets, restarting by this sequence costs at most a logarithm
more than the best restarts for that distribution, and no sequence does better (Luby, Sinclair and Zuckerman 1993).
A level that as many lineages failed as a verdict needs is decided, and is left out from then on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from sp_search.levels import Inheritance, Visit
from sp_search.schedulers.base import View
from sp_search.schedulers.oblivious import Oblivious, rungs


def turn(exponent: int, nth: int) -> int:
    """Return the place (1, 2, ...) in the sequence at which 2^exponent comes for the nth time (1, 2, ...).

    It ends a block of 2^(exponent + 1) - 1 places. Between blocks stand the larger values: one after every second
    block, one more after every fourth, and so on, which are nth - 1 less its binary ones before the nth block.
    """
    return nth * ((2 << exponent) - 1) + (nth - 1) - (nth - 1).bit_count()


class Luby(Oblivious):
    """Train one fresh lineage a turn, at the level that the sequence says. The top is the last to be tried."""

    kind: Literal["luby"] = "luby"
    inherit: Inheritance = Field("off", description="as elsewhere; restarts begin afresh by default")

    def visits(self, view: View) -> Iterator[Visit]:
        """Yield the turns of levels that are not decided yet, up to the first turn of the top."""
        *below, top = rungs(view, 2.0)
        tries = range(1, view.evidence + 1)
        turns = sorted((turn(exponent, nth), level) for exponent, level in enumerate(below) for nth in tries)
        for when, level in turns:
            if when < turn(len(below), 1):
                yield Visit(level=level, phase="restarting", evidence=1)
        yield Visit(level=top, phase="restarting", evidence=view.evidence)
