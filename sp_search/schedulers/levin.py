"""Baseline: Levin's universal search, with levels as programs and lineages as their running time (Levin 1973).

In phase i the program of prior weight 2^-l runs for 2^(i - l) units of time, so the first success comes after at most
2^(l + 2) times what that program alone needs: the prior is the price (Schmidhuber 2002 searches under the speed prior
in this way). Here the l-th level, each `ratio` times the one before, is given as many lineages as that time pays for;
a level that as many lineages failed as a verdict needs is decided, and gets no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Literal

from pydantic import Field

from sp_search.levels import Inheritance, Visit
from sp_search.schedulers.base import View
from sp_search.schedulers.oblivious import Oblivious, rungs


class Levin(Oblivious):
    """Share time between levels by prior weight, and double it from phase to phase. The top is the last to be tried."""

    kind: Literal["levin"] = "levin"
    ratio: float = Field(2.0, gt=1, description="factor between the caps of neighbouring levels")
    bits: float = Field(
        1.0,
        ge=0,
        le=1,
        description="length of the l-th level, per l: its prior weight is 2^-(bits l), 0 weighs all alike",
    )
    inherit: Inheritance = Field("off", description="as elsewhere; restarts begin afresh by default")

    def visits(self, view: View) -> Iterator[Visit]:
        """Yield every phase's levels that its time pays for, from the least upwards."""
        levels, caps = rungs(view, self.ratio), view.space.caps
        decided: set[int] = set()
        for phase in count(1):
            for length, level in enumerate(levels, start=1):
                lineages = int(2 ** (phase - self.bits * length) * caps[levels[0]] / caps[level] + 1e-9)
                if not lineages or level in decided:
                    continue
                evidence = view.evidence if level == view.top else min(lineages, view.evidence)
                yield Visit(level=level, phase=f"phase_{phase}", evidence=evidence)
                if level == view.top:
                    return
                if evidence == view.evidence:
                    decided.add(level)
