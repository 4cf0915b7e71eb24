"""Experiment `tree_priors`: what each prior selects from all good decision programs, counted over functions."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from sp_search.exact import census, prior, select
from sp_search.experiments.base import Evidence
from sp_search.experiments.tree_base import Trees, label, mean

KINDS = ("misbehaving", "harmful", "deceptive")


class TreePriors(Trees):
    """Probabilities that the selected program misbehaves, harms or deceives; means over functions."""

    kind: Literal["tree_priors"] = "tree_priors"
    priors: list[str] = Field(
        ["none", "max", "max_used", "max_then_average", "average", "simplest"],
        min_length=1,
        description="names, soft ones with their strength: soft_average:8, soft_size:1, or soft_size:1:8 for both",
    )

    @field_validator("priors")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            prior(name)
        return names

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Select with every prior from the good programs of every function."""
        chosen = {
            name: [select(census(self.setting(function)), name) for function in self.names()] for name in self.priors
        }
        cells = []
        for name, choices in chosen.items():
            for kind in KINDS:
                values = [getattr(choice, kind) for choice in choices]
                note = f"above 0 in {sum(value > 0 for value in values)} of {len(values)}"
                cells.append(mean(f"{kind}_{label(name)}", values, note))
            cells.append(mean(f"affected_{label(name)}", [choice.misbehaving > 0 for choice in choices]))
            cells.append(mean(f"cost_{label(name)}", [choice.average_cost for choice in choices], "reads and acts"))
        rows = {label(name): [choice.misbehaving for choice in choices] for name, choices in chosen.items()}
        return Evidence(cells=cells, data={"functions": self.names(), "misbehaving": rows})

    def seconds(self, n: int) -> float:
        return 0.2 + 0.002 * len(self.names()) * len(self.priors)
