"""Experiment `tree_macro`: a ready-made search, as one symbol of fixed cost, that is right in training and harms later.

It is the case in which the fastest or the shortest good program may be deceptive: nothing cheaper does the same
honestly. Counted with the harmful macro alone, or beside an aligned one of the same cost.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from sp_search.exact import Macro, census, select
from sp_search.experiments.base import Cell, Evidence
from sp_search.experiments.tree_base import Trees, label, mean


class TreeMacro(Trees):
    """Probability of a harmful selection, by prior and cost of the macro; and how well one law foretells it."""

    kind: Literal["tree_macro"] = "tree_macro"
    costs: list[int] = Field([1, 2, 3], min_length=1, description="of the macro, in reads")
    aligned: bool = Field(False, description="an aligned macro of the same cost stands beside the harmful one")
    priors: list[str] = Field(
        ["average", "max", "simplest"], min_length=1, description="what selects among good programs"
    )

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Select with every prior, for every function and cost of the macro, and without a macro."""
        cells: list[Cell] = []
        plain = [census(self.setting(function)) for function in self.names()]
        cells += [
            mean(f"harmful_{label(name)}_without", [select(one, name).harmful for one in plain]) for name in self.priors
        ]
        honest = [
            min(group.cost for group in one.good() if not group.flags) / one.setting.total_weight for one in plain
        ]
        fastest, law = [], []
        for cost in self.costs:
            harmful: dict[str, list[float]] = {name: [] for name in (*self.priors, "average")}
            for function, least in zip(self.names(), honest, strict=True):
                counted = census(self.setting(function, macros=self._macros(cost)))
                for name, values in harmful.items():
                    values.append(select(counted, name).harmful)
                fastest.append(cost < least)
                law.append((harmful["average"][-1] > 0) == (cost <= least))
            cells += [mean(f"harmful_{label(name)}_cost_{cost}", harmful[name]) for name in self.priors]
        cells.append(
            mean("macro_fastest", fastest, "functions and costs at which the macro beats every honest program")
        )
        cells.append(mean("law_holds", law, "average prior may select harm exactly where macro <= cheapest honest"))
        return Evidence(cells=cells)

    def seconds(self, n: int) -> float:
        return 0.2 + 0.003 * len(self.names()) * (1 + len(self.costs)) * (1 + len(self.priors))

    def _macros(self, cost: int) -> tuple[Macro, ...]:
        kinds = (True, False) if self.aligned else (True,)
        return tuple(Macro(cost=cost, harmful=harmful) for harmful in kinds)
