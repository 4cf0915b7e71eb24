"""The recipe of one level of one member: seeds, data, schedule and loss as functions of the step, not of time.

What its steps and looks cost is in `bill`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor
from torch.nn import functional

from sp_search.assembly import Parts
from sp_search.compute.serial import program_serial_depth
from sp_search.pricing import HaltingRule, cumulative_flops
from sp_search.program import Exits, Program, ProgramModel, unroll
from sp_search.records import Assignment, derive_seed
from sp_search.tasks.base import Batch
from sp_search.train.bill import Bill
from sp_search.train.gating import WidthPrice, through_gates
from sp_search.train.population import Layout, ReplicaLoss
from sp_search.units import network_width

if TYPE_CHECKING:
    from sp_search.models.base import ModelSpec
    from sp_search.priors.base import SpeedPrior
    from sp_search.tasks.base import Task
    from sp_search.train.settings import TrainSettings


@dataclass(frozen=True)
class Job:
    """What stays the same through one level of one member.

    `fresh` lineages go through the recipe's warm-up; inherited ones begin after it.
    """

    assignment: Assignment
    study_seed: int
    task: Task
    spec: ModelSpec
    prior: SpeedPrior
    settings: TrainSettings
    model: ProgramModel
    layout: Layout
    exits: int
    fresh: bool
    device: str

    def seed(self, *purpose: object) -> int:
        """Return a seed for a purpose within this member's visit of this level."""
        at = self.assignment
        return derive_seed(self.study_seed, at.member, at.visit, at.level, *purpose)

    @cached_property
    def bill(self) -> Bill:
        """The recipe's steps and looks as prices."""
        parts, kind = Parts(self.spec, self.prior), self.assignment.budget.kind
        return Bill(parts, self.task.shape(), self.exits, self.settings, kind, self.fresh, sum(self.layout.sizes))

    def progress(self, step: int) -> float:
        """Return the share of the recipe that is done after `step` optimiser steps."""
        return self.bill.progress(step)

    def may_stop(self, step: int) -> bool:
        """Whether a lineage that is good enough may stop after `step` steps."""
        return self.bill.may_stop(step)

    def learning_rate(self, step: int) -> float:
        """Return the step size: a linear rise for fresh lineages, a linear fall after `decay_from`."""
        settings, progress = self.settings, self.progress(step)
        rate = settings.learning_rate
        if self.fresh and step + 1 < settings.warmup_steps:
            rate *= (step + 1) / settings.warmup_steps
        if progress > settings.decay_from:
            fallen = (progress - settings.decay_from) / (1.0 - settings.decay_from)
            rate *= 1.0 - fallen * (1.0 - settings.decay_to)
        return rate

    def slice_data(self, lineages: list[int], shares: list[float], first: int, steps: int) -> tuple[Tensor, Tensor]:
        """Return x_SRBTC and y_SRBT: every lineage's own examples for the S = `steps` steps from `first` on.

        A lineage whose curriculum stands at a share s draws 1 / s as many and keeps the easiest, in the order drawn.
        """
        batch, distribution = self.settings.batch, self.task.distributions()[0]
        xs, ys = [], []
        for lineage, share in zip(lineages, shares, strict=True):
            generator = Generator().manual_seed(self.seed(lineage, "train", first))
            drawn = self.task.sample(ceil(steps * batch / share), distribution, "train", generator)
            if share < 1.0:
                easiest = self.task.difficulty(drawn).argsort(stable=True)[: steps * batch].sort().values
                drawn = Batch(drawn.x_BTC[easiest], drawn.y_BT[easiest])
            xs.append(drawn.x_BTC.reshape(steps, batch, *drawn.x_BTC.shape[1:]))
            ys.append(drawn.y_BT.reshape(steps, batch, *drawn.y_BT.shape[1:]))
        return torch.stack(xs, dim=1).to(self.device), torch.stack(ys, dim=1).to(self.device)

    def burn_ins(self, first: int, steps: int) -> list[int]:
        """Return for each step how many rollouts, 1..2N-1 or none, run first without gradient, common to all replicas.

        With halting it belongs to the warm-up alone: what halts, or predicts it, counts rollouts from the start.
        """
        if self.exits == 1 or not self.model.shares_weights:
            return [0] * steps
        generator = Generator().manual_seed(self.seed("burn_in", first))
        drawn = (torch.rand(steps, generator=generator) < self.settings.burn_in).tolist()
        lengths = torch.randint(1, 2 * self.exits, (steps,), generator=generator).tolist()
        return [
            length if on and self.bill.may_burn_in(first + index) else 0
            for index, (on, length) in enumerate(zip(drawn, lengths, strict=True))
        ]

    def loss(self, step: int, burn_in: int) -> ReplicaLoss:
        """Return the loss of one replica at this step."""
        halting, last_only = self.bill.trains_halting(step), not self.prior.needs_every_exit()
        predicting, trains_program = self.bill.trains_predictor(step), self.prior.trains_program(self.progress(step))
        budget = self.assignment.budget
        known: dict[str, Any] = {"progress": self.progress(step), "cap": budget.cap if budget.kind == "mean" else None}
        known["cost_N"] = self.cost_N()
        known |= self.assignment.controls

        def replica_loss(
            model: ProgramModel,
            x_BTC: Tensor,
            y_BT: Tensor,
            remembered: dict[str, Tensor],
            noise_U: Tensor | None = None,
        ) -> tuple[Tensor, dict[str, Tensor]]:
            def batch_loss(logits_BTV: Tensor) -> Tensor:
                return functional.cross_entropy(logits_BTV.movedim(-1, 1), y_BT, reduction="none").flatten(1).mean(1)

            def unrolled(network: ProgramModel) -> Exits:
                rule = self.prior.rule()
                return unroll(
                    network, x_BTC, exits=self.exits, halting=halting, burn_in=burn_in, last_only=last_only, rule=rule
                )

            with torch.set_grad_enabled(torch.is_grad_enabled() and trains_program):
                exits, open_U = (unrolled(model), None) if noise_U is None else through_gates(model, noise_U, unrolled)
            batch = Batch(x_BTC, y_BT)
            exits = replace(
                exits,
                depth_N=self.depth_N if self.prior.reads_depth() else (),
                right_NB=torch.stack([self.task.correct(logits_BTV, batch) for logits_BTV in exits.logits_NBTV]),
                predict_BN=model.predict(x_BTC) if predicting else None,
                active=None if open_U is None else self.width_price.share(open_U),
            )
            loss, state = self.prior.loss(exits, batch_loss, {**known, **remembered})
            return loss, {name: state[name].detach() for name in remembered}

        return replica_loss

    @cached_property
    def width_price(self) -> WidthPrice:
        """FLOPs of the network by its width, for priors that gate its units."""
        return WidthPrice.of(self.spec, self.task.shape(), self.exits, halting=self.prior.uses_halting())

    def gate_noise(self, lineages: list[int], first: int, steps: int) -> Tensor | None:
        """Return noise_SRU, every lineage's own, from which its gates are drawn in the S steps from `first` on."""
        if not self.prior.gates_units():
            return None
        units = network_width(self.model.units or {}, dict(zip(self.layout.names, self.layout.shapes, strict=True)))
        generators = [Generator().manual_seed(self.seed(lineage, "gates", first)) for lineage in lineages]
        noise_RSU = torch.stack([torch.rand(steps, units, generator=generator) for generator in generators])
        return noise_RSU.transpose(0, 1).to(self.device)

    @cached_property
    def depth_N(self) -> tuple[float, ...]:
        """The serial depth of answering at exit n."""
        shape = self.task.shape()
        return tuple(
            float(program_serial_depth(Program(self.model, HaltingRule(), exits), shape))
            for exits in range(1, self.exits + 1)
        )

    def cost_N(self) -> tuple[float, ...]:
        """Return what answering at exit n costs, in the measure of the budget."""
        if self.assignment.budget.measure == "rollouts":
            return tuple(float(index + 1) for index in range(self.exits))
        return cumulative_flops(self.bill.prices, self.prior.rule())

    def step_flops(self, step: int, burn_in: int) -> float:
        """Return the FLOPs of one optimiser step of one replica."""
        return self.bill.step_flops(step, burn_in)
