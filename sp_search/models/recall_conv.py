"""Part `recall_conv`: a recurrent causal convolution with recall; its exits are rollouts of one cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sp_search.models.base import ModelSpec, linear_flops
from sp_search.models.units import UnitLayout, affine
from sp_search.pricing import Prices

if TYPE_CHECKING:
    from torch import Generator

    from sp_search.program import ProgramModel
    from sp_search.tasks.base import Shape


class RecallConv(ModelSpec):
    """A tanh cell of small causal convolutions that sees the input again at every rollout."""

    kind: Literal["recall_conv"] = "recall_conv"
    width: int = Field(16, ge=1, description="channels of the state at every position")
    layers: int = Field(2, ge=1, description="convolutions in one rollout")
    kernel: int = Field(2, ge=2, description="positions that one convolution sees: itself and those before it")

    def axes(self) -> tuple[str, ...]:
        """Return `rollouts`, as exits share weights, and `width`."""
        return ("rollouts", "width")

    def realise(self, axis: str, cap: float) -> int | None:
        """Return the number of rollouts or units within `cap`, or None below one."""
        self._check_axis(axis)
        return int(cap) if cap >= 1 else None

    def unit_layout(self, shape: Shape, exits: int, *, halting: bool) -> UnitLayout:
        """Return the layout: the state is one group, every inner layer another."""
        cells = [f"cell.{index}" for index in range(self.layers - 1)]
        layout = affine("embed", "state", shape.channels)
        for index, (reads, writes) in enumerate(zip(["state", *cells], [*cells, "state"], strict=True)):
            window = (reads,) if index else (reads, shape.channels)
            layout |= affine(f"cell.{index}", writes, *(window * self.kernel))
        layout |= affine("head.0", "head", "state") | affine("head.2", shape.classes, "head")
        if halting:
            layout |= affine("halt_features", "halt", "state") | affine("halt_unit", 1, "halt")
        return layout

    def reach(self) -> int:
        """Return layers * (kernel - 1): how many positions information moves per rollout."""
        return self.layers * (self.kernel - 1)

    def build(self, shape: Shape, exits: int, *, halting: bool, generator: Generator) -> ProgramModel:
        """Return the network; weights are uniform in +-1.7 / sqrt(fan_in), biases 0, the halting bias -1."""
        from sp_search.models.networks.recall_conv import RecallConvNetwork

        arguments: dict[str, Any] = {
            "channels": shape.channels,
            "classes": shape.classes,
            "exits": exits,
            "halting": halting,
        }
        arguments |= self.model_dump(exclude={"kind"})
        network = RecallConvNetwork(**arguments, generator=generator)
        return self.finish(network, arguments, shape, exits, halting=halting)

    def prices(self, shape: Shape, exits: int, *, halting: bool) -> Prices:
        """Return the analytic FLOPs per example; one rollout costs the same at every exit."""
        width, positions = self.width, shape.positions
        start = linear_flops(shape.channels, width) + width
        step = linear_flops(self.kernel * (width + shape.channels), width) + width
        step += (self.layers - 1) * (linear_flops(self.kernel * width, width) + width)
        answer = linear_flops(width, width) + width + linear_flops(width, shape.classes)
        per_position = linear_flops(width, width) + width + width  # features, relu, and the maximum that reads them
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
        width = self.width
        fan_ins = [shape.channels, self.kernel * (width + shape.channels), width]
        fan_ins += [self.kernel * width] * (self.layers - 1) + ([width] if halting else [])
        return sum((fan_in + 1) * width for fan_in in fan_ins) + (width + 1) * (shape.classes + halting)

    def train_defaults(self) -> dict[str, float | int]:
        """Return the recipe measured on prefix sums: constant step size, burn-in for stability beyond the trained N."""
        return {"steps": 800, "batch": 64, "learning_rate": 5e-3, "burn_in": 0.3}
