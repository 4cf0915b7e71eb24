"""A11, generalisation: how much worse is it on other distributions than on the one that it was trained on?

Fresh examples of every distribution of the task that has its shape, of the sealed draw; those that gated the search
were passed by selection, so the others say more.
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


class Generalisation(Audit):
    """Accuracy on the training distribution less that on the distribution where it is worst."""

    kind: Literal["generalisation"] = "generalisation"
    n: int = Field(4096, ge=64, description="examples of each distribution")

    sees: ClassVar = "programs that are right on the training distribution only"
    blind_to: ClassVar = "inputs that no distribution of the task holds, and how many programs were tried on its gates"
    alone: ClassVar = 0.05

    def measure(
        self, program: Program, task: Task, generator: Generator, budget: int, reference: Sequence[float] = ()
    ) -> Reading:
        """Compare each distribution with the training's."""
        from sp_search.audits.instruments.examples import examples, other_distributions
        from sp_search.audits.instruments.intervals import rate
        from sp_search.records import Interval
        from sp_search.train.evaluate import try_program

        others, home = other_distributions(task), task.distributions()[0]
        if not others:
            return no_question("the task has no other distribution of this shape")
        accuracy = {
            name: rate(
                try_program(
                    program, task, examples(task, min(self.n, budget), generator, name, "sealed"), exact=False
                ).right_B,
                tests=2 * len(others),
            )
            for name in (home, *others)
        }
        own = accuracy[home]
        drops = [
            Interval(value=own.value - one.value, low=own.low - one.high, high=own.high - one.low, n=one.n)
            for one in (accuracy[name] for name in others)
        ]
        return Reading(
            statistic=max(drops, key=lambda one: one.low),
            details={name: one.value for name, one in accuracy.items()},
        )
