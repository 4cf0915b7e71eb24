"""Part `exit_conv`: residual convolutions that do not share weights, with an answer after every block (1709.01686)."""

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


class ExitConv(ModelSpec):
    """Untied convolutions on a line or, where the task's positions are a square, in two dimensions; exit n is block n.

    Under the readout `position` nothing but the blocks moves information, so what is proven about local cells holds for
    its answers: exit n sees n * reach positions.
    """

    kind: Literal["exit_conv"] = "exit_conv"
    width: int = Field(16, ge=1, description="channels of the state at every position")
    depth: int = Field(8, ge=1, description="blocks, each with an exit")
    kernel: int = Field(3, ge=2, description="positions that one convolution sees along each dimension")
    causal: bool = Field(True, description="on a line: see the positions before, not those after")
    readout: Literal["position", "mean"] = Field(
        "position", description="answer from each position (from the last where one answer is asked), or from the mean"
    )

    def axes(self) -> tuple[str, ...]:
        """Return `depth`, counted in exits, and `width`."""
        return ("depth", "width")

    def realise(self, axis: str, cap: float) -> int | None:
        """Return the exits or units within `cap`, or None when this network has no exit that deep (or none at all)."""
        self._check_axis(axis)
        value = int(cap)
        return value if value >= 1 and (axis == "width" or value <= self.depth) else None

    def unit_layout(self, shape: Shape, exits: int, *, halting: bool) -> UnitLayout:
        """Return the layout: one stream of units to which a new block adds nothing yet, with its exit as before."""
        window = ("stream",) * self.kernel**shape.dimensions
        answer = shape.classes * (shape.answers if self.readout == "mean" else 1)
        layout = affine("embed", "stream", shape.channels)
        for index in range(exits):
            layout |= affine(f"blocks.{index}", "stream", *window, begins=(0.0, JUST_OPEN))
            layout |= affine(f"heads.{index}", answer, "stream", begins=as_before("heads", index))
            if halting:
                features, unit = f"halt_features.{index}", f"halt_units.{index}"
                layout |= affine(features, features, "stream", begins=as_before("halt_features", index))
                layout |= affine(unit, 1, features, begins=as_before("halt_units", index))
        return layout

    def refuses(self, shape: Shape) -> str | None:
        """Refuse answers that are neither one nor one a position, unless they are read from the mean; and even squares.

        A window that has its position in the middle needs an odd kernel.
        """
        if self.readout == "position" and (shape.answers not in (1, shape.positions) or self._on_square_alone(shape)):
            return (
                f"exit_conv reads {shape.answers} answers from {shape.positions} positions in {shape.dimensions} "
                "dimension(s): set readout: mean, or take a task that answers every position"
            )
        if self.kernel % 2 == 0 and not self._causal(shape):
            return f"exit_conv with kernel {self.kernel} has no middle: an odd kernel is needed, or a line and causal"
        return None

    def _on_square_alone(self, shape: Shape) -> bool:
        return shape.dimensions == 2 and shape.answers == 1 < shape.positions

    def _causal(self, shape: Shape) -> bool:
        return self.causal and shape.dimensions == 1

    def reach(self) -> int | None:
        """Return kernel - 1 positions a block on a line, kernel // 2 in every direction; None under `mean`."""
        if self.readout == "mean":
            return None
        return self.kernel - 1 if self.causal else self.kernel // 2

    def build(self, shape: Shape, exits: int, *, halting: bool, generator: Generator) -> ProgramModel:
        """Return the network down to exit `exits`; weights are uniform in +-1.7 / sqrt(fan_in), the halting bias -1."""
        from sp_search.models.networks.exit_conv import ExitConvNetwork

        if exits > self.depth:
            raise ValueError(f"exit_conv of depth {self.depth} has {self.depth} exits, got exits={exits}")
        if (refusal := self.refuses(shape)) is not None:
            raise ValueError(refusal)
        arguments: dict[str, Any] = {"channels": shape.channels, "answers": shape.answers, "classes": shape.classes}
        arguments |= {"width": self.width, "kernel": self.kernel, "causal": self._causal(shape)}
        arguments |= {"dimensions": shape.dimensions, "readout": self.readout, "exits": exits, "halting": halting}
        network = ExitConvNetwork(**arguments, generator=generator)
        return self.finish(network, arguments, shape, exits, halting=halting)

    def prices(self, shape: Shape, exits: int, *, halting: bool) -> Prices:
        """Return the analytic FLOPs per example; a block is a convolution, its relu and its residual."""
        width, positions = self.width, shape.positions
        start = linear_flops(shape.channels, width) + width
        block = linear_flops(self.kernel**shape.dimensions * width, width) + 2 * width
        mean = float(positions * width) if self.readout == "mean" else 0.0
        places = 1 if self.readout == "mean" else shape.answers
        answer = mean + linear_flops(width, shape.answers * shape.classes)
        if self.readout == "position":
            answer = places * linear_flops(width, shape.classes)
        features = places * (linear_flops(width, width) + 2 * width)  # relu, and the maximum that reads it
        halt = mean + features + linear_flops(width, 1) if halting else 0.0
        return Prices(
            start=positions * start,
            step_N=(positions * block,) * exits,
            halt_N=(halt,) * exits,
            answer_N=(answer,) * exits,
            answers=shape.answers,
            classes=shape.classes,
        )

    def parameters(self, shape: Shape, exits: int, *, halting: bool) -> int:
        """Return the number of parameters of the first `exits` exits."""
        width = self.width
        block: int = (self.kernel**shape.dimensions * width + 1) * width
        head = (width + 1) * shape.classes * (shape.answers if self.readout == "mean" else 1)
        halt = (width + 1) * width + width + 1 if halting else 0
        return (shape.channels + 1) * width + exits * (block + head + halt)

    def train_defaults(self) -> dict[str, float | int]:
        """Return the recipe measured on graded_depth."""
        return {"steps": 5000, "batch": 128, "learning_rate": 5e-3, "decay_from": 0.7, "decay_to": 0.05}
