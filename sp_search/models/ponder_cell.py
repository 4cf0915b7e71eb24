"""Part `ponder_cell`: a recurrent cell that sees the whole input at every rollout (PonderNet's parity network)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from sp_search.models.base import linear_flops
from sp_search.models.recurrent import FEEDBACK, SCRATCH_BITS, Feedback, Recurrent, memory_size, writing_flops
from sp_search.pricing import Prices

if TYPE_CHECKING:
    from torch import Generator

    from sp_search.program import ProgramModel
    from sp_search.tasks.base import Shape


class PonderCell(Recurrent):
    """A residual perceptron (`mlp`) or a gated cell (`gru`) on the flattened input; halting is linear in its state."""

    kind: Literal["ponder_cell"] = "ponder_cell"
    width: int = Field(48, ge=1, description="units of the state")
    cell: Literal["mlp", "gru"] = Field("mlp", description="how a rollout changes the state")
    hidden: int = Field(96, ge=1, description="units inside the mlp")
    feedback: Feedback = Field("state", description=FEEDBACK)
    scratch_bits: int = Field(16, ge=1, description=SCRATCH_BITS)

    @model_validator(mode="after")
    def _a_gru_has_a_state(self) -> Self:
        if self.cell == "gru" and self.feedback == "output":
            raise ValueError("a gru's memory is its hidden state: take feedback state or both, or cell mlp")
        return self

    def build(self, shape: Shape, exits: int, *, halting: bool, generator: Generator) -> ProgramModel:
        """Return the network; weights are uniform in +-1.7 / sqrt(fan_in), biases 0, the halting bias -1."""
        from sp_search.models.networks.ponder_cell import PonderCellNetwork

        arguments: dict[str, Any] = {"features": shape.positions * shape.channels, "answers": shape.answers}
        arguments |= {"classes": shape.classes, "exits": exits, "halting": halting, **self.model_dump(exclude={"kind"})}
        network = PonderCellNetwork(**arguments, generator=generator)
        return self.finish(network, arguments, shape, exits, halting=halting)

    def prices(self, shape: Shape, exits: int, *, halting: bool) -> Prices:
        """Return the analytic FLOPs per example; one rollout costs the same at every exit, the start nothing."""
        width, features = self.width, shape.positions * shape.channels
        memory = memory_size(self.feedback, width, self.scratch_bits)
        if self.cell == "gru":
            step = linear_flops(features + memory - width, 3 * width) + linear_flops(width, 3 * width) + 10 * width
        else:
            step = linear_flops(features + memory, self.hidden) + self.hidden + linear_flops(self.hidden, width)
            step += width * (1 if self.feedback == "output" else 2)  # tanh, and the residual where there is a state
        step += writing_flops(self.feedback, width, self.scratch_bits)
        halt = linear_flops(memory, 1) if halting else 0.0
        answer = linear_flops(memory, shape.answers * shape.classes)
        return Prices(0.0, (step,) * exits, (halt,) * exits, (answer,) * exits, shape.answers, shape.classes)

    def parameters(self, shape: Shape, exits: int, *, halting: bool) -> int:
        """Return the number of parameters (the same for any number of rollouts)."""
        width, features = self.width, shape.positions * shape.channels
        memory = memory_size(self.feedback, width, self.scratch_bits)
        if self.cell == "gru":
            cell = 3 * width * (features + memory - width + 1 + width + 1)
        else:
            cell = (features + memory + 1) * self.hidden + (self.hidden + 1) * width
        writing = (width + 1) * self.scratch_bits if self.feedback != "state" else 0
        return cell + writing + (memory + 1) * (shape.answers * shape.classes + halting)

    def train_defaults(self) -> dict[str, float | int]:
        """Return the recipe measured on parity, which also wants `curriculum: 0.16` (the easiest examples first)."""
        return {"steps": 3600, "batch": 128, "learning_rate": 4e-3, "warmup_steps": 50}
