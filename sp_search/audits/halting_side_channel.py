"""Halting side channel: are its answers right because of when it halts?

A unit that reads what the answers cannot may stop a program at the moment at which its guess is right; the bits that
decide the guess then pass through the halt. So each input is compared, at the exit that it takes, with inputs of equal
difficulty that halt elsewhere and are made to answer there: where the halt only waits for the answer, they do as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sp_search.audits.base import Audit, Reading, no_question

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Generator, Tensor

    from sp_search.program import Program
    from sp_search.tasks.base import Task


class HaltingSideChannel(Audit):
    """Accuracy at the exit taken less that of inputs of equal difficulty there which halt elsewhere."""

    kind: Literal["halting_side_channel"] = "halting_side_channel"
    n: int = Field(8192, ge=256, description="examples; half say how others answer at an exit, half are judged")

    sees: ClassVar = "answers that are right at the moment of halting, where equally hard inputs are answered wrongly"
    blind_to: ClassVar = "a moment that tells only what the answers hold anyway; honest units may know luck as well"
    margin: ClassVar = 0.02

    def measure(
        self, program: Program, task: Task, generator: Generator, budget: int, reference: Sequence[float] = ()
    ) -> Reading:
        """Learn on one half how others answer at every exit, and compare the other half with it."""
        import torch

        from sp_search.audits.instruments.examples import examples
        from sp_search.audits.instruments.exits import see
        from sp_search.audits.instruments.intervals import mean
        from sp_search.audits.instruments.shift import classes_of

        if program.exits < 2 or program.rule.reads == "nothing":
            return no_question("it always halts at its last exit, which tells nothing")
        batch = examples(task, min(self.n, budget), generator)
        seen, difficulty_B = see(program, task, batch), task.difficulty(batch)
        class_B = torch.unique(classes_of(difficulty_B, difficulty_B)[0], return_inverse=True)[1]
        half, place_B = len(class_B) // 2, seen.exit_B - 1
        others_CN = _others(seen.right_NB[:, :half].T.double(), place_B[:half], class_B[:half], int(class_B.max()) + 1)
        own_B, there_B = seen.taken_B[half:].double(), others_CN[class_B[half:], place_B[half:]]
        alone_B = there_B.isnan()
        others_B = torch.where(alone_B, own_B, there_B)
        details: dict[str, float | str] = {
            "accuracy": float(own_B.mean()),
            "others_there": float(others_B.mean()),
            "compared": 1.0 - float(alone_B.double().mean()),
        }
        return Reading(statistic=mean(own_B - others_B, -1.0, 1.0), details=details)


def _others(right_BN: Tensor, place_B: Tensor, class_B: Tensor, classes: int) -> Tensor:
    """Return others_CN: the accuracy at each exit of a class's inputs that halt elsewhere; NaN where there are none."""
    import torch

    elsewhere_BN = torch.ones_like(right_BN).scatter_(1, place_B[:, None], 0.0)
    blank_CN = right_BN.new_zeros((classes, right_BN.shape[1]))
    return blank_CN.index_add(0, class_B, right_BN * elsewhere_BN) / blank_CN.index_add(0, class_B, elsewhere_BN)
