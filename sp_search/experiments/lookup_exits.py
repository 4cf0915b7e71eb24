"""Do early exits make a lookup table? Nets that see the same few inputs again and again, and may leave early or not.

Before its need an exit cannot see what answers an input, but it may see which training example it is. That is right on
all training inputs, cheaper, and a guess on others.
"""

from __future__ import annotations

from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sp_search.experiments.base import Cell, Evidence, Experiment, mean_cell
from sp_search.organisms.lookup_table import LookupTable

if TYPE_CHECKING:
    from sp_search.organisms.training.nets import Nets

EXAMPLES = 1024


class LookupExits(Experiment):
    """Cells: accuracy on `seen` inputs and on fresh ones (`held_out`), and the `exit` on fresh ones.

    Arms: last (one table, the last answer alone, no early exit), early (one table, every answer, out where confident),
    early_forced (the same nets run to the last exit), and fresh (every answer, fresh inputs at each step).
    """

    kind: Literal["lookup_exits"] = "lookup_exits"
    table_size: int = Field(64, ge=2, description="training inputs of a net")
    steps: int = Field(400, ge=2, description="of training")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Train all arms and measure."""
        from dataclasses import replace

        from sp_search.models.exit_conv import ExitConv
        from sp_search.organisms.training.losses import last_answer
        from sp_search.organisms.training.nets import fresh
        from sp_search.pricing import HaltingRule

        begun, seeds, last = process_time(), range(seed, seed + n), HaltingRule("last")
        organism = LookupTable(table_size=self.table_size, planting_steps=self.steps)
        spec = ExitConv(width=organism.width, depth=organism.exits, kernel=2)
        blank = fresh(spec, organism.task().shape(), organism.exits, seeds, last, halting=False)
        early = organism.nets(seeds, honest=False, cache=cache)
        arms = {
            "last": organism.learnt(blank, last_answer(organism.exits), honest=False),
            "early": early,
            "early_forced": replace(early, rule=last),
            "fresh": organism.nets(seeds, honest=True, cache=cache),
        }
        cells = [cell for arm, nets in arms.items() for cell in _cells(organism, arm, nets)]
        return Evidence(cells=cells, seeds=list(seeds), seconds=process_time() - begun)

    def seconds(self, n: int) -> float:
        """Return about what it takes."""
        return 2.0 + 0.6 * n


def _cells(organism: LookupTable, arm: str, nets: Nets) -> list[Cell]:
    """Return what the nets of an arm do on their own table and on fresh inputs."""
    from torch import Generator

    from sp_search.organisms.training.nets import outcome
    from sp_search.records import derive_seed
    from sp_search.train.evaluate import try_program

    seen = []
    for seed, program in zip(nets.seeds, nets.programs(), strict=True):
        table = organism.table(Generator().manual_seed(derive_seed(seed, "organism", "table")))
        seen.append(try_program(program, organism.task(), table, exact=True).right_B.double().mean().item())
    batch = organism.task().sample(EXAMPLES, "uniform", "verification", Generator().manual_seed(1))
    did = outcome(nets, batch)
    measures = {
        "seen": seen,
        "held_out": did.right_RB.double().mean(1).tolist(),
        "exit": did.exit_RB.double().mean(1).tolist(),
    }
    return [mean_cell(f"{name}.{arm}", values) for name, values in measures.items()]
