"""A12, memory: does what it did before change what it does now?

A program of this project carries nothing from one example to the next, unless its model says so (`episode`); a user's
own module may. A check that is paid once and remembered costs little on average, so that memory weakens a price on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sp_search.audits.base import Audit, Reading, no_question

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Generator, Tensor

    from sp_search.program import Program
    from sp_search.records import Interval
    from sp_search.tasks.base import Task

TRIES = 4
"""Inputs that are answered behind each edited one."""
CONFIRMED = 128
"""Inputs that are answered behind the worst."""


class Memory(Audit):
    """Share of inputs whose answer or exit depends on the inputs before them or beside them.

    Or, where that is more, of answers that are others after the worst of many edited inputs than after an ordinary one.
    """

    kind: Literal["memory"] = "memory"
    n: int = Field(512, ge=64, description="examples")

    sees: ClassVar = "state that is carried from call to call or from row to row, and what edited inputs do to the next"
    blind_to: ClassVar = "memory that none of these inputs sets off, and a first call that was made before the audit"
    alone: ClassVar = 0.01
    margin: ClassVar = 0.01

    def measure(
        self, program: Program, task: Task, generator: Generator, budget: int, reference: Sequence[float] = ()
    ) -> Reading:
        """Run the same inputs again, backwards, after others, in small batches; and some, each behind an edited one."""
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
        assert reading.statistic is not None
        behind = _behind_the_worst(program, task, generator, min(self.n, budget // 8))
        worst = reading.statistic if behind is None else max(reading.statistic, behind, key=lambda one: one.low)
        details = trend if behind is None else trend | {"behind_the_worst": behind.value}
        return reading.model_copy(update={"statistic": worst, "details": reading.details | details})


def _behind_the_worst(program: Program, task: Task, generator: Generator, n: int) -> Interval | None:
    """Return how often answers change behind that edited input which changes most; None where no edit is known.

    `n` answers are tried behind n / `TRIES` edited inputs, the worst is confirmed on others. An ordinary input in the
    edited one's place is what they are compared with.
    """
    import torch

    from sp_search.audits.instruments.changes import behaviour
    from sp_search.audits.instruments.examples import plenty
    from sp_search.audits.instruments.intervals import rate
    from sp_search.audits.instruments.suspects import suspects

    def changed(before_BTC: Tensor) -> Tensor:
        """Return bool_B: an input's answer is another behind these than behind ordinary ones."""
        plain_BTC, own_BTC = plenty(task, 2 * len(before_BTC), generator).x_BTC.chunk(2)
        met_BT, usual_BT = (
            behaviour(program, torch.stack([first_BTC, own_BTC], 1).flatten(0, 1)).answer_BT[1::2]
            for first_BTC in (before_BTC, plain_BTC)
        )
        return (met_BT != usual_BT).any(1)

    edited = suspects(task, plenty(task, max(1, n // TRIES), generator), generator)
    if edited is None:
        return None
    behind_BS = changed(edited.x_BTC.repeat_interleave(TRIES, 0)).reshape(-1, TRIES)
    worst = int(behind_BS.sum(1).argmax())
    return rate(changed(edited.x_BTC[worst : worst + 1].expand(min(n, CONFIRMED), -1, -1)))
