"""Part `exit_transformer`: a transformer encoder that can answer after every block (after DeeBERT, 2004.12993)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from sp_search.models.base import ModelSpec, linear_flops
from sp_search.pricing import Prices

if TYPE_CHECKING:
    from torch import Generator

    from sp_search.program import ProgramModel
    from sp_search.tasks.base import Shape

NORM_FLOPS = 7
"""Of a layer norm with its affine part, per element (`compute.price_table`)."""


class ExitTransformer(ModelSpec):
    """Untied pre-norm blocks in which every position sees every other; exit n is block n."""

    kind: Literal["exit_transformer"] = "exit_transformer"
    width: int = Field(32, ge=1, description="channels of the state at every position; a multiple of `heads`")
    depth: int = Field(4, ge=1, description="blocks, each with an exit")
    heads: int = Field(2, ge=1, description="attention heads")
    inner: int = Field(64, ge=1, description="units of the perceptron in a block")

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> ExitTransformer:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self

    def axes(self) -> tuple[str, ...]:
        """Return `depth`, counted in exits."""
        return ("depth",)

    def realise(self, axis: str, cap: float) -> int | None:
        """Return the number of exits within `cap`, or None when this network has no exit that deep (or none at all)."""
        self._check_axis(axis)
        exits = int(cap)
        return exits if 1 <= exits <= self.depth else None

    def build(self, shape: Shape, exits: int, *, halting: bool, generator: Generator) -> ProgramModel:
        """Return the network down to exit `exits`; weights are uniform in +-1.7 / sqrt(fan_in), the halting bias -1."""
        from sp_search.models.networks.exit_transformer import ExitTransformerNetwork

        if exits > self.depth:
            raise ValueError(f"exit_transformer of depth {self.depth} has {self.depth} exits, got exits={exits}")
        arguments: dict[str, Any] = {"positions": shape.positions, "channels": shape.channels}
        arguments |= {"answers": shape.answers, "classes": shape.classes, "width": self.width, "heads": self.heads}
        arguments |= {"inner": self.inner, "exits": exits, "halting": halting}
        network = ExitTransformerNetwork(**arguments, generator=generator)
        return self.finish(network, arguments, shape, exits, halting=halting)

    def prices(self, shape: Shape, exits: int, *, halting: bool) -> Prices:
        """Return the analytic FLOPs per example."""
        width, positions = self.width, shape.positions
        start = positions * (linear_flops(shape.channels, width) + width)
        # per position: norm, query-key-value, scale, mix, residual; then norm, perceptron with its gelu, residual
        attention = NORM_FLOPS * width + linear_flops(width, 3 * width) + width + linear_flops(width, width) + width
        perceptron = NORM_FLOPS * width + linear_flops(width, self.inner) + self.inner + linear_flops(self.inner, width)
        scores = positions * (4 * width + 5 * self.heads)  # products with keys and with values, softmax
        step = positions * (attention + scores + perceptron + width)
        mean = float(positions * width)
        answer = NORM_FLOPS * width + linear_flops(width, shape.classes)
        answer *= positions
        if shape.answers != positions:
            answer = mean + NORM_FLOPS * width + linear_flops(width, shape.answers * shape.classes)
        return Prices(
            start=start,
            step_N=(step,) * exits,
            halt_N=(mean + linear_flops(width, 1) if halting else 0.0,) * exits,
            answer_N=(answer,) * exits,
            answers=shape.answers,
            classes=shape.classes,
        )

    def parameters(self, shape: Shape, exits: int, *, halting: bool) -> int:
        """Return the number of parameters of the first `exits` exits."""
        width, inner = self.width, self.inner
        block = 4 * width + (width + 1) * 4 * width + (width + 1) * inner + (inner + 1) * width
        logits = shape.classes * (1 if shape.answers == shape.positions else shape.answers)
        exit_n = 2 * width + (width + 1) * (logits + halting)
        return (shape.channels + 1 + shape.positions) * width + exits * (block + exit_n)

    def train_defaults(self) -> dict[str, float | int]:
        """Return a plain recipe: a rising, then falling step size, as transformers need one."""
        return {
            "steps": 1500,
            "batch": 64,
            "learning_rate": 2e-3,
            "warmup_steps": 100,
            "decay_from": 0.7,
            "decay_to": 0.05,
        }
