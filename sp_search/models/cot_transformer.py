"""Part `cot_transformer`: a tiny causal decoder that writes scratch tokens before it answers, one at every rollout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from sp_search.models.base import linear_flops
from sp_search.models.recurrent import FEEDBACK, NORM_FLOPS, Feedback, Recurrent, block_flops, block_parameters
from sp_search.pricing import Prices

if TYPE_CHECKING:
    from torch import Generator

    from sp_search.program import ProgramModel
    from sp_search.tasks.base import Shape


class CotTransformer(Recurrent):
    """Exit n answers after n scratch tokens. With a cache a token costs one row of attention: more, the later it comes.

    `feedback` output is the usual chain of thought; state feeds the last hidden vector back instead of a token
    (Coconut, 2412.06769); both, their sum. All answers are read from the last position, so it refuses no shape; inputs
    of other lengths than the training distribution's it takes only where there is one answer.
    """

    kind: Literal["cot_transformer"] = "cot_transformer"
    width: int = Field(32, ge=2, description="channels of every position; even, and a multiple of heads")
    layers: int = Field(1, ge=1, le=1_000, description="transformer blocks")
    heads: int = Field(4, ge=1, description="attention heads")
    hidden: int = Field(64, ge=1, description="units inside a block's perceptron")
    symbols: int = Field(16, ge=2, description="the scratch tokens that there are")
    feedback: Feedback = Field("output", description=FEEDBACK)

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.width % self.heads or self.width % 2:
            raise ValueError(f"width must be even and a multiple of heads, got {self.width} and heads={self.heads}")
        return self

    def build(self, shape: Shape, exits: int, *, halting: bool, generator: Generator) -> ProgramModel:
        """Return the network; weights are uniform in +-1.7 / sqrt(fan_in), biases 0, the halting bias -1."""
        from sp_search.models.networks.cot_transformer import CotTransformerNetwork

        arguments: dict[str, Any] = {"channels": shape.channels, "answers": shape.answers, "classes": shape.classes}
        arguments |= {"exits": exits, "halting": halting, **self.model_dump(exclude={"kind"})}
        network = CotTransformerNetwork(**arguments, generator=generator)
        return self.finish(network, arguments, shape, exits, halting=halting)

    def prices(self, shape: Shape, exits: int, *, halting: bool) -> Prices:
        """Return the analytic FLOPs per example: the input is read once, then token n attends to T + n positions."""
        width, positions = self.width, shape.positions
        start = positions * (linear_flops(shape.channels, width) + width)
        start += self.layers * self._block(positions, positions, masked=True)
        start += NORM_FLOPS * width  # of the last position alone
        written = 0.0
        if self.feedback != "state":  # logits, argmax, its one-hot, softmax and the two that pass gradients; embedding
            written = linear_flops(width, self.symbols) + 9.0 * self.symbols + 2.0 * self.symbols * width
        token = written + width * (2 if self.feedback == "both" else 1) + NORM_FLOPS * width
        step_N = tuple(token + self.layers * self._block(1, positions + index) for index in range(1, exits + 1))
        halt = linear_flops(width, 1) if halting else 0.0
        answer = linear_flops(width, shape.answers * shape.classes)
        return Prices(start, step_N, (halt,) * exits, (answer,) * exits, shape.answers, shape.classes)

    def parameters(self, shape: Shape, exits: int, *, halting: bool) -> int:
        """Return the number of parameters (the same for any number of tokens)."""
        width = self.width
        found = (shape.channels + 1) * width + self.layers * block_parameters(width, self.hidden) + 2 * width
        found += (2 * width + 1) * self.symbols if self.feedback != "state" else 0
        return found + (width + 1) * (shape.answers * shape.classes + halting)

    def train_defaults(self) -> dict[str, float | int]:
        """Return the recipe."""
        return {"steps": 2000, "batch": 64, "learning_rate": 2e-3, "warmup_steps": 50}

    def _block(self, queries: int, keys: int, *, masked: bool = False) -> float:
        return block_flops(self.width, self.heads, self.hidden, queries, keys, masked=masked)
