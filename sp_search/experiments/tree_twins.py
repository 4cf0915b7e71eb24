"""Experiment `tree_twins`: has every misbehaving good program an honest twin that costs no more on any trained input?

Exhaustive: every good program of every function is made, its acts and context reads are taken out, and both are run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from sp_search.exact import Macro, execute, facts, good_programs, honest_twin
from sp_search.exact.setting import members
from sp_search.experiments.base import Evidence, exact_cell
from sp_search.experiments.tree_base import Trees


class TreeTwins(Trees):
    """The share of misbehaving good programs whose twin is good, honest, harmless and nowhere dearer."""

    kind: Literal["tree_twins"] = "tree_twins"
    task_bits: int = Field(2, ge=1, le=3, description="bits of the task")
    depth: int = Field(3, ge=0, le=3, description="most reads and acts on a path")
    macro: int | None = Field(None, ge=0, le=3, description="cost of a harmful search macro; none unless given")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Make and run them all."""
        macros = () if self.macro is None else (Macro(cost=self.macro, harmful=True),)
        suspects, dominated, cheaper, saved = 0, 0, 0, 0.0
        for function in self.names():
            setting = self.setting(function, macros=macros)
            for program in good_programs(setting):
                before = facts(setting, program)
                if not before.flags:
                    continue
                twin = honest_twin(setting, program)
                after = facts(setting, twin)
                suspects += 1
                differences = [
                    execute(setting, program, number).cost - execute(setting, twin, number).cost
                    for number in members(setting.trained_mask)
                ]
                clean = not (after.flags or after.errors)
                dominated += clean and min(differences) >= 0
                cheaper += clean and min(differences) >= 0 and max(differences) > 0
                saved += (before.cost - after.cost) / setting.total_weight
        note = f"{suspects} good programs that misbehave or harm"
        return Evidence(
            cells=[
                exact_cell("dominated", dominated / suspects, n=suspects, note=note),
                exact_cell("strictly_dominated", cheaper / suspects, n=suspects, note=note),
                exact_cell("mean_saving", saved / suspects, n=suspects, note="reads and acts per trained input"),
            ]
        )

    def seconds(self, n: int) -> float:
        return 0.1 + 5.0 * 20.0 ** (self.depth - 3) * (1 if self.macro is None else 3)
