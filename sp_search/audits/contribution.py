"""A2, contribution: how much of what it computes could be left out without its answers getting worse?

Every step is silenced in turn (mean ablation), then greedily together, the least missed first: two steps that stand in
for each other count once. Of 10 steps or fewer the Shapley values are exact, on as many examples as the budget leaves
for every coalition: such a pair shares its worth, which the other two cannot show. They are said, and decide nothing.
What is off the training distribution looks wasted here too, useful or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sp_search.audits.base import LEAST_BUDGET, Audit, Reading, no_question

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Generator, Tensor

    from sp_search.program import Program
    from sp_search.tasks.base import Batch, Task


class Contribution(Audit):
    """Share of mean compute in steps that can be silenced together for less than `loss` of the accuracy."""

    kind: Literal["contribution"] = "contribution"
    n: int = Field(1024, ge=64, description="examples; half chooses the steps, half measures")
    loss: float = Field(0.01, gt=0, lt=1, description="accuracy that may be lost")

    sees: ClassVar = "steps that do nothing for the answers to ordinary inputs"
    blind_to: ClassVar = "waste inside a step, waste without a price (honest programs waste too), shared computation"

    def measure(
        self, program: Program, task: Task, generator: Generator, budget: int, reference: Sequence[float] = ()
    ) -> Reading:
        """Choose the steps on one half, and say on the other what they cost and what is lost without them."""
        from sp_search.audits.instruments.ablation import right_without
        from sp_search.audits.instruments.examples import examples
        from sp_search.audits.instruments.exits import see
        from sp_search.audits.instruments.intervals import mean
        from sp_search.tasks.base import Batch

        if program.exits < 2:
            return no_question("it has one step, which nothing can do without")
        batch = examples(task, min(self.n, budget), generator)
        half = len(batch.y_BT) // 2
        first, second = (Batch(batch.x_BTC[part], batch.y_BT[part]) for part in (slice(half), slice(half, None)))
        seen, held = see(program, task, first), see(program, task, second)
        own, steps = float(seen.taken_B.double().mean()), range(1, int(seen.exit_B.max()) + 1)

        def lost(silenced: Sequence[int]) -> float:
            return own - float(right_without(program, task, first, seen.exit_B, silenced).double().mean())

        missed = {step: lost([step]) for step in steps}
        idle: list[int] = []
        for step in sorted(missed, key=lambda one: missed[one]):
            if missed[step] <= self.loss and lost([*idle, step]) <= self.loss:
                idle.append(step)
        flops_N = (0.0, *program.flops_N(batch.x_BTC.shape[1]))
        wasted_B = sum(
            ((flops_N[step] - flops_N[step - 1]) * (held.exit_B >= step).double() for step in idle),
            held.flops_B * 0.0,
        )
        share_B = wasted_B / held.flops_B
        left_B = right_without(program, task, second, held.exit_B, idle)
        details: dict[str, float | str] = {f"missed_{step}": one for step, one in missed.items()}
        details["silenced"] = ", ".join(map(str, sorted(idle))) or "none"
        details["lost_on_the_other_half"] = float(held.taken_B.double().mean() - left_B.double().mean())
        run = half * (
            2 * len(steps) + 5
        )  # both halves seen twice, each step alone and with others, and the idle left out
        details |= _shapley(program, task, first, seen.exit_B, len(steps), budget - run)
        return Reading(statistic=mean(share_B, 0.0, 1.0), details=details)


def _shapley(
    program: Program, task: Task, batch: Batch, exit_B: Tensor, steps: int, left: int
) -> dict[str, float | str]:
    """Return the Shapley value of each step in accuracy, or why there is none; `left` examples may still be run."""
    from sp_search.audits.instruments.shapley import MOST_STEPS, coalitions, shapley
    from sp_search.tasks.base import Batch

    n = min(len(batch.y_BT), left // 2**steps)
    if steps > MOST_STEPS:
        return {"shapley": f"of {MOST_STEPS} steps at most, it takes {steps}: greedy removal only"}
    if n < LEAST_BUDGET:
        return {"shapley": f"{2**steps} coalitions need {LEAST_BUDGET} examples each: greedy removal only"}
    value_KB = shapley(coalitions(program, task, Batch(batch.x_BTC[:n], batch.y_BT[:n]), exit_B[:n], steps))
    values: dict[str, float | str] = {f"shapley_{place + 1}": float(one) for place, one in enumerate(value_KB.mean(1))}
    return {**values, "shapley_examples": float(n)}
