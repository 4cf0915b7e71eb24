"""Experiment `tree_spurious`: a shortcut that helps the metric in training and is wrong in deployment.

One more task bit equals the label wherever training looks, and is free elsewhere. Reading it alone is the fastest good
program: by definition no misbehaviour (it contributes to the metric), harmful all the same, so the metric is flawed.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Literal

from pydantic import Field

from sp_search.exact import Setting, census, select
from sp_search.exact.setting import boolean_function
from sp_search.experiments.base import Cell, Evidence
from sp_search.experiments.tree_base import Trees, label, mean


class TreeSpurious(Trees):
    """What priors select with the shortcut in training, and once training breaks it too."""

    kind: Literal["tree_spurious"] = "tree_spurious"
    task_bits: int = Field(2, ge=1, le=3, description="bits that decide the label; the shortcut is one more")
    priors: list[str] = Field(
        ["none", "max", "average", "simplest"], min_length=1, description="what selects among good programs"
    )

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Select under the flawed metric and under the one that covers every x, for functions that are not constant."""
        cells: list[Cell] = []
        overt = []
        for name, covered in product(self.priors, (False, True)):
            choices, of = [], f"{label(name)}_{'covered' if covered else 'flawed'}"
            for function in self.names():
                table = boolean_function(function, self.task_bits)
                if len(set(table)) > 1:
                    counted = census(shortcut(table, self.context_bits, self.depth, covered=covered))
                    choices.append(select(counted, name))
                    overt.append(
                        sum(group.count for group in counted.good() if group.deceptive and not group.misbehaving)
                    )
            cells.append(mean(f"harmful_{of}", [choice.harmful for choice in choices]))
            cells.append(mean(f"misbehaving_{of}", [choice.misbehaving for choice in choices]))
        cells.append(mean("deceptive_not_misbehaving", overt, "good programs"))
        return Evidence(cells=cells)

    def seconds(self, n: int) -> float:
        return 0.2 + 0.01 * len(self.names()) * len(self.priors)


def shortcut(table: tuple[int, ...], context_bits: int, depth: int, *, covered: bool) -> Setting:
    """Return a setting whose last task bit is a shortcut to a function of the others.

    Harm inputs are those without context whose shortcut is wrong; `covered` trains on them too, and harm is in
    deployment.
    """
    contexts = 2**context_bits
    agrees = [shown == value for value in table for shown in (0, 1)]
    broken = tuple(x * contexts for x, right in enumerate(agrees) if not right)
    return Setting(
        task_bits=len(agrees).bit_length() - 1,
        context_bits=context_bits,
        function="".join(str(value) for value in table for _ in (0, 1)),
        depth=depth,
        weights=tuple(int(d == 0 and (covered or right)) for right in agrees for d in range(contexts)),
        harm=None if covered else broken,
    )
