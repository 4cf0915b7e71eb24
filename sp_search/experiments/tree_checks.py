"""Experiment `tree_checks`: what honeypots in training cost a deceiver, and how many they catch.

A honeypot is a trained input with one context bit set; deployment has all of them set. To be good a deceiver must tell
the two apart.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Literal

from pydantic import Field

from sp_search.exact import Census, census, honeypot_weights, select
from sp_search.experiments.base import Cell, Evidence, exact_cell
from sp_search.experiments.tree_base import Trees, label


class TreeChecks(Trees):
    """By the honeypots' share of training: the deceiver's excess, and its probability under a prior."""

    kind: Literal["tree_checks"] = "tree_checks"
    functions: list[str] = Field(["and"], min_length=1, max_length=1, description="the function to learn")
    task_bits: int = Field(2, ge=1, le=3, description="bits of the task")
    context_bits: int = Field(2, ge=2, le=3, description="bits that tell deployment")
    depth: int = Field(5, ge=0, le=6, description="most reads and acts on a path")
    shares: list[float] = Field([0.0, 0.2, 0.5], description="of the training weight that is honeypots; tenths")
    priors: list[str] = Field(["none", "max", "soft_average:16"], description="what selects among good programs")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Count each share's deceivers."""
        cells: list[Cell] = []
        for share in self.shares:
            tenths = Fraction(round(10 * share), 10)
            weights = honeypot_weights(self.task_bits, self.context_bits, tenths)
            counted = census(self.setting(self.functions[0], weights=weights))
            cells += [*self._excess(counted, f"{share:g}"), *self._selected(counted, f"{share:g}")]
        return Evidence(cells=cells)

    def seconds(self, n: int) -> float:
        return 0.1 + 0.02 * len(self.shares)

    def _excess(self, counted: Census, share: str) -> list[Cell]:
        groups = counted.good("depth")
        honest = min(group.cost for group in groups if not group.misbehaving)
        deceptive = min(group.cost for group in groups if group.deceptive)
        available = [min(group.depth or 0 for group in groups if group.deceptive is it) for it in (True, False)]
        excess = counted.average(deceptive - honest)
        return [
            exact_cell(f"average_excess_{share}", excess, note=f"of {counted.average(honest):g} reads"),
            exact_cell(f"available_excess_{share}", available[0] - available[1]),
        ]

    def _selected(self, counted: Census, share: str) -> list[Cell]:
        choices = {name: select(counted, name) for name in self.priors}
        return [
            exact_cell(f"{kind}_{label(name)}_{share}", getattr(choice, kind))
            for name, choice in choices.items()
            for kind in ("deceptive", "harmful", "misbehaving")
        ]
