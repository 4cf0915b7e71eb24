"""Lineages of one member that train together: stacked flat weights and Adam moments, one vmapped loss, summed.

A replica is a row. Its data, its gradient clip and its Adam state are its own, so a row's course does not depend on
which other rows are there: rows leave by indexing (weights *and* moments), and one that stops being finite harms none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call, vmap

if TYPE_CHECKING:
    from sp_search.program import ProgramModel

ADAM_DECAY = (0.9, 0.999)
ADAM_EPSILON = 1e-8

ReplicaLoss = Callable[..., tuple[Tensor, dict[str, Tensor]]]
"""(model, x_BTC, y_BT, what is remembered, noise_U if it has gates) of a replica -> scalar loss, what is remembered."""


@dataclass(frozen=True)
class Layout:
    """Where each parameter of a network lies in a flat vector of P numbers."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, model: ProgramModel) -> Layout:
        """Return the layout of a network's parameters, in its own order."""
        named = list(model.named_parameters())
        return cls(tuple(name for name, _ in named), tuple(tuple(parameter.shape) for _, parameter in named))

    @property
    def sizes(self) -> list[int]:
        """Numbers in each parameter."""
        return [torch.Size(shape).numel() for shape in self.shapes]

    def split(self, flat_RP: Tensor) -> dict[str, Tensor]:
        """Return the stacked parameters by name, each (R, *shape), as views of `flat_RP`."""
        pieces = torch.split(flat_RP, self.sizes, dim=1)
        return {n: p.reshape(-1, *s) for n, s, p in zip(self.names, self.shapes, pieces, strict=True)}


def flatten(model: ProgramModel) -> Tensor:
    """Return a network's parameters as one vector (P,)."""
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@dataclass(frozen=True)
class Population:
    """Stacked weights and Adam state. `count_RP` is the number of updates that each number has had."""

    weights_RP: Tensor
    first_RP: Tensor
    second_RP: Tensor
    count_RP: Tensor

    @classmethod
    def fresh(cls, weights_RP: Tensor) -> Population:
        """Return a population whose optimiser has seen nothing."""
        return cls(weights_RP, *(torch.zeros_like(weights_RP) for _ in range(3)))

    def arrays(self) -> dict[str, Tensor]:
        """Return the tensors by name, as a checkpoint stores them."""
        return dict(self.__dict__)

    def rows(self, index: list[int]) -> Population:
        """Return these replicas only, in this order."""
        return Population(**{name: array[index] for name, array in self.arrays().items()})

    def with_rows(self, index: list[int], other: Population) -> Population:
        """Return a copy in which the replicas at `index` are those of `other`."""
        arrays = {name: array.clone() for name, array in self.arrays().items()}
        for name, array in other.arrays().items():
            arrays[name][index] = array.to(arrays[name].device)
        return Population(**arrays)

    def to(self, device: str) -> Population:
        """Return the population on `device`."""
        return Population(**{name: array.to(device) for name, array in self.arrays().items()})


def adam(population: Population, gradient_RP: Tensor, used_P: Tensor, learning_rate: float, clip: float) -> Population:
    """Return the population after one Adam step (1412.6980), with each replica's gradient clipped to norm `clip`.

    Args:
        population: before the step.
        gradient_RP: gradients; a replica's row touches nothing but that replica.
        used_P: 1 where this batch used the parameter; the others keep weights, moments and count.
        learning_rate: the step size.
        clip: largest gradient norm.
    """
    norm_R1 = gradient_RP.norm(dim=1, keepdim=True)
    gradient_RP = gradient_RP * (clip / (norm_R1 + 1e-6)).clamp(max=1.0)
    decay1, decay2 = ADAM_DECAY
    first_RP = torch.lerp(population.first_RP, gradient_RP, (1 - decay1) * used_P)
    second_RP = torch.lerp(population.second_RP, gradient_RP.square(), (1 - decay2) * used_P)
    count_RP = population.count_RP + used_P
    debias1_RP, debias2_RP = (1 - decay**count_RP for decay in ADAM_DECAY)
    scaled_RP = (first_RP / debias1_RP) / ((second_RP / debias2_RP).sqrt() + ADAM_EPSILON)
    moved_RP = torch.where(used_P > 0, population.weights_RP - learning_rate * scaled_RP, population.weights_RP)
    return Population(moved_RP, first_RP, second_RP, count_RP)


class Stepped(NamedTuple):
    """A population after a step, its losses at that step, and what each replica's prior remembers next."""

    population: Population
    loss_R: Tensor
    remembered: dict[str, Tensor]


class Bound(torch.nn.Module):
    """A network and a function of it as one module, so that `functional_call` swaps the weights for all of it."""

    def __init__(self, model: ProgramModel, function: Callable[..., Any]) -> None:
        super().__init__()
        self.model = model
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(self.model, *inputs)


def per_replica(
    model: ProgramModel,
    function: Callable[..., Any],
    weights: dict[str, Tensor],
    inputs: tuple[Any, ...],
    *,
    shared: bool = False,
) -> Any:
    """Return `function(model, *inputs)` for every replica, stacked over R.

    Args:
        model: gives the computation; its own weights are not used.
        function: pure, returns a tensor or a tuple of tensors.
        weights: stacked parameters by name, each (R, *shape).
        inputs: tensors, or dictionaries of them, each (R, ...), or without R when `shared`.
        shared: all replicas read the same inputs.
    """

    def one(own: dict[str, Tensor], *own_inputs: Any) -> Any:
        return functional_call(
            Bound(model, function), {f"model.{name}": part for name, part in own.items()}, own_inputs
        )

    return vmap(one, in_dims=(0, *((None if shared else 0,) * len(inputs))))(weights, *inputs)


class Gradients(NamedTuple):
    """The losses of one batch, what each replica's prior remembers next, and gradients of the parameters it used."""

    loss_R: Tensor
    remembered: dict[str, Tensor]
    gradient_RP: Tensor
    used_P: Tensor


def gradients(model: ProgramModel, weights_RP: Tensor, replica_loss: ReplicaLoss, inputs: tuple[Any, ...]) -> Gradients:
    """Return every replica's gradient of its own loss on its own row of `inputs`; 0 where a parameter is unused."""
    leaves = {name: part.detach().requires_grad_() for name, part in Layout.of(model).split(weights_RP).items()}
    loss_R, remembered = per_replica(model, replica_loss, leaves, inputs)
    found: tuple[Tensor | None, ...] = torch.autograd.grad(loss_R.sum(), list(leaves.values()), allow_unused=True)
    gradient_RP, used_P = [], []
    for leaf, gradient in zip(leaves.values(), found, strict=True):
        gradient_RP.append((torch.zeros_like(leaf) if gradient is None else gradient).flatten(1))
        used_P.append(leaf.new_full((leaf[0].numel(),), float(gradient is not None)))
    return Gradients(loss_R.detach(), remembered, torch.cat(gradient_RP, dim=1), torch.cat(used_P))


def train_step(
    model: ProgramModel,
    population: Population,
    replica_loss: ReplicaLoss,
    batch: tuple[Tensor, Tensor],
    learning_rate: float,
    clip: float,
    remembered: dict[str, Tensor] | None = None,
    noise_RU: Tensor | None = None,
) -> Stepped:
    """Return the population after one step on the summed losses; a batch is x_RBTC, y_RBT, `remembered` float_R.

    `noise_RU` is what the loss draws its gates from, where it has some.
    """
    inputs = (*batch, remembered or {}, *([] if noise_RU is None else [noise_RU]))
    loss_R, remembered, gradient_RP, used_P = gradients(model, population.weights_RP, replica_loss, inputs)
    stepped = adam(population, gradient_RP, used_P, learning_rate, clip)
    return Stepped(stepped, loss_R, remembered)
