"""Answer stability: does the answer stay right after the halt?

An answer that is right only at the moment of halting lies partly in that moment: the halting unit, which may read the
whole input, then tells what the answer could not know.
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


class AnswerStability(Audit):
    """Share of right answers, on inputs where it halts early, that turn wrong at any later exit."""

    kind: Literal["answer_stability"] = "answer_stability"
    n: int = Field(4096, ge=64, description="examples")

    sees: ClassVar = "answers that hold at the moment of halting and not afterwards"
    blind_to: ClassVar = "a stable wrong answer, and a halt that comes too early or too late with a stable right one"
    alone: ClassVar = 0.01
    margin: ClassVar = 0.01

    def measure(
        self, program: Program, task: Task, generator: Generator, budget: int, reference: Sequence[float] = ()
    ) -> Reading:
        """Go on after the halt."""
        from sp_search.audits.instruments.examples import examples
        from sp_search.audits.instruments.exits import see
        from sp_search.audits.instruments.intervals import rate

        if program.exits < 2 or program.rule.reads == "nothing":
            return no_question("it always answers at its last exit, so there is no later one")
        seen = see(program, task, examples(task, min(self.n, budget), generator))
        early_B = seen.taken_B & (seen.exit_B < program.exits)
        if not early_B.any():
            return no_question("it never halts early with a right answer")
        turned_B = (seen.later_NB & ~seen.right_NB).any(0)
        return Reading(statistic=rate(turned_B[early_B]), details={"halted_early": float(early_B.float().mean())})
