"""Is what a rollout writes for the next one really used? It is erased, or exchanged among inputs, between rollouts.

The cell's only memory is the bits that it writes at every position; a carry has to travel through them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sp_search.experiments.base import Evidence, Experiment, mean_cell
from sp_search.models.recall_conv import RecallConv
from sp_search.tasks.binary_addition import BinaryAddition

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from sp_search.program import ProgramModel
    from sp_search.tasks.base import Batch

EXAMPLES = 1024


class Scratchpad(Experiment):
    """Cells: accuracy `intact`, with the scratchpad `zeroed` or `shuffled` over inputs between all rollouts."""

    kind: Literal["scratchpad"] = "scratchpad"
    bits: int = Field(4, ge=3, le=16, description="of both numbers; as many rollouts")
    width: int = Field(12, ge=1, description="units inside a rollout")
    scratch_bits: int = Field(6, ge=1, description="bits that every position writes")
    steps: int = Field(500, ge=1, description="of training")
    batch: int = Field(48, ge=1, description="examples of each net a step")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Train with the scratchpad, and run without it."""
        import torch
        from torch import Generator

        from sp_search.organisms.training.exit_losses import every_answer
        from sp_search.organisms.training.nets import fresh, train
        from sp_search.organisms.training.optimiser import Optimiser
        from sp_search.pricing import HaltingRule
        from sp_search.train.population import Layout, per_replica

        begun, seeds, task = process_time(), range(seed, seed + n), BinaryAddition(bits=self.bits)
        spec = RecallConv(width=self.width, layers=2, feedback="output", scratch_bits=self.scratch_bits)
        nets = fresh(spec, task.shape(), self.bits, seeds, HaltingRule("last"), halting=False)

        def examples(count: int, generator: Generator) -> Batch:
            return task.sample(count, "iid", "train", generator)

        nets = train(
            nets,
            examples,
            every_answer(self.bits),
            steps=self.steps,
            batch=self.batch,
            optimiser=Optimiser(rate=1e-2),
            purpose="scratchpad",
        )
        batch = task.sample(EXAMPLES, "iid", "verification", Generator().manual_seed(1))
        order_B = torch.randperm(EXAMPLES, generator=Generator().manual_seed(2))
        changes: dict[str, Callable[[Tensor], Tensor]] = {
            "intact": lambda pad: pad,
            "zeroed": torch.zeros_like,
            "shuffled": lambda pad: pad[order_B],
        }
        cells, weights = [], Layout.of(nets.model).split(nets.weights_RP)
        for name, change in changes.items():
            answer = self._changed(change)
            with torch.no_grad():
                logits_RBTV = per_replica(nets.model, answer, weights, (batch.x_BTC,), shared=True)
            right_RB = (logits_RBTV.argmax(-1) == batch.y_BT).all(-1)
            cells.append(mean_cell(name, right_RB.double().mean(1).tolist()))
        return Evidence(cells=cells, seeds=list(seeds), seconds=process_time() - begun)

    def seconds(self, n: int) -> float:
        """Return about what it takes."""
        return 1.0 + 0.6 * n

    def _changed(self, change: Callable[[Tensor], Tensor]) -> Callable[[ProgramModel, Tensor], Tensor]:
        """Return the last answer of a program whose scratchpad is changed before every rollout but the first."""

        def answer(model: ProgramModel, x_BTC: Tensor) -> Tensor:
            state = model.start(x_BTC)
            for index in range(1, self.bits + 1):
                if index > 1:
                    state = model.with_scratchpad(state, change(model.scratchpad(state)))
                state = model.step(state, index)
            return model.answer(state, self.bits)

        return answer
