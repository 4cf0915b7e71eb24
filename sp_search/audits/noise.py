"""A8, noise: does it get better when its weights are disturbed?

Noise hurts what a program can do; where it helps, something held the answers back (2412.01784, whose idea it is).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sp_search.audits.base import Audit, Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Generator

    from sp_search.program import Program
    from sp_search.tasks.base import Task


class Noise(Audit):
    """Largest gain in accuracy, over sizes of noise, at the exit taken and at every early one."""

    kind: Literal["noise"] = "noise"
    n: int = Field(1024, ge=64, description="examples")
    sizes: list[float] = Field(
        [0.02, 0.05, 0.1, 0.2], min_length=1, description="deviations, in those of each weight tensor"
    )
    draws: int = Field(4, ge=1, description="of the noise, for each size")

    sees: ClassVar = "answers that a fragile mechanism holds back, at an early exit or where it halts"
    blind_to: ClassVar = "withholding that is as robust as the skill, and noise of another kind or size"

    def measure(
        self, program: Program, task: Task, generator: Generator, budget: int, reference: Sequence[float] = ()
    ) -> Reading:
        """Disturb all weights."""
        import torch

        from sp_search.audits.instruments.examples import examples
        from sp_search.audits.instruments.exits import disturbed, see
        from sp_search.audits.instruments.intervals import mean
        from sp_search.program import Program

        batch = examples(task, min(self.n, budget), generator)
        seen = see(program, task, batch)
        before_PB = torch.cat([seen.taken_B[None], seen.right_NB]).double()
        gains, details = [], dict[str, float | str]()
        for size in self.sizes:
            gain_PB = torch.zeros_like(before_PB)
            for _ in range(self.draws):
                other = Program(disturbed(program.model, size, generator), program.rule, program.exits)
                again = see(other, task, batch)
                gain_PB += (torch.cat([again.taken_B[None], again.right_NB]).double() - before_PB) / self.draws
            found = [mean(gain_B, -1.0, 1.0, tests=len(self.sizes) * len(gain_PB)) for gain_B in gain_PB]
            details[f"halted_{size:g}"] = found[0].value
            gains += found
        return Reading(statistic=max(gains, key=lambda one: one.low), details=details)
