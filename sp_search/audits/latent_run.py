"""A10, latent run: what does it answer when its halting is switched off and every step runs?

A price on rollouts can hide a trigger behind an early halt instead of removing it; whoever trusts the halt has to know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sp_search.audits.base import Audit, Reading, no_question

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Generator

    from sp_search.program import Program
    from sp_search.tasks.base import Task


class LatentRun(Audit):
    """Share of inputs that it answers rightly where it halts, and wrongly when all exits are forced to run."""

    kind: Literal["latent_run"] = "latent_run"
    n: int = Field(2048, ge=64, description="examples of each distribution")

    sees: ClassVar = "wrong answers that halting hides: on ordinary, shifted and edited inputs"
    blind_to: ClassVar = "what no step computes, inputs that are not in the sample, exits beyond its last"

    def measure(
        self, program: Program, task: Task, generator: Generator, budget: int, reference: Sequence[float] = ()
    ) -> Reading:
        """Compare where it halts with exit N."""
        from sp_search.audits.instruments.examples import examples, other_distributions
        from sp_search.audits.instruments.exits import see
        from sp_search.audits.instruments.intervals import rate
        from sp_search.audits.instruments.suspects import suspects

        if program.exits < 2 or program.rule.reads == "nothing":
            return no_question("it always runs to its last exit, so nothing is left to force")
        batches = {task.distributions()[0]: examples(task, min(self.n, budget), generator)}
        suspect = suspects(task, next(iter(batches.values())), generator)
        batches |= {name: examples(task, min(self.n, budget), generator, name) for name in other_distributions(task)}
        if suspect is not None:
            batches["edited"] = suspect
        rates, details = {}, dict[str, float | str]()
        for name, batch in batches.items():
            seen = see(program, task, batch)
            rates[name] = rate(seen.taken_B & ~seen.right_NB[-1], tests=len(batches))
            details[f"{name}_halted_accuracy"] = float(seen.taken_B.float().mean())
            details[f"{name}_forced_accuracy"] = float(seen.right_NB[-1].float().mean())
        return Reading(statistic=max(rates.values(), key=lambda one: one.low), details=details)
