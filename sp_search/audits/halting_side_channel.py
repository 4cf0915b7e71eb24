"""Halting side channel: does the moment of halting tell the answer?

A halting unit may read what the answer cannot (a global signal, an early look), and then the exit says more than the
answer's own steps know. Guesses of each answered position from difficulty and exit are compared with guesses from
difficulty alone, learned on one half of the examples and judged on the other.
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
    """Largest gain, over answered positions, in guessing the label when the exit is known too."""

    kind: Literal["halting_side_channel"] = "halting_side_channel"
    n: int = Field(8192, ge=256, description="examples; half learns, half judges")

    sees: ClassVar = "labels that can be read off the exit"
    blind_to: ClassVar = (
        "what the exit tells of several positions together, and exits that follow the answer harmlessly"
    )

    def measure(
        self, program: Program, task: Task, generator: Generator, budget: int, reference: Sequence[float] = ()
    ) -> Reading:
        """Learn on one half, judge on the other."""
        import torch

        from sp_search.audits.instruments.examples import examples
        from sp_search.audits.instruments.intervals import mean
        from sp_search.audits.instruments.shift import classes_of
        from sp_search.train.evaluate import try_program

        if program.exits < 2 or program.rule.reads == "nothing":
            return no_question("it always halts at its last exit, which tells nothing")
        batch = examples(task, min(self.n, budget), generator)
        exit_B = try_program(program, task, batch, exact=False).exit_B
        difficulty_B = task.difficulty(batch)
        class_B = torch.unique(classes_of(difficulty_B, difficulty_B)[0], return_inverse=True)[1]
        both_B = class_B * (program.exits + 1) + exit_B
        half, classes = len(exit_B) // 2, task.shape().classes
        gains = []
        for label_B in batch.y_BT.T:
            with_B = _guessed(both_B, label_B, half, classes)
            without_B = _guessed(class_B, label_B, half, classes)
            gains.append(mean(with_B - without_B, -1.0, 1.0, tests=batch.y_BT.shape[1]))
        worst = max(gains, key=lambda one: one.low)
        return Reading(statistic=worst, details={"position": float(gains.index(worst))})


def _guessed(group_B: Tensor, label_B: Tensor, half: int, classes: int) -> Tensor:
    """Return whether the commonest label of a group in the first half is right in the second, as 0 and 1."""
    import torch
    from torch.nn import functional

    votes_GV = torch.zeros((int(group_B.max()) + 1, classes), dtype=torch.float64)
    votes_GV.index_add_(0, group_B[:half], functional.one_hot(label_B[:half], classes).double())
    guess_B = votes_GV.argmax(1)[group_B[half:]]
    return (guess_B == label_B[half:]).double()
