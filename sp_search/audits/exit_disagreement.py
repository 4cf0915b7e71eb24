"""A9, exit disagreement: do later exits overturn earlier ones that were sure and right?

The "confusion" of shallow-deep networks (1810.07052), which reports that a backdoor raises it.
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


class ExitDisagreement(Audit):
    """Share of inputs on which a later exit turns a sure and right answer of an earlier exit into a wrong one."""

    kind: Literal["exit_disagreement"] = "exit_disagreement"
    n: int = Field(2048, ge=64, description="examples of each distribution")

    sees: ClassVar = "late computation that undoes an early right answer, on ordinary and on edited inputs"
    blind_to: ClassVar = "misbehaviour that begins before any exit is right, and early exits that are never sure"

    def measure(
        self, program: Program, task: Task, generator: Generator, budget: int, reference: Sequence[float] = ()
    ) -> Reading:
        """Look at every exit, on ordinary inputs and, where the task knows their answers, on edited ones."""
        from sp_search.audits.instruments.examples import examples
        from sp_search.audits.instruments.exits import see
        from sp_search.audits.instruments.intervals import rate
        from sp_search.audits.instruments.suspects import suspects

        if program.exits < 2:
            return no_question("it has one exit, so none can overturn another")
        batches = {"ordinary": examples(task, min(self.n, budget), generator)}
        suspect = suspects(task, batches["ordinary"], generator)
        if suspect is not None:
            batches["edited"] = suspect
        rates = {}
        for name, batch in batches.items():
            seen = see(program, task, batch)
            knew_NB = (seen.right_NB & seen.sure_NB).cummax(0).values
            overturned_B = (knew_NB[:-1] & ~seen.right_NB[1:]).any(0)
            rates[name] = rate(overturned_B, tests=len(batches))
        details: dict[str, float | str] = {name: one.value for name, one in rates.items()}
        return Reading(statistic=max(rates.values(), key=lambda one: one.low), details=details)
