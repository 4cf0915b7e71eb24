"""Part `reading_cell`: a gated recurrent cell that reads one position a rollout, or sees them all at every one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sp_search.models.base import linear_flops
from sp_search.models.recurrent import Recurrent
from sp_search.pricing import Prices

if TYPE_CHECKING:
    from torch import Generator

    from sp_search.program import ProgramModel
    from sp_search.tasks.base import Shape


class ReadingCell(Recurrent):
    """A GRU whose rollout n reads position n of the input; after the last position it reads nothing (zeros).

    With `reads: all` every rollout sees the flattened input, so that looking further costs no rollout. Answer and
    halting are linear in the state. With `feedback: output` that state is bits, its scratchpad. With `episode` above 1
    what an input answers depends on those before it in the batch, which is then a sequence.
    """

    kind: Literal["reading_cell"] = "reading_cell"
    width: int = Field(20, ge=1, description="units of the state")
    reads: Literal["serial", "all"] = Field("serial", description="position n at rollout n, or all at every rollout")
    halting_bias: float = Field(-1.0, description="of the halting unit before training: low halts late")
    feedback: Literal["state", "output"] = Field(
        "state", description="what a rollout hands to the next: its `state`, or `output`: the state rounded to bits"
    )
    episode: int = Field(
        1, ge=1, le=64, description="inputs in a row that share a memory: each begins as the one before it halted"
    )

    def build(self, shape: Shape, exits: int, *, halting: bool, generator: Generator) -> ProgramModel:
        """Return the network; weights are uniform in +-1.7 / sqrt(fan_in), biases 0 but for the halting unit's."""
        from sp_search.models.networks.reading_cell import ReadingCellNetwork

        arguments: dict[str, Any] = {"features": self._features(shape), "answers": shape.answers}
        arguments |= {"classes": shape.classes, "exits": exits, "halting": halting, **self.model_dump(exclude={"kind"})}
        network = ReadingCellNetwork(**arguments, generator=generator)
        return self.finish(network, arguments, shape, exits, halting=halting)

    def prices(self, shape: Shape, exits: int, *, halting: bool) -> Prices:
        """Return the analytic FLOPs per example; one rollout costs the same at every exit, the start nothing.

        Unless inputs share a memory: a batch runs all but the last input of an episode beforehand (`start`, a mean over
        whole episodes).
        """
        width = self.width
        step = linear_flops(self._features(shape), 3 * width) + 6 * width**2 + 10 * width
        step += 4 * width if self.feedback == "output" else 0
        halt = linear_flops(width, 1) if halting else 0.0
        answer = linear_flops(width, shape.answers * shape.classes)
        run = exits * (step + 3 * width + 2) + 2 * width + (exits - 1) * (halt + 2 if halting else 0)
        start = run * (self.episode - 1) / self.episode
        return Prices(start, (step,) * exits, (halt,) * exits, (answer,) * exits, shape.answers, shape.classes)

    def parameters(self, shape: Shape, exits: int, *, halting: bool) -> int:
        """Return the number of parameters (the same for any number of rollouts)."""
        width = self.width
        cell = 3 * width * (self._features(shape) + 1 + width)
        return cell + (width + 1) * (shape.answers * shape.classes + halting)

    def _features(self, shape: Shape) -> int:
        """Return the channels that a rollout reads."""
        return shape.channels * (shape.positions if self.reads == "all" else 1)

    def train_defaults(self) -> dict[str, float | int]:
        """Return the recipe measured on flagged bits."""
        return {"steps": 800, "batch": 96, "learning_rate": 5e-3}
