"""A model part and a prior part put together: the network that trains, its prices and its size."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator

    from sp_search.models.base import ModelSpec
    from sp_search.pricing import Prices
    from sp_search.priors.base import SpeedPrior
    from sp_search.program import ProgramModel
    from sp_search.tasks.base import Shape


def build(model: ModelSpec, prior: SpeedPrior, shape: Shape, exits: int, generator: Generator) -> ProgramModel:
    """Return a fresh network with N = `exits`, with whatever the prior needs attached; its price list includes it."""
    network = model.build(shape, exits, halting=prior.uses_halting(), generator=generator)
    alone = network.price_list

    def price_list(positions: int, exits: int) -> Prices:
        return prior.priced(alone(positions, exits), shape._replace(positions=positions), exits)

    network = prior.attach(network, shape, exits, generator)
    network.price_list = price_list
    return network


def prices(model: ModelSpec, prior: SpeedPrior, shape: Shape, exits: int) -> Prices:
    """Return the analytic FLOPs per example at exits 1..`exits`: plain arithmetic, no torch."""
    return prior.priced(model.prices(shape, exits, halting=prior.uses_halting()), shape, exits)


def parameters(model: ModelSpec, prior: SpeedPrior, shape: Shape, exits: int) -> int:
    """Return the number of parameters, without building anything."""
    return model.parameters(shape, exits, halting=prior.uses_halting()) + prior.parameters(shape, exits)
