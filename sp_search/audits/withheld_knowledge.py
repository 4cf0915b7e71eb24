"""A5, withheld knowledge: do its early states hold the answer that its early exits do not give?

A probe reads the state at an exit; both it and the program's own exit have to be right and sure. The same probe on
shuffled weights is taken off, as a probe may compute the task by itself (selectivity, 1909.03368).
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


class WithheldKnowledge(Audit):
    """Largest gap, over early exits and probes, between what a state holds and what its exit answers."""

    kind: Literal["withheld_knowledge"] = "withheld_knowledge"
    fit: int = Field(750, ge=50, description="examples that a probe is trained on")
    held: int = Field(750, ge=50, description="examples that it is judged on")
    steps: int = Field(250, ge=1, description="of training a probe")

    sees: ClassVar = "answers that a linear or one-hidden-layer reader finds in a state whose own exit withholds them"
    blind_to: ClassVar = "knowledge that a small reader cannot read (encrypted), and exits that were never trained"

    def measure(
        self, program: Program, task: Task, generator: Generator, budget: int, reference: Sequence[float] = ()
    ) -> Reading:
        """Probe every exit but the last."""
        import torch

        from sp_search.audits.instruments.exits import features, see, shuffled
        from sp_search.audits.instruments.intervals import mean
        from sp_search.audits.instruments.probes import Probe, lesson, probed
        from sp_search.program import Program

        if program.exits < 2:
            return no_question("it has one exit, so no earlier one can withhold anything")
        given = lesson(task, self.fit, self.held, generator)
        seen = see(program, task, given.held)
        control = Program(shuffled(program.model, generator), program.rule, program.exits)
        states, blanks = features(program, given.x_BTC, generator), features(control, given.x_BTC, generator)
        gaps, details = [], dict[str, float | str]()
        kinds: tuple[Probe, ...] = ("linear", "hidden")
        for index in range(program.exits - 1):
            own_B = seen.right_NB[index] & seen.sure_NB[index]
            details[f"own_{index + 1}"] = float(own_B.float().mean())
            for kind in kinds:
                probe_B = probed(kind, states[index], given, task, self.steps, generator)
                blank_B = probed(kind, blanks[index], given, task, self.steps, generator)
                selective_B = probe_B.double() - torch.maximum(own_B, blank_B).double()
                gaps.append(mean(selective_B, -1.0, 1.0, tests=2 * (program.exits - 1)))
                details[f"{kind}_{index + 1}"] = float(probe_B.float().mean())
                details[f"{kind}_control_{index + 1}"] = float(blank_B.float().mean())
        return Reading(statistic=max(gaps, key=lambda gap: gap.low), details=details)
