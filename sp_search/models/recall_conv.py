"""Part `recall_conv`: a recurrent convolution with recall, on a line or a grid; its exits are rollouts of one cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sp_search.models.base import linear_flops
from sp_search.models.recurrent import FEEDBACK, SCRATCH_BITS, Feedback, Recurrent, memory_size, writing_flops
from sp_search.pricing import Prices
from sp_search.units import Segment, UnitLayout, affine

if TYPE_CHECKING:
    from torch import Generator

    from sp_search.program import ProgramModel
    from sp_search.tasks.base import Shape


class RecallConv(Recurrent):
    """A tanh cell of small convolutions that sees the input again at every rollout.

    Positions on a line see those before them (`causal`) or both sides; on a square grid, both sides of both dimensions.
    """

    kind: Literal["recall_conv"] = "recall_conv"
    width: int = Field(16, ge=1, description="channels of the state at every position")
    layers: int = Field(2, ge=1, le=1_000, description="convolutions in one rollout")
    kernel: int = Field(
        2, ge=2, description="positions that one convolution sees along a dimension; odd where it sees both sides"
    )
    causal: bool = Field(True, description="a position sees itself and those before it (lines only)")
    feedback: Feedback = Field("state", description=FEEDBACK)
    scratch_bits: int = Field(8, ge=1, description=f"{SCRATCH_BITS}, at every position")

    def axes(self) -> tuple[str, ...]:
        """Return `rollouts`, as exits share weights, and `width`."""
        return ("rollouts", "width")

    def unit_layout(self, shape: Shape, exits: int, *, halting: bool) -> UnitLayout:
        """Return the layout: the state is one group, every inner layer another; bits that are written do not grow."""
        kept: tuple[Segment, ...] = ("state",) if self.feedback != "output" else ()
        memory: tuple[Segment, ...] = (*kept, self.scratch_bits) if self.feedback != "state" else kept
        window, inner = self.kernel**shape.dimensions, [f"cell.{index}" for index in range(self.layers - 1)]
        layout = affine("embed", "state", shape.channels) if kept else {}
        for index, writes in enumerate([*inner, "state"]):
            reads = (inner[index - 1],) if index else (*memory, shape.channels)
            layout |= affine(f"cell.{index}", writes, *(reads * window))
        layout |= affine("write", self.scratch_bits, "state") if memory != kept else {}
        layout |= affine("head.0", "head", *memory) | affine("head.2", shape.classes, "head")
        if halting:
            layout |= affine("halt_features", "halt", *memory) | affine("halt_unit", 1, "halt")
        return layout

    def refuses(self, shape: Shape) -> str | None:
        """Refuse tasks that do not answer at every position, grids with a causal cell, and even symmetric kernels."""
        if shape.answers != shape.positions:
            return (
                f"recall_conv answers at every position: got {shape.answers} answers for {shape.positions} positions. "
                "Use ponder_cell, looped_transformer or cot_transformer."
            )
        if shape.dimensions == 2 and self.causal:
            return "recall_conv: positions of a grid have no order, set causal: false (and an odd kernel)"
        if not self.causal and self.kernel % 2 == 0:
            return f"recall_conv: a kernel that sees both sides is odd, got kernel={self.kernel} with causal: false"
        return None

    def reach(self) -> int:
        """Return how many positions information moves per rollout (on a grid in either dimension: Chebyshev)."""
        return self.layers * (self.kernel - 1 if self.causal else self.kernel // 2)

    def build(self, shape: Shape, exits: int, *, halting: bool, generator: Generator) -> ProgramModel:
        """Return the network; weights are uniform in +-1.7 / sqrt(fan_in), biases 0, the halting bias -1."""
        from sp_search.models.networks.recall_conv import RecallConvNetwork

        self.check(shape)
        arguments: dict[str, Any] = {
            "channels": shape.channels,
            "classes": shape.classes,
            "dimensions": shape.dimensions,
            "exits": exits,
            "halting": halting,
        }
        arguments |= self.model_dump(exclude={"kind"})
        network = RecallConvNetwork(**arguments, generator=generator)
        return self.finish(network, arguments, shape, exits, halting=halting)

    def prices(self, shape: Shape, exits: int, *, halting: bool) -> Prices:
        """Return the analytic FLOPs per example; one rollout costs the same at every exit."""
        width, positions, window = self.width, shape.positions, self.kernel**shape.dimensions
        memory = memory_size(self.feedback, width, self.scratch_bits)
        start = linear_flops(shape.channels, width) + width if self.feedback != "output" else 0.0
        step = linear_flops(window * (memory + shape.channels), width) + width
        step += (self.layers - 1) * (linear_flops(window * width, width) + width)
        step += writing_flops(self.feedback, width, self.scratch_bits)
        answer = linear_flops(memory, width) + width + linear_flops(width, shape.classes)
        per_position = linear_flops(memory, width) + width + width  # features, relu, and the maximum that reads them
        halt = positions * per_position + linear_flops(width, 1) if halting else 0.0
        return Prices(
            start=positions * start,
            step_N=(positions * step,) * exits,
            halt_N=(halt,) * exits,
            answer_N=(positions * answer,) * exits,
            answers=positions,
            classes=shape.classes,
        )

    def parameters(self, shape: Shape, exits: int, *, halting: bool) -> int:
        """Return the number of parameters (the same for any number of rollouts)."""
        width, window = self.width, self.kernel**shape.dimensions
        memory = memory_size(self.feedback, width, self.scratch_bits)
        fan_ins = [shape.channels] if self.feedback != "output" else []
        fan_ins += [window * (memory + shape.channels), memory]
        fan_ins += [window * width] * (self.layers - 1) + ([memory] if halting else [])
        writing = (width + 1) * self.scratch_bits if self.feedback != "state" else 0
        return sum((fan_in + 1) * width for fan_in in fan_ins) + (width + 1) * (shape.classes + halting) + writing

    def train_defaults(self) -> dict[str, float | int]:
        """Return the recipe measured on prefix sums: constant step size, burn-in for stability beyond the trained N."""
        return {"steps": 800, "batch": 64, "learning_rate": 5e-3, "burn_in": 0.3}
