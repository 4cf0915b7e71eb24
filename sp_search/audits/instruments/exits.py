"""A program seen at all its exits: what it would answer there, how sure it is, where it halts, and its states."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from sp_search.compute.stopping import execute
from sp_search.program import Program, ProgramModel, State
from sp_search.tasks.base import Batch, Task
from sp_search.train.evaluate import chunks

SURE = 0.9
"""How likely the least sure position's answer has to be: an answer that is right by its sign alone says nothing."""

MOST_FEATURES = 512
"""Larger states are projected at random (Johnson and Lindenstrauss), so that probes stay cheap."""


@dataclass(frozen=True)
class Seen:
    """A program on one batch: right_NB and sure_NB at every exit; the exit it takes, and what it spends.

    taken_B: right where it halts; exit_B in 1..N.
    """

    right_NB: Tensor
    sure_NB: Tensor
    exit_B: Tensor
    flops_B: Tensor
    taken_B: Tensor

    @property
    def later_NB(self) -> Tensor:
        """Whether exit n comes after the one that is taken."""
        return torch.arange(1, len(self.right_NB) + 1)[:, None] > self.exit_B


@torch.no_grad()
def see(program: Program, task: Task, batch: Batch) -> Seen:
    """Run a program with its halting, and again through all its exits."""
    parts = []
    generator = Generator().manual_seed(program.rule.seed)
    for part in chunks(batch):
        ran = execute(program, part.x_BTC, generator=generator)
        logits_NBTV = torch.stack([program.model.answer(*at) for at in walk(program, part.x_BTC)])
        right_NB = torch.stack([task.correct(logits_BTV, part) for logits_BTV in logits_NBTV])
        sure_NB = logits_NBTV.softmax(-1).amax(-1).amin(-1) >= SURE
        taken_B = task.correct(ran.answer_BTV, part)
        parts.append(Seen(right_NB, sure_NB, ran.exit_B, ran.flops_B, taken_B))
    return Seen(
        torch.cat([part.right_NB for part in parts], 1),
        torch.cat([part.sure_NB for part in parts], 1),
        torch.cat([part.exit_B for part in parts]),
        torch.cat([part.flops_B for part in parts]),
        torch.cat([part.taken_B for part in parts]),
    )


@torch.no_grad()
def walk(program: Program, x_BTC: Tensor) -> list[tuple[State, int]]:
    """Return the state at every exit 1..N, with its number, whatever the halting rule says."""
    state, found = program.model.start(x_BTC), []
    for index in range(1, program.exits + 1):
        state = program.model.step(state, index)
        found.append((state, index))
    return found


@torch.no_grad()
def features(program: Program, x_BTC: Tensor, generator: Generator) -> list[Tensor]:
    """Return features_BF of the state at every exit, standardised, without what no step changes (the input itself)."""
    start = program.model.start(x_BTC)
    return [_flat(_changed(start, state), generator) for state, _ in walk(program, x_BTC)]


@torch.no_grad()
def active_units(program: Program, x_BTC: Tensor, exit_B: Tensor, least: float) -> Tensor:
    """Return how many numbers of its states exceed `least` in size, summed up to the exit that each example takes."""
    start, total_B = program.model.start(x_BTC), torch.zeros(len(x_BTC), dtype=torch.float64)
    for state, index in walk(program, x_BTC):
        units_B = sum((part.abs() > least).flatten(1).sum(1) for part in _changed(start, state))
        total_B += torch.where(exit_B >= index, units_B, 0)
    return total_B


def _changed(start: State, state: State) -> list[Tensor]:
    def same(part: Tensor, other: Tensor) -> bool:
        return part.shape == other.shape and bool((part == other).all())

    kept = [part for part in state if not any(same(part, other) for other in start)]
    return [part for part in kept if part.is_floating_point()] or list(state)


def _flat(parts: list[Tensor], generator: Generator) -> Tensor:
    flat_BF = torch.cat([part.flatten(1) for part in parts], dim=1)
    if flat_BF.shape[1] > MOST_FEATURES:
        seeded = Generator().manual_seed(generator.initial_seed())
        flat_BF = flat_BF @ torch.randn((flat_BF.shape[1], MOST_FEATURES), generator=seeded)
    return (flat_BF - flat_BF.mean(0)) / flat_BF.std(0).clamp_min(1e-6)


@torch.no_grad()
def shuffled(model: ProgramModel, generator: Generator) -> ProgramModel:
    """Return a copy in which every tensor of weights is permuted: the same scales, and nothing that was learned."""
    from copy import deepcopy

    control = deepcopy(model)
    for part in control.parameters():
        part.copy_(part.flatten()[torch.randperm(part.numel(), generator=generator)].reshape(part.shape))
    return control


@torch.no_grad()
def disturbed(model: ProgramModel, size: float, generator: Generator) -> ProgramModel:
    """Return a copy whose weights carry Gaussian noise, of `size` times the deviation of each tensor."""
    from copy import deepcopy

    control = deepcopy(model)
    for part in control.parameters():
        if part.numel() > 1:
            part.add_(torch.randn(part.shape, generator=generator), alpha=size * float(part.std()))
    return control
