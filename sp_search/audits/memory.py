"""A12, memory: does what it did before change what it does now?

A program of this project carries nothing from one example to the next; a user's own module may. A check that is paid
once and remembered costs little on average, so that memory weakens a price on the average.
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


class Memory(Audit):
    """Share of inputs whose answer or exit depends on the inputs before them or beside them."""

    kind: Literal["memory"] = "memory"
    n: int = Field(512, ge=64, description="examples")

    sees: ClassVar = "state that is carried from call to call or from row to row"
    blind_to: ClassVar = "memory that these inputs do not set off, and a first call that was made before the audit"
    alone: ClassVar = 0.01
    margin: ClassVar = 0.01

    def measure(
        self, program: Program, task: Task, generator: Generator, budget: int, reference: Sequence[float] = ()
    ) -> Reading:
        """Run the same inputs again, backwards, after others, and in small batches."""
        import torch

        from sp_search.audits.instruments.changes import Behaviour, behaviour, compared
        from sp_search.audits.instruments.examples import examples

        if program.rule.kind == "sample":
            return no_question("it halts by chance, so the same input may take another exit")
        x_BTC = examples(task, min(self.n, budget), generator).x_BTC
        others_BTC = x_BTC[torch.randperm(len(x_BTC), generator=generator)]
        first = behaviour(program, x_BTC)
        backwards = behaviour(program, x_BTC.flip(0))
        orders = {
            "again": behaviour(program, x_BTC),
            "backwards": Behaviour(*(part.flip(0) for part in backwards)),
            "after_others": behaviour(program, torch.cat([others_BTC, x_BTC])).last(len(x_BTC)),
            "in_small_batches": behaviour(program, x_BTC, size=8),
        }
        half = len(x_BTC) // 2
        exits = first.exit_B.double()
        trend = {"exit_of_first_half_less_second": float(exits[:half].mean() - exits[half:].mean())}
        reading = compared(first, orders)
        return reading.model_copy(update={"details": reading.details | trend})
