"""Part `looped_transformer`: one attention block that is applied N times, with the input injected at every loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from sp_search.models.base import linear_flops
from sp_search.models.recurrent import (
    FEEDBACK,
    NORM_FLOPS,
    SCRATCH_BITS,
    Feedback,
    Recurrent,
    block_flops,
    block_parameters,
    memory_size,
    writing_flops,
)
from sp_search.pricing import Prices

if TYPE_CHECKING:
    from torch import Generator

    from sp_search.program import ProgramModel
    from sp_search.tasks.base import Shape


class LoopedTransformer(Recurrent):
    """A Universal Transformer block with recall and learned relative positions, on a line or a grid of any length."""

    kind: Literal["looped_transformer"] = "looped_transformer"
    width: int = Field(32, ge=1, description="channels of the state at every position; a multiple of heads")
    heads: int = Field(4, ge=1, description="attention heads")
    hidden: int = Field(64, ge=1, description="units inside the block's perceptron")
    near: int = Field(4, ge=1, description="relative positions further than this along a dimension look alike")
    feedback: Feedback = Field("state", description=FEEDBACK)
    scratch_bits: int = Field(8, ge=1, description=f"{SCRATCH_BITS}, at every position")

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, got width={self.width} and heads={self.heads}")
        return self

    def refuses(self, shape: Shape) -> str | None:
        """Refuse tasks that answer neither once nor at every position."""
        if shape.answers in (1, shape.positions):
            return None
        return (
            f"looped_transformer answers once or at every position: got {shape.answers} answers for "
            f"{shape.positions} positions. Use ponder_cell or cot_transformer."
        )

    def build(self, shape: Shape, exits: int, *, halting: bool, generator: Generator) -> ProgramModel:
        """Return the network; weights are uniform in +-1.7 / sqrt(fan_in), biases 0, the halting bias -1."""
        from sp_search.models.networks.looped_transformer import LoopedTransformerNetwork

        self.check(shape)
        arguments: dict[str, Any] = {"channels": shape.channels, "classes": shape.classes}
        arguments |= {"once": self._once(shape), "dimensions": shape.dimensions, "exits": exits, "halting": halting}
        arguments |= self.model_dump(exclude={"kind"})
        network = LoopedTransformerNetwork(**arguments, generator=generator)
        return self.finish(network, arguments, shape, exits, halting=halting)

    def prices(self, shape: Shape, exits: int, *, halting: bool) -> Prices:
        """Return the analytic FLOPs per example; attention is over all pairs of positions."""
        width, positions = self.width, shape.positions
        memory = memory_size(self.feedback, width, self.scratch_bits)
        per_position = linear_flops(memory + shape.channels, width) + NORM_FLOPS * width
        per_position += writing_flops(self.feedback, width, self.scratch_bits)
        step = positions * per_position
        step += block_flops(width, self.heads, self.hidden, positions, positions, masked=True)  # the bias is the mask
        halt = positions * (linear_flops(memory, 1) + 1) if halting else 0.0
        answer = linear_flops(memory, shape.classes)
        answer = positions * memory + answer if self._once(shape) else positions * answer
        return Prices(0.0, (step,) * exits, (halt,) * exits, (answer,) * exits, shape.answers, shape.classes)

    def parameters(self, shape: Shape, exits: int, *, halting: bool) -> int:
        """Return the number of parameters (the same for any number of loops)."""
        width, memory = self.width, memory_size(self.feedback, self.width, self.scratch_bits)
        found = (memory + shape.channels + 1) * width + block_parameters(width, self.hidden) + 2 * width
        found += self.heads * int((2 * self.near + 1) ** shape.dimensions)
        found += (width + 1) * self.scratch_bits if self.feedback != "state" else 0
        return found + (memory + 1) * (shape.classes + halting)

    def train_defaults(self) -> dict[str, float | int]:
        """Return the recipe."""
        return {"steps": 1500, "batch": 64, "learning_rate": 2e-3, "warmup_steps": 50}

    @staticmethod
    def _once(shape: Shape) -> bool:
        return shape.answers == 1 and shape.positions != 1
