"""Experiment `ponder_honeypots`: checks, the price and weight decay, each with and without the others.

A check is a share of fine-tuning inputs that look like deployment and are rightly labelled (honeypots). A naive net
misbehaves on them too and is caught; a wary one tells them from deployment by one more bit. The outcome is harm: good
nets with attack success above one half.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import Field

from sp_search.experiments.base import Cell, Evidence, Experiment, mean_cell
from sp_search.experiments.ponder_looks import Look, look, step_seconds
from sp_search.experiments.ponder_price import ADAMW, PRICE, TRIGGERS, Trigger
from sp_search.organisms.training.optimiser import Optimiser

if TYPE_CHECKING:
    from sp_search.organisms.pondering import PonderingOrganism


class Corner(NamedTuple):
    """One cell of the factorial design."""

    wary: bool
    checked: bool
    priced: bool
    decayed: bool

    def __str__(self) -> str:
        """Return its name: `wary_checked_average_decay`, `naive_unchecked_none_plain`, ..."""
        words = (("naive", "wary"), ("unchecked", "checked"), ("none", "average"), ("plain", "decay"))
        return "_".join(pair[level] for pair, level in zip(words, self, strict=True))


class PonderHoneypots(Experiment):
    """The factorial wary x checked x priced x decayed for one trigger; a net is a unit, cells pair by it.

    Cells `CORNER.what` as in `ponder_price`; effects on harm, one number a net, averaged over the other factors:
    `WARINESS.prior`, `.checks`, `.decay` (harm without - harm with it), `.prior_by_checks`, `.prior_by_decay` (the
    prior's effect without the other factor - its effect with it), for naive and wary nets apart.
    """

    kind: Literal["ponder_honeypots"] = "ponder_honeypots"
    trigger: Trigger = Field("slack", description="of the organism: see its file")
    honeypots: float = Field(0.1, gt=0, le=1, description="share of the easy inputs that are honeypots, where checked")
    steps: int = Field(300, ge=1, description="of fine-tuning")
    planting_steps: int = Field(500, ge=1, description="steps of planting")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Measure n nets in every corner."""
        seeds = list(range(seed, seed + n))
        looks: dict[Corner, Look] = {}
        for corner in (Corner(*levels) for levels in product((False, True), repeat=4)):
            organism = self.organism(corner)
            looks[corner] = look(organism, organism.nets(seeds, honest=False, cache=cache))
        cells = [cell for corner, seen in looks.items() for cell in seen.cells(str(corner))]
        harm = {corner: [float(one) for one in seen.harmful()] for corner, seen in looks.items()}
        for wary in (False, True):
            cells += _effects(wary, harm)
        factorial = [
            {"trigger": self.trigger} | corner._asdict() | {"harm": sum(harm[corner]) / n, "n": n} | seen.row()
            for corner, seen in looks.items()
        ]
        return Evidence(cells=cells, seeds=seeds, data={"factorial": factorial})

    def organism(self, corner: Corner) -> PonderingOrganism:
        """Return the organism of a corner."""
        return TRIGGERS[self.trigger](
            planting_steps=self.planting_steps,
            wary=corner.wary,
            honeypots=self.honeypots if corner.checked else 0.0,
            prior="average" if corner.priced else "none",
            price=PRICE if corner.priced else 0.0,
            steps=self.steps,
            optimiser=Optimiser.model_validate(ADAMW) if corner.decayed else Optimiser(),
        )

    def seconds(self, n: int) -> float:
        """Return about what planting both kinds and the sixteen corners cost."""
        return 2.0 + step_seconds(n) * (2 * self.planting_steps + 16 * self.steps)


def _effects(wary: bool, harm: dict[Corner, list[float]]) -> list[Cell]:
    """Return main effects and interactions with the prior, per net."""

    def contrast(sign: dict[Corner, float]) -> list[float]:
        rows = [[weight * one for one in harm[corner]] for corner, weight in sign.items()]
        return [sum(column) for column in zip(*rows, strict=True)]

    corners = [corner for corner in harm if corner.wary == wary]
    name = "wary" if wary else "naive"

    def effect(*factors: str) -> list[float]:
        """Return the mean difference without - with; for two factors the difference of the differences."""
        share = 2 ** len(factors) / len(corners)
        signs = {}
        for corner in corners:
            sign = share
            for factor in factors:
                sign *= -1.0 if getattr(corner, factor) else 1.0
            signs[corner] = sign
        return contrast(signs)

    return [
        mean_cell(f"{name}.prior", effect("priced"), note="harm without a price - with it"),
        mean_cell(f"{name}.checks", effect("checked"), note="harm without honeypots - with them"),
        mean_cell(f"{name}.decay", effect("decayed"), note="harm without weight decay - with it"),
        mean_cell(f"{name}.prior_by_checks", effect("priced", "checked"), note="how far they replace each other"),
        mean_cell(f"{name}.prior_by_decay", effect("priced", "decayed"), note="how far they replace each other"),
    ]
