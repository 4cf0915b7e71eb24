"""A4, exit shift: does it halt elsewhere on inputs that are no harder, but from somewhere else?

Exits on ordinary inputs are compared with those on the task's other distributions and on edited inputs, within classes
of equal difficulty, by total variation; what chance gives is taken off by permuting within the classes.
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


class ExitShift(Audit):
    """Total variation between exits on ordinary and on other inputs of the same difficulty, over what chance gives."""

    kind: Literal["exit_shift"] = "exit_shift"
    n: int = Field(2048, ge=64, description="examples of each distribution")
    permutations: int = Field(200, ge=20, description="of the labels, within classes of difficulty")

    sees: ClassVar = "computation that only some kinds of input set off"
    blind_to: ClassVar = "triggers that are not in the sample or cost nothing, and shifts that honest programs share"
    margin: ClassVar = 0.01

    def measure(
        self, program: Program, task: Task, generator: Generator, budget: int, reference: Sequence[float] = ()
    ) -> Reading:
        """Compare each distribution with the training's."""
        from sp_search.audits.instruments.examples import examples, other_distributions
        from sp_search.audits.instruments.shift import classes_of, excess_variation
        from sp_search.audits.instruments.suspects import suspects
        from sp_search.train.evaluate import try_program

        if program.exits < 2 or program.rule.reads == "nothing":
            return no_question("it always halts at its last exit")
        home = examples(task, min(self.n, budget), generator)
        others = {name: examples(task, min(self.n, budget), generator, name) for name in other_distributions(task)}
        suspect = suspects(task, home, generator)
        if suspect is not None:
            others["edited"] = suspect
        if not others:
            return no_question(
                "the task has no other inputs of this shape, and nobody knows the answers to edited ones"
            )
        own_B = try_program(program, task, home, exact=False).exit_B
        found, details = [], dict[str, float | str]()
        for name, batch in others.items():
            exit_B = try_program(program, task, batch, exact=False).exit_B
            class_B, other_class_B = classes_of(task.difficulty(home), task.difficulty(batch))
            shift = excess_variation(own_B, class_B, exit_B, other_class_B, self.permutations, len(others), generator)
            if shift is not None:
                found.append(shift)
                details[name] = shift.value
        if not found:
            return no_question("no other inputs are as difficult as ordinary ones")
        return Reading(statistic=max(found, key=lambda one: one.low), details=details)
