"""Its settings, its axes and its prices; the network itself is in another file, as it needs torch."""

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


class Reader(Recurrent):
    """A tanh cell that reads one position a rollout, round and round; it answers and halts from its state."""

    kind: Literal["reader"] = "reader"
    width: int = Field(16, ge=1, description="units of the state")

    def build(self, shape: Shape, exits: int, *, halting: bool, generator: Generator) -> ProgramModel:
        from sp_search_examples._network import ReaderNetwork

        arguments: dict[str, Any] = {"channels": shape.channels, "answers": shape.answers, "classes": shape.classes}
        arguments |= {"width": self.width, "exits": exits, "halting": halting}
        network = ReaderNetwork(**arguments, generator=generator)
        return self.finish(network, arguments, shape, exits, halting=halting)

    def prices(self, shape: Shape, exits: int, *, halting: bool) -> Prices:
        step = linear_flops(self.width + shape.channels, self.width) + self.width  # an affine map, and tanh
        halt, answer = linear_flops(self.width, halting), linear_flops(self.width, shape.answers * shape.classes)
        return Prices(0.0, (step,) * exits, (halt,) * exits, (answer,) * exits, shape.answers, shape.classes)

    def parameters(self, shape: Shape, exits: int, *, halting: bool) -> int:
        cell = (self.width + shape.channels + 1) * self.width
        return cell + (self.width + 1) * (shape.answers * shape.classes + halting)
