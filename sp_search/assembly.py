"""A model part and a prior part put together: the network that trains, its prices and its size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sp_search.models.base import ModelSpec
from sp_search.plugins import find
from sp_search.priors.base import SpeedPrior

if TYPE_CHECKING:
    from torch import Generator

    from sp_search.pricing import Prices
    from sp_search.program import ProgramModel
    from sp_search.tasks.base import Shape


class Parts(NamedTuple):
    """What a member trains: its model and its prior."""

    model: ModelSpec
    prior: SpeedPrior


def parts_of(model: ModelSpec, prior: SpeedPrior, config: dict[str, Any]) -> Parts:
    """Return a member's parts: the study's, with the member's fields over them.

    `config` holds fields of the model, and under `prior` fields of the prior; it may name another `kind` of model.
    """
    own = {key: value for key, value in config.items() if key != "prior"}
    if own.get("kind", model.kind_name()) != model.kind_name():
        built = find("models", own["kind"]).model_validate(own)
    else:
        built = type(model).model_validate(model.model_dump() | own)
    assert isinstance(built, ModelSpec)
    return Parts(built, type(prior).model_validate(prior.model_dump() | config.get("prior", {})))


def build(model: ModelSpec, prior: SpeedPrior, shape: Shape, exits: int, generator: Generator) -> ProgramModel:
    """Return a fresh network with N = `exits`, with whatever the prior needs attached; its price list includes it."""
    network = model.build(shape, exits, halting=prior.uses_halting(), generator=generator)
    alone = network.price_list

    def price_list(positions: int, unrolled: int) -> Prices:
        return prior.priced(alone(positions, unrolled), shape._replace(positions=positions), exits)

    network.origin["prior"] = prior.model_dump(mode="json")
    network = prior.attach(network, shape, exits, generator)
    network.price_list = price_list
    return network


def prices(model: ModelSpec, prior: SpeedPrior, shape: Shape, exits: int) -> Prices:
    """Return the analytic FLOPs per example at exits 1..`exits`: plain arithmetic, no torch."""
    return prior.priced(model.prices(shape, exits, halting=prior.uses_halting()), shape, exits)


def parameters(model: ModelSpec, prior: SpeedPrior, shape: Shape, exits: int) -> int:
    """Return the number of parameters, without building anything."""
    gates: int = model.model_dump()["width"] if prior.gates_units() else 0
    return model.parameters(shape, exits, halting=prior.uses_halting()) + prior.parameters(shape, exits) + gates
