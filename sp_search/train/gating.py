"""Gates on a network's units while it trains, and their end: the open units alone, as an ordinary narrower network.

A gate multiplies what is read of its unit, in every layer, so a closed unit is without influence whatever it computes.
The prior attaches the gates (`unit_gates`), the model says where its units are read (`ProgramModel.units`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Generator, Tensor
from torch.func import functional_call

from sp_search.pricing import HaltingRule, cumulative_flops
from sp_search.train.growth import Weights, prune
from sp_search.train.population import Bound, per_replica

if TYPE_CHECKING:
    from sp_search.models.base import ModelSpec
    from sp_search.program import Exits, ProgramModel
    from sp_search.tasks.base import Shape
    from sp_search.units import UnitLayout


class WidthPrice(NamedTuple):
    """FLOPs of a network of width w: constant + linear * w + square * w^2, which is exact for affine layers."""

    constant: float
    linear: float
    square: float

    @classmethod
    def of(cls, spec: ModelSpec, shape: Shape, exits: int, *, halting: bool) -> WidthPrice:
        """Return the price of a model by its width, from three widths."""
        one, two, three = (
            cumulative_flops(spec.at({"width": width}).prices(shape, exits, halting=halting), HaltingRule())[-1]
            for width in (1, 2, 3)
        )
        square = (three - 2 * two + one) / 2
        linear = two - one - 3 * square
        return cls(one - linear - square, linear, square)

    def at(self, width: float) -> float:
        """Return the FLOPs at a width."""
        return self.constant + self.linear * width + self.square * width**2

    def share(self, open_W: Tensor) -> Tensor:
        """Return E[FLOPs] over independent gates with these chances to be open, as a share of all units' FLOPs."""
        mean, variance = open_W.sum(), (open_W * (1 - open_W)).sum()
        expected = self.constant + self.linear * mean + self.square * (mean.square() + variance)
        return expected / self.at(len(open_W))


def gated(layout: UnitLayout, weights: Weights, gates: Tensor) -> Weights:
    """Return the weights with every read of unit j multiplied by gate j; leading dimensions of both go along.

    Args:
        layout: where units are read.
        weights: by name, each (..., *shape).
        gates: (..., W).
    """
    found = dict(weights)
    for name, wiring in layout.items():
        if wiring.reads is not None:
            sides = [
                gates if isinstance(one, str) else gates.new_ones((*gates.shape[:-1], one)) for one in wiring.reads
            ]
            found[name] = weights[name] * torch.cat(sides, dim=-1)[..., None, :]
    return found


def through_gates(
    model: ProgramModel, noise_W: Tensor, function: Callable[[ProgramModel], Exits]
) -> tuple[Exits, Tensor]:
    """Return `function(model)` with gates drawn from the noise, and the chance that each is open."""
    gates_W: Tensor = _gates(model)(noise_W)
    weights = gated(_layout(model), dict(model.named_parameters()), gates_W)
    exits: Exits = functional_call(
        Bound(model, function), {f"model.{name}": part for name, part in weights.items()}, ()
    )
    return exits, _gates(model).open_W()


def settled(model: ProgramModel, weights: Weights) -> Weights:
    """Return stacked weights (R, *shape) with the gates as they are in finished programs."""
    gates_RW: Tensor = per_replica(model, lambda network: _gates(network)(), weights, ())
    return gated(_layout(model), weights, gates_RW.detach())


def cut(spec: ModelSpec, model: ProgramModel, shape: Shape, exits: int, *, halting: bool) -> ProgramModel:
    """Return the network with its open units alone, or with the one that is most open."""
    with torch.no_grad():
        gates_W: Tensor = _gates(model)()
        kept = gates_W.nonzero().flatten().tolist() or [int(_gates(model).open_W().argmax())]
        weights = prune(_layout(model), gated(_layout(model), dict(model.named_parameters()), gates_W), kept)
    narrow = spec.at({"width": len(kept)}).build(shape, exits, halting=halting, generator=Generator().manual_seed(0))
    narrow.load_state_dict(weights)
    return narrow


def _gates(model: ProgramModel) -> Any:
    return model.get_submodule("unit_gates")


def _layout(model: ProgramModel) -> UnitLayout:
    assert model.units is not None
    return model.units
