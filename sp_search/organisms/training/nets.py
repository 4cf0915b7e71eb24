"""S nets of one architecture side by side, one for every seed.

A net is a row of a population (`train.population`): weights, data and optimiser are its own, so a net is the same
whichever others train with it. What nets learn from is a closure that draws examples, what they learn is a closure that
returns a loss; fine-tuning is training that begins with other nets. Nets lie on the CPU and visit `device` to compute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from sp_search import halting
from sp_search.organisms.training.device import device, made_on
from sp_search.organisms.training.losses import NetLoss
from sp_search.organisms.training.optimiser import Optimiser
from sp_search.pricing import HaltingRule
from sp_search.program import Program, ProgramModel, unroll
from sp_search.records import derive_seed
from sp_search.tasks.base import Batch
from sp_search.train.population import Layout, Population, flatten, gradients, per_replica

if TYPE_CHECKING:
    from sp_search.models.base import ModelSpec
    from sp_search.tasks.base import Shape

Examples = Callable[[int, Generator], Batch]
"""(n, generator) -> n fresh examples of what a net is trained on."""

AHEAD = 16
"""Steps whose examples are drawn at once: every net draws its own, and a call for each step took 45 % of the time."""


@dataclass(frozen=True)
class Nets:
    """Trained nets of one architecture: `weights_RP` has a row for each of `seeds`; `model` gives the computation."""

    model: ProgramModel
    seeds: tuple[int, ...]
    weights_RP: Tensor
    exits: int
    rule: HaltingRule

    def programs(self) -> list[Program]:
        """Return every net as a program of its own."""
        layout, programs = Layout.of(self.model), []
        for row in range(len(self.seeds)):
            own = deepcopy(self.model)
            own.load_state_dict({name: part[0] for name, part in layout.split(self.weights_RP[row : row + 1]).items()})
            programs.append(Program(own.eval().requires_grad_(False), self.rule, self.exits))
        return programs

    def moved_R(self, since: Nets) -> Tensor:
        """Return how far each net's weights are from where they were, as Euclidean distance."""
        moved_R: Tensor = (self.weights_RP - since.weights_RP).norm(dim=1)
        return moved_R


def fresh(
    spec: ModelSpec, shape: Shape, exits: int, seeds: Sequence[int], rule: HaltingRule, *, halting: bool = True
) -> Nets:
    """Return untrained nets; each is built from its own seed."""
    generators = [Generator().manual_seed(derive_seed(seed, "organism", "weights")) for seed in seeds]
    models = [spec.build(shape, exits, halting=halting, generator=generator) for generator in generators]
    return Nets(models[0], tuple(seeds), torch.stack([flatten(model) for model in models]), exits, rule)


def train(
    nets: Nets,
    examples: Examples,
    loss: NetLoss,
    *,
    steps: int,
    batch: int,
    optimiser: Optimiser,
    purpose: str,
    until_R: Tensor | None = None,
) -> Nets:
    """Return the nets after `steps` steps.

    Args:
        nets: where training begins; the optimiser has seen nothing.
        examples: draws what a net learns from.
        loss: of one net.
        steps: of every net.
        batch: fresh examples of each net at each step.
        optimiser: kind, rate and decay.
        purpose: names the stream of examples: stages of one purpose and seed see the same ones.
        until_R: distances from where a net began, at which it stops moving.

    Raises:
        ArithmeticError: a net's weights are no longer finite.
    """
    generators = [Generator().manual_seed(derive_seed(seed, "organism", purpose)) for seed in nets.seeds]
    where = device()
    begun_RP = nets.weights_RP.to(where)
    population, until_R = Population.fresh(begun_RP), None if until_R is None else until_R.to(where)
    for first in range(0, steps, AHEAD):
        ahead = min(AHEAD, steps - first)
        drawn = [examples(ahead * batch, generator) for generator in generators]
        x_RBTC, y_RBT = (torch.stack(part).to(where) for part in zip(*drawn, strict=True))
        for x, y in zip(torch.split(x_RBTC, batch, 1), torch.split(y_RBT, batch, 1), strict=True):
            moved = step(nets.model, population, loss, (x, y), optimiser)
            if until_R is not None:
                running_R1 = (population.weights_RP - begun_RP).norm(dim=1, keepdim=True) < until_R[:, None]
                moved = replace(moved, weights_RP=moved.weights_RP.where(running_R1, population.weights_RP))
            population = moved
        if until_R is not None and not running_R1.any():
            break
    weights_RP = population.weights_RP.cpu()
    lost = [seed for seed, row_P in zip(nets.seeds, weights_RP, strict=True) if not row_P.isfinite().all()]
    if lost:
        raise ArithmeticError(f"training of the nets with seeds {lost} left the finite numbers: lower the rate")
    return replace(nets, weights_RP=weights_RP)


def step(
    model: ProgramModel, population: Population, loss: NetLoss, batch: tuple[Tensor, Tensor], optimiser: Optimiser
) -> Population:
    """Return the population after one step on x_RBTC and y_RBT, on the device where they all are."""
    with made_on(population.weights_RP.device):
        found = gradients(model, population.weights_RP, partial(_forgetting, loss), (*batch, {}))
        return optimiser.stepped(population, found)


def _forgetting(
    loss: NetLoss, model: ProgramModel, x_BTC: Tensor, y_BT: Tensor, remembered: dict[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    return loss(model, x_BTC, y_BT), remembered


@dataclass(frozen=True)
class Outcome:
    """What every net did with one batch: whether the answer it stopped with is right, and at which exit (1..N)."""

    right_RB: Tensor
    exit_RB: Tensor


def outcome(nets: Nets, batch: Batch, rule: HaltingRule | None = None) -> Outcome:
    """Return what the nets do under their rule or another: answers and exits are those that `execute` gives."""
    where = device()
    there = Batch(batch.x_BTC.to(where), batch.y_BT.to(where))
    found = stopped(nets.model, nets.weights_RP.to(where), there, rule or nets.rule, nets.exits)
    return Outcome(found.right_RB.cpu(), found.exit_RB.cpu())


@torch.no_grad()
def stopped(model: ProgramModel, weights_RP: Tensor, batch: Batch, rule: HaltingRule, exits: int) -> Outcome:
    """Return what every row of weights does with a batch, on the device where they all are."""

    def one(model: ProgramModel, x_BTC: Tensor) -> tuple[Tensor, Tensor]:
        reads = rule.reads
        seen = unroll(model, x_BTC, exits=exits, halting=reads == "halt", predicting=reads == "prediction")
        if rule.kind == "last":
            exit_B = x_BTC.new_full((len(x_BTC),), exits, dtype=torch.long)
        else:
            said_BN = None if seen.predict_BN is None else halting.predicted(seen.predict_BN)
            scores_NB = halting.scores(rule, seen.logits_NBTV, seen.halt_NB, said_BN)
            running_NB = scores_NB[:-1] < rule.level(seen.logits_NBTV.shape[-1])
            exit_B = running_NB.long().cumprod(0).sum(0) + 1
        taken_1BTV = (exit_B - 1)[None, :, None, None].expand(-1, -1, *seen.logits_NBTV.shape[2:])
        answer_BT = seen.logits_NBTV.gather(0, taken_1BTV)[0].argmax(-1)
        return (answer_BT == batch.y_BT).all(1), exit_B

    with made_on(weights_RP.device):
        return Outcome(*per_replica(model, one, Layout.of(model).split(weights_RP), (batch.x_BTC,), shared=True))
