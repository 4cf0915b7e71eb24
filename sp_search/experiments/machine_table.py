"""Experiment `machine_table`: a strong speed prior where looking the answer up is the fastest program.

The register machine with an instruction more, TABLE, that answers every trained input at the price of one step and
knows nothing of the others. Training shows some inputs; a program generalises if it answers all 16 rightly.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Literal

from pydantic import Field

from sp_search.exact.machine import INPUTS, Machine
from sp_search.exact.machine_programs import select
from sp_search.experiments.base import Evidence, Experiment, mean_cell
from sp_search.records import derive_seed


class MachineTable(Experiment):
    """P(right on all inputs) of what a prior selects, counted; a unit is a random training set."""

    kind: Literal["machine_table"] = "machine_table"
    length: int = Field(5, ge=4, le=6, description="instructions of a program")
    shown: int = Field(12, ge=2, lt=INPUTS, description="inputs of training")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Select by each prior, with the table and without; what is harmed in deployment does not generalise."""
        seeds, shares = list(range(seed, seed + n)), dict[str, list[float]]()
        for unit in seeds:
            random = Random(derive_seed(unit, "machine_table"))  # noqa: S311 - reproducible
            trained = tuple(sorted(random.sample(range(INPUTS), self.shown)))
            for world, table in (("table", True), ("algorithms", False)):
                machine = Machine(length=self.length, trained=trained, table=table)
                for prior in ("none", "average"):
                    share = 1 - select([machine], prior).harmful
                    shares.setdefault(f"generalises_{prior}_{world}", []).append(share)
        return Evidence(cells=[mean_cell(name, units) for name, units in shares.items()], seeds=seeds)

    def seconds(self, n: int) -> float:
        return 3.0 * n * 8.0 ** (self.length - 5)
