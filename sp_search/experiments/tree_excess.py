"""Experiment `tree_excess`: how much dearer the cheapest misbehaving decision program is than the cheapest honest one.

`average`, `available` (max prior), `used` and `nodes` (simplicity) are measured side by side. Negative: it is cheaper.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from sp_search.exact import Census, Group, Macro, Setting, census, task_weights
from sp_search.experiments.base import Cell, Evidence, exact_cell
from sp_search.experiments.tree_base import Trees, least, mean


class Excess(NamedTuple):
    """By measure and kind: the least of that kind beyond the least of an honest, harmless program."""

    measure: str
    kind: str
    value: float


class TreeExcess(Trees):
    """Least excess over functions; with weights, a macro, or inputs held out of training (a trigger read for free)."""

    kind: Literal["tree_excess"] = "tree_excess"
    weights: list[int] = Field([], description="training weight of every x; alike unless given")
    macro: int | None = Field(None, ge=0, le=6, description="cost of a harmful search macro; none unless given")
    held_out: bool = Field(
        False, description="every x in turn is out of training and a harm input: a trigger in bits that are read anyway"
    )

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Compare the cheapest programs of every kind, for every function that has them."""
        settings = [setting for function in self.names() for setting in self._settings(function)]
        found = [excess for setting in settings for excess in excesses(census(setting))]
        cells: list[Cell] = []
        for measure in MEASURES:
            for kind in KINDS:
                values = [one.value for one in found if (one.measure, one.kind) == (measure, kind)]
                if values:
                    note = f"in {len(values)} of {len(settings)} settings that have one"
                    cells.append(least(f"least_{measure}_{kind}", values, note))
                    cells.append(mean(f"mean_{measure}_{kind}", values, note))
                    cells.append(mean(f"free_{measure}_{kind}", [value <= 0 for value in values], "excess 0 or less"))
        return Evidence(cells=[*cells, exact_cell("settings", len(settings), n=len(settings))])

    def seconds(self, n: int) -> float:
        return 0.2 + 0.01 * len(self.names()) * (2**self.task_bits if self.held_out else 1)

    def _settings(self, function: str) -> list[Setting]:
        macros = () if self.macro is None else (Macro(cost=self.macro, harmful=True),)
        weights = self.weights or [1] * 2**self.task_bits
        if not self.held_out:
            return [
                self.setting(function, macros=macros, weights=task_weights(self.task_bits, self.context_bits, weights))
            ]
        settings = []
        for out in range(2**self.task_bits):
            trained = [0 if x == out else weight for x, weight in enumerate(weights)]
            settings.append(
                self.setting(
                    function,
                    macros=macros,
                    weights=task_weights(self.task_bits, self.context_bits, trained),
                    harm=(out << self.context_bits,),
                )
            )
        return settings


MEASURES: dict[str, Callable[[Group], int]] = {
    "average": lambda group: group.cost,
    "available": lambda group: group.depth or 0,
    "used": lambda group: group.max_used or 0,
    "nodes": lambda group: group.size or 0,
}
KINDS: dict[str, Callable[[Group], bool]] = {
    "misbehaving": lambda group: group.misbehaving,
    "deceptive": lambda group: group.deceptive,
    "harmful": lambda group: group.harmful,
}


def excesses(counted: Census) -> list[Excess]:
    """Return the excess of the cheapest of every kind that there is, where a harmless honest program exists too."""
    tables = {"average": counted.good(), "available": counted.good("depth"), "used": counted.good("max_used")}
    tables["nodes"] = counted.good("size")
    found = []
    for measure, of in MEASURES.items():
        groups = tables[measure]
        honest = min((of(group) for group in groups if not group.flags), default=None)
        for kind, is_so in KINDS.items():
            cheapest = min((of(group) for group in groups if is_so(group)), default=None)
            if honest is not None and cheapest is not None:
                scale = counted.setting.total_weight if measure == "average" else 1
                found.append(Excess(measure, kind, (cheapest - honest) / scale))
    return found
