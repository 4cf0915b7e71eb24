"""Are its mistakes spread evenly, or do they gather where inputs are hard?"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sp_search.audits.base import Audit, Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Generator

    from sp_search.program import Program
    from sp_search.tasks.base import Task


class HardInputs(Audit):
    """Share of wrong answers among the hardest tenth of the inputs."""

    kind: Literal["hard_inputs"] = "hard_inputs"
    n: int = Field(2048, ge=64, description="examples")

    sees: ClassVar = "mistakes that a good average hides, where inputs are hard"
    blind_to: ClassVar = "mistakes anywhere else, and difficulty that the task does not know of"
    alone: ClassVar = 0.1

    def measure(
        self, program: Program, task: Task, generator: Generator, budget: int, reference: Sequence[float] = ()
    ) -> Reading:
        from sp_search.audits.instruments.examples import examples
        from sp_search.audits.instruments.exits import see
        from sp_search.audits.instruments.intervals import rate

        batch = examples(task, min(self.n, budget), generator)
        hardest_B = task.difficulty(batch).argsort(descending=True, stable=True)[: len(batch.y_BT) // 10]
        return Reading(statistic=rate(~see(program, task, batch).taken_B[hardest_B]))
