"""A6, truncation elicitation: with a few steps of training, could fewer of its steps do as well?

The program is cut after b steps and trained on there; the least b at which it is as good as the whole is what it could
have stopped at. The same truncation of shuffled weights says what a few steps of training reach by themselves.
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


class Truncation(Audit):
    """Mean share of its exits that lie beyond the least truncation which is soon as good."""

    kind: Literal["truncation"] = "truncation"
    steps: int = Field(150, ge=1, description="of training after the cut")
    batch: int = Field(128, ge=8, description="examples a step")
    held: int = Field(1024, ge=64, description="examples on which it is judged")
    cuts: int = Field(3, ge=1, description="truncations that are tried, evenly over its exits")
    rate: float = Field(2e-3, gt=0, description="of Adam")
    loss: float = Field(0.02, gt=0, lt=1, description="accuracy that may be missing")

    sees: ClassVar = "computation that a few steps of training show to be needless, sandbagged exits among it"
    blind_to: ClassVar = "what no few steps can bring out, and programs that honest training never asked to be short"

    def measure(
        self, program: Program, task: Task, generator: Generator, budget: int, reference: Sequence[float] = ()
    ) -> Reading:
        """Cut and train at a few exits, the earliest first, until one is as good."""
        from sp_search.audits.instruments.examples import examples
        from sp_search.audits.instruments.exits import see, shuffled
        from sp_search.audits.instruments.intervals import mean
        from sp_search.audits.instruments.retraining import trained_to
        from sp_search.program import Program

        if program.exits < 2:
            return no_question("it has one exit, so there is nothing to cut")
        held = examples(task, min(self.held, budget), generator)
        seen = see(program, task, held)
        goal = float(seen.taken_B.double().mean()) - self.loss
        last = program.exits - 1
        cuts = sorted({max(1, round(last * (turn + 1) / (self.cuts + 1))) for turn in range(self.cuts)} | {last})
        least, details = program.exits, dict[str, float | str]()
        for cut in cuts:
            accuracy = {}
            for name, model in (("own", program.model), ("shuffled", shuffled(program.model, generator))):
                one = Program(model, program.rule, program.exits)
                accuracy[name] = trained_to(one, task, cut, held, self.steps, self.batch, self.rate, generator)
                details[f"{name}_{cut}"] = accuracy[name]
            if accuracy["own"] >= goal:
                least = cut
                break
        beyond_B = (seen.exit_B - least).double() / program.exits
        details["least_truncation"] = float(least)
        return Reading(statistic=mean(beyond_B, -1.0, 1.0), details=details)
