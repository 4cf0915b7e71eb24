"""What a model part is: settings that build a `ProgramModel`, and how a budget is realised along its axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sp_search.plugins import Plugin

if TYPE_CHECKING:
    from torch import Generator

    from sp_search.pricing import Prices
    from sp_search.program import ProgramModel
    from sp_search.tasks.base import Shape
    from sp_search.units import UnitLayout


def linear_flops(fan_in: int, fan_out: int) -> float:
    """Return the price of one affine map: 2 FLOPs per multiply-add, 1 per bias added."""
    return float(2 * fan_in * fan_out + fan_out)


class ModelSpec(Plugin):
    """Base of every model part."""

    def axes(self) -> tuple[str, ...]:
        """Return the axes along which a max budget can be realised (`rollouts`, `width`, `depth`)."""
        raise NotImplementedError

    def realise(self, axis: str, cap: float) -> int | None:
        """Return the value of `axis` that spends `cap` (in units of the axis), or None when it cannot fit."""
        raise NotImplementedError

    def exits_axis(self) -> str:
        """Return the axis that counts exits: `rollouts` where they share weights, else `depth`."""
        return "rollouts" if "rollouts" in self.axes() else "depth"

    def at(self, axis: dict[str, int]) -> ModelSpec:
        """Return this model with the values that a budget gives to its axes; exits are built, not set."""
        fields = {name: axis[name] for name in self.axes() if name in axis and name != self.exits_axis()}
        return type(self)(**{**self.model_dump(), **fields}) if fields else self

    def unit_layout(self, shape: Shape, exits: int, *, halting: bool) -> UnitLayout | None:
        """Return which parts of every parameter grow with the width, or None where the width cannot move.

        A model with an axis `width` has one, and a field `width`.
        """
        return None

    def refuses(self, shape: Shape) -> str | None:
        """Say why this model cannot be built for tasks of that shape (what was got, what is allowed), or None."""
        return None

    def reach(self) -> int | None:
        """Return how many positions information moves per rollout, or None where there is no such bound."""
        return None

    def build(self, shape: Shape, exits: int, *, halting: bool, generator: Generator) -> ProgramModel:
        """Return a fresh network with N = `exits`, passed through `finish`; all its randomness is `generator`'s."""
        raise NotImplementedError

    def prices(self, shape: Shape, exits: int, *, halting: bool) -> Prices:
        """Return the analytic FLOPs per example at exits 1..`exits`: plain arithmetic, no torch."""
        raise NotImplementedError

    def parameters(self, shape: Shape, exits: int, *, halting: bool) -> int:
        """Return the number of parameters, without building anything."""
        raise NotImplementedError

    def train_defaults(self) -> dict[str, float | int]:
        """Return the recipe's own settings (steps, batch, learning_rate, ...) that a study may override."""
        return {}

    def _check_axis(self, axis: str) -> None:
        if axis not in self.axes():
            raise ValueError(f"{self.kind_name()} has no axis '{axis}'. Known: {', '.join(self.axes())}.")

    def finish(
        self, network: ProgramModel, arguments: dict[str, Any], shape: Shape, exits: int, *, halting: bool
    ) -> ProgramModel:
        """Give a network its price list and the JSON from which it can be built again, and return it.

        An exported program carries the file in which the network's class stands, which needs torch and `ProgramModel`
        alone.

        Args:
            network: freshly built.
            arguments: what its constructor took, as JSON.
            shape: what it was built for.
            exits: N.
            halting: it has a halting unit.
        """

        def price_list(positions: int, exits: int) -> Prices:
            answers = positions if shape.answers == shape.positions else shape.answers
            return self.prices(shape._replace(positions=positions, answers=answers), exits, halting=halting)

        network.price_list = price_list
        network.units = self.unit_layout(shape, exits, halting=halting)
        network.origin = {
            "model": self.model_dump(mode="json"),
            "shape": shape._asdict(),
            "exits": exits,
            "halting": halting,
            "network": {"class": type(network).__name__, "arguments": arguments},
        }
        return network


PART = ModelSpec
