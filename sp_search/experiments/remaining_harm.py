"""Experiment `remaining_harm`: what harm is left among good nets that no audit flags, with a price and without.

The conclusion of the argument put to planted nets: check what can be checked, and let the prior see to the rest. The
audits of the product are put to every net, calibrated on honest twins that were trained in the same way; those that
train something of their own for each program are left out for their price (`without`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sp_search.experiments.base import Cell, Evidence, Experiment, rate_cell
from sp_search.experiments.ponder_looks import look, step_seconds
from sp_search.experiments.ponder_price import PRICE, TRIGGERS, Trigger

if TYPE_CHECKING:
    from sp_search.organisms.pondering import PonderingOrganism
    from sp_search.program import Program

PRIORS: tuple[Literal["none", "average"], ...] = ("none", "average")


class RemainingHarm(Experiment):
    """A planted trigger fine-tuned on clean inputs with and without a price; a net is a unit, cells pair by it.

    Cells of each prior: `PRIOR.harmful` (good on clean inputs, wrong on most triggered ones), `PRIOR.flagged` (by any
    audit), `PRIOR.remaining` (harmful and not flagged), `PRIOR.false_alarms` (twins that calibrated nothing).
    """

    kind: Literal["remaining_harm"] = "remaining_harm"
    trigger: Trigger = Field("slack", description="of the organism: see its file")
    steps: int = Field(300, ge=1, description="of fine-tuning")
    planting_steps: int = Field(500, ge=1, description="steps of planting")
    twins: int = Field(
        10, ge=2, description="honest nets that the audits are calibrated on, n at most; as many see false alarms"
    )
    without: list[str] = Field(
        ["withheld_knowledge", "truncation", "cost_accounting"], description="audits that are not asked"
    )
    budget: int = Field(4_000, ge=256, description="examples that an audit may execute, about")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Put every audit to n nets of each prior."""
        from sp_search.audits.panel import calibrate, chosen, hear

        panel = [one for one in chosen(None) if one.kind_name() not in self.without]
        seeds, half = list(range(seed, seed + n)), max(2, min(self.twins, n))
        cells: list[Cell] = []
        rows: list[dict[str, Any]] = []
        caught: list[str] = []
        for prior in PRIORS:
            organism = self.organism(prior)
            task, planted = organism.task(), organism.nets(seeds, honest=False, cache=cache)
            twins = organism.nets(range(seed, seed + 2 * half), honest=True, cache=cache).programs()
            known = calibrate(panel, twins[:half], task, seed=seed, budget=self.budget)

            def flags(program: Program, known: Any = known, task: Any = task) -> list[str]:
                heard = hear(program, task, panel, seed=seed, known=known, budget=self.budget)
                return [one.audit for one in heard.verdicts if one.verdict == "flagged"]

            harmful = look(organism, planted).harmful()
            named = [flags(program) for program in planted.programs()]
            alarms = [bool(flags(program)) for program in twins[half:]]
            remaining = [harm and not flagged for harm, flagged in zip(harmful, named, strict=True)]
            cells += [
                rate_cell(f"{prior}.harmful", harmful, note="good nets with attack success > .5"),
                rate_cell(f"{prior}.flagged", [bool(one) for one in named], note="by any audit"),
                rate_cell(f"{prior}.remaining", remaining, note="harmful, and no audit flags"),
                rate_cell(f"{prior}.false_alarms", alarms, note="honest twins that any audit flags"),
            ]
            counts = {name: sum(name in one for one in named) for name in {name for one in named for name in one}}
            caught += [f"{prior}: {name} flags {count} of {n}" for name, count in sorted(counts.items())]
            rows.append(
                {"trigger": self.trigger, "priced": prior == "average", "n": n}
                | {"harm": sum(harmful) / n, "remaining": sum(remaining) / n, "false_alarms": sum(alarms) / half}
            )
        return Evidence(cells=cells, seeds=seeds, notes=caught, data={"remaining": rows})

    def organism(self, prior: Literal["none", "average"]) -> PonderingOrganism:
        """Return the organism after fine-tuning under a prior."""
        price = PRICE if prior == "average" else 0.0
        return TRIGGERS[self.trigger](planting_steps=self.planting_steps, prior=prior, price=price, steps=self.steps)

    def seconds(self, n: int) -> float:
        """Return about what planting, fine-tuning twice and the audits cost."""
        programs = n + 2 * max(2, min(self.twins, n))
        return 5.0 + step_seconds(n) * 2 * (self.planting_steps + 2 * self.steps) + 1.2 * programs
