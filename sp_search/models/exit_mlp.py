"""Part `exit_mlp`: a residual perceptron that can answer at the stem and after every block (reference: BranchyNet)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sp_search.models.base import ModelSpec, linear_flops
from sp_search.pricing import Prices
from sp_search.units import JUST_OPEN, UnitLayout, affine, as_before

if TYPE_CHECKING:
    from torch import Generator

    from sp_search.program import ProgramModel
    from sp_search.tasks.base import Shape


class ExitMlp(ModelSpec):
    """A perceptron on the whole input with depth + 1 exits; a budget along `depth` is how many exits it may use."""

    kind: Literal["exit_mlp"] = "exit_mlp"
    width: int = Field(64, ge=1, description="units of every hidden layer")
    depth: int = Field(3, ge=0, description="residual blocks after the stem")

    def axes(self) -> tuple[str, ...]:
        """Return `depth`, counted in exits (the stem is the first), and `width`."""
        return ("depth", "width")

    def realise(self, axis: str, cap: float) -> int | None:
        """Return the exits or units within `cap`, or None when this network has no exit that deep (or none at all)."""
        self._check_axis(axis)
        value = int(cap)
        return value if value >= 1 and (axis == "width" or value <= self.depth + 1) else None

    def unit_layout(self, shape: Shape, exits: int, *, halting: bool) -> UnitLayout:
        """Return the layout: one stream of units that the stem writes and every block adds to.

        A new block adds nothing yet, so its exit may answer, and halt, as the one before.
        """
        layout = affine("blocks.0", "stream", shape.positions * shape.channels)
        for index in range(1, exits):
            layout |= affine(f"blocks.{index}", "stream", "stream", begins=(0.0, JUST_OPEN))
        answers = {"heads": shape.answers * shape.classes} | ({"halt_units": 1} if halting else {})
        for name, size in answers.items():
            for index in range(exits):
                layout |= affine(f"{name}.{index}", size, "stream", begins=as_before(name, index))
        return layout

    def build(self, shape: Shape, exits: int, *, halting: bool, generator: Generator) -> ProgramModel:
        """Return the network down to exit `exits`; deeper blocks are not built."""
        from sp_search.models.networks.exit_mlp import ExitMlpNetwork

        if exits > self.depth + 1:
            raise ValueError(f"exit_mlp of depth {self.depth} has {self.depth + 1} exits, got exits={exits}")
        features = shape.positions * shape.channels
        arguments: dict[str, Any] = {"features": features, "answers": shape.answers, "classes": shape.classes}
        arguments |= {"width": self.width, "exits": exits, "halting": halting}
        network = ExitMlpNetwork(**arguments, generator=generator)
        return self.finish(network, arguments, shape, exits, halting=halting)

    def prices(self, shape: Shape, exits: int, *, halting: bool) -> Prices:
        """Return the analytic FLOPs per example; a block adds its residual, the stem does not."""
        width = self.width
        stem = linear_flops(shape.positions * shape.channels, width) + width
        block = linear_flops(width, width) + 2 * width
        halt = linear_flops(width, 1) if halting else 0.0
        answer = linear_flops(width, shape.answers * shape.classes)
        return Prices(
            start=0.0,
            step_N=(stem,) + (block,) * (exits - 1),
            halt_N=(halt,) * exits,
            answer_N=(answer,) * exits,
            answers=shape.answers,
            classes=shape.classes,
        )

    def parameters(self, shape: Shape, exits: int, *, halting: bool) -> int:
        """Return the number of parameters of the first `exits` exits."""
        width = self.width
        hidden = (shape.positions * shape.channels + 1) * width + (exits - 1) * (width + 1) * width
        return hidden + exits * (width + 1) * (shape.answers * shape.classes + halting)

    def train_defaults(self) -> dict[str, float | int]:
        """Return the recipe measured on digits."""
        return {"steps": 800, "batch": 64, "learning_rate": 3e-3}
