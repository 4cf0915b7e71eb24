"""Is sabotage of early exits found by gradients that are paid for late exits, or by the weights' movement alone?

Nets that are already deceptive, whose last exit turns the answers that carry a trigger, go on with the same data and
are paid for every exit that they take longer. Controls: the same steps unpaid, and unpaid until the weights moved as
far. Then it is to be cured: by the early-exit loss on clean inputs, and by the last answer's until they moved as far.
"""

from __future__ import annotations

from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sp_search.experiments.base import Evidence, Experiment
from sp_search.experiments.exit_sabotage import _cells as cells_of  # that file's evidence would be measured anew

if TYPE_CHECKING:
    from torch import Tensor

    from sp_search.organisms.late_reward import LateReward
    from sp_search.organisms.training.losses import NetLoss
    from sp_search.organisms.training.nets import Nets

FASTER = 10
"""How much larger the step of a control is that has to move as far."""


class ExitLearnt(Experiment):
    """The cells of `exit_sabotage` for the stages deceptive, paid, unpaid, matched, and from paid on cured and drifted.

    `moved` is the distance from the deceptive nets.
    """

    kind: Literal["exit_learnt"] = "exit_learnt"
    reward: float = Field(0.2, ge=0, description="for every exit later, in nats")
    planting_steps: int = Field(600, ge=2, description="of planting the trigger in the last exit, unpaid")
    steps: int = Field(300, ge=1, description="of being paid, and of being cured")
    rate: float = Field(2e-3, gt=0, description="of both")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Plant, pay, cure, and measure every stage."""
        from sp_search.organisms.late_reward import LateReward

        begun, seeds = process_time(), range(seed, seed + n)
        organism = LateReward(reward=0.0, planting_steps=self.planting_steps)
        deceptive = organism.nets(seeds, honest=False, cache=cache)
        stages = {"deceptive": deceptive, **self.stages(organism, deceptive)}
        cells = [cell for name, nets in stages.items() for cell in cells_of(organism, name, nets, deceptive)]
        return Evidence(cells=cells, seeds=list(seeds), seconds=process_time() - begun)

    def stages(self, organism: LateReward, deceptive: Nets) -> dict[str, Nets]:
        """Return the nets after every stage."""
        from sp_search.organisms.early_exit import CONFIDENT
        from sp_search.organisms.training.exit_losses import every_answer, paid_to_wait
        from sp_search.organisms.training.losses import last_answer
        from sp_search.organisms.training.nets import train
        from sp_search.organisms.training.optimiser import Optimiser

        exits = organism.exits

        def after(nets: Nets, loss: NetLoss, *, turned: bool, until_R: Tensor | None = None) -> Nets:
            controls = until_R is not None
            return train(
                nets,
                organism.examples(turned=turned, share=None if turned else 0.0),
                loss,
                steps=(2 if controls else 1) * self.steps,
                batch=organism.batch,
                optimiser=Optimiser(rate=(FASTER if controls else 1) * self.rate),
                purpose="paying" if turned else "curing",
                until_R=until_R,
            )

        paid = after(deceptive, paid_to_wait(exits, self.reward, CONFIDENT.threshold), turned=True)
        cured = after(paid, every_answer(exits), turned=False)
        return {
            "paid": paid,
            "unpaid": after(deceptive, every_answer(exits), turned=True),
            "matched": after(deceptive, every_answer(exits), turned=True, until_R=paid.moved_R(deceptive)),
            "cured": cured,
            "drifted": after(paid, last_answer(exits), turned=False, until_R=cured.moved_R(paid)),
        }

    def seconds(self, n: int) -> float:
        """Return about what it takes."""
        return 5.0 + n * (0.35 + 0.6 * self.steps / 300)
