"""Programs: everything that can answer early is a sequence of exits that share `start` and `step`.

Shape letters, once for the project: N exits, B batch, T positions, V classes, D width, R replicas, C input channels.
Every tensor that crosses a function carries them as a suffix (`logits_NBTV`).

A model is a `ProgramModel`: `start` embeds the input, `step(state, n)` computes up to exit n, `halt` and `answer` read
a state. Training unrolls the steps (`unroll`), execution really stops (`compute.stopping`). A plain network is a
program with one exit. Prices are analytic FLOPs per example; `compute.flops` checks them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from sp_search.pricing import HaltingRule, Prices, cumulative_flops

if TYPE_CHECKING:
    from collections.abc import Callable

    from sp_search.units import UnitLayout

State = tuple[Tensor, ...]
"""A model's state: tensors whose first dimension is B, so that halted rows can leave."""


class ProgramModel(nn.Module):
    """An nn.Module written as start/step.

    `step`, `halt` and `answer` are pure: no branch on tensor values, no in-place change, no row dropping; training runs
    them under vmap over R replicas.

    Attributes:
        exits: N, the largest number of exits this budget allows.
        shares_weights: exits share weights (they are rollouts and can be unrolled beyond N).
        any_length: it takes inputs of other lengths than it was built for.
        price_list: (positions, exits) -> analytic prices; the part that builds the network gives it.
        units: which parts of every parameter grow with the width, where the part that builds it says so.
        origin: JSON from which it can be built again: the part, the shape, N, and what its constructor took.
    """

    exits: int
    shares_weights: bool
    any_length: bool = True
    price_list: Callable[[int, int], Prices]
    units: UnitLayout | None = None
    origin: dict[str, Any]

    @torch.no_grad()
    def initialise(self, generator: Generator) -> None:
        """Draw every linear map's weights from +-1.7 / sqrt(fan_in), uniformly; biases are 0, of halting units -1."""
        for name, layer in self.named_modules():
            if isinstance(layer, nn.Linear):
                bound = 1.7 / layer.in_features**0.5
                layer.weight.uniform_(-bound, bound, generator=generator)
                if layer.bias is not None:
                    layer.bias.fill_(-1.0 if name.startswith("halt_unit") else 0.0)

    def start(self, x_BTC: Tensor) -> State:
        """Return the state before the first step."""
        raise NotImplementedError

    def step(self, state: State, exit_index: int) -> State:
        """Return the state at exit `exit_index` (1..N) from the state at the exit before."""
        raise NotImplementedError

    def halt(self, state: State, exit_index: int) -> Tensor:
        """Return halting logits of shape (B,): the log-odds of the conditional rate (PonderNet's lambda)."""
        raise NotImplementedError(f"{type(self).__name__} has no halting unit: build it with halting=True")

    def answer(self, state: State, exit_index: int) -> Tensor:
        """Return logits_BTV of this exit."""
        raise NotImplementedError

    def predict(self, x_BTC: Tensor) -> Tensor:
        """Return logits_BN of the separate halting predictor over the exits 1..N that the input needs."""
        predictor = self._modules.get("halting_predictor")
        if predictor is None:
            raise NotImplementedError(
                f"{type(self).__name__} has no halting predictor: train it with halting_predictor"
            )
        logits_BN: Tensor = predictor(x_BTC)
        return logits_BN

    def scratchpad(self, state: State) -> Tensor:
        """Return what the program has written, discrete: all that passes between rollouts with `feedback: output`."""
        raise NotImplementedError(f"{type(self).__name__} writes nothing: build it with feedback output or both")

    def with_scratchpad(self, state: State, pad: Tensor) -> State:
        """Return the state as it would be had the program written `pad`: audits erase it, or shuffle it over B."""
        raise NotImplementedError(f"{type(self).__name__} writes nothing: build it with feedback output or both")

    def prices(self, positions: int, exits: int) -> Prices:
        """Return the analytic FLOPs per example of T = `positions` inputs, for exits 1..`exits`."""
        return self.price_list(positions, exits)

    def reach(self) -> int | None:
        """Return how many positions information moves per rollout, or None where there is no such bound."""
        return None


@dataclass(frozen=True)
class Exits:
    """What training sees: every exit's answer, halting logits and cumulative price.

    logits_NBTV; halt_NB holds halting *logits* or None for a model without a halting unit; flops_N is cumulative FLOPs
    per example when the answer is given at exit n. Where a loss asks for them: depth_N, the serial depth when the
    answer is given at exit n; right_NB, whether exit n answers rightly; predict_BN, the halting predictor's logits;
    active, the expected FLOPs of the units whose gates are open, as a share of all units' (a scalar).
    """

    logits_NBTV: Tensor
    halt_NB: Tensor | None
    flops_N: tuple[float, ...]
    depth_N: tuple[float, ...] = ()
    right_NB: Tensor | None = None
    predict_BN: Tensor | None = None
    active: Tensor | None = None


def unroll(
    model: ProgramModel,
    x_BTC: Tensor,
    *,
    exits: int,
    halting: bool,
    burn_in: int = 0,
    last_only: bool = False,
    predicting: bool = False,
    rule: HaltingRule | None = None,
) -> Exits:
    """Compute exits 1..`exits` for training.

    Args:
        model: the network.
        x_BTC: inputs.
        exits: N.
        halting: also read the halting unit at every exit.
        burn_in: rollouts that run first without gradient (models whose exits share weights).
        last_only: answer at the last exit only (N = 1 in the returned logits): what a fixed budget needs.
        predicting: also read the halting predictor.
        rule: under which flops_N is stated; by default `quantile` with a halting unit and `last` without.
    """
    with torch.set_grad_enabled(torch.is_grad_enabled() and not burn_in):
        state = model.start(x_BTC)
        for _ in range(burn_in):
            state = model.step(state, 1)
    logits, halts = [], []
    for index in range(1, exits + 1):
        state = model.step(state, index)
        if halting:
            halts.append(model.halt(state, index))
        if not last_only or index == exits:
            logits.append(model.answer(state, index))
    rule = rule or HaltingRule("quantile" if halting else "last")
    flops_N = cumulative_flops(model.prices(x_BTC.shape[1], exits), rule)
    return Exits(
        torch.stack(logits),
        torch.stack(halts) if halting else None,
        flops_N[-1:] if last_only else flops_N,
        predict_BN=model.predict(x_BTC) if predicting else None,
    )


@dataclass(frozen=True)
class Program:
    """A model with its halting rule and its number of exits: what is selected, exported and audited."""

    model: ProgramModel
    rule: HaltingRule
    exits: int

    def __post_init__(self) -> None:
        """Refuse a number of exits that the model has not.

        Raises:
            ValueError: it is no whole number from 1, or more than a model has whose exits share no weights.
        """
        exits: object = self.exits
        if not isinstance(exits, int) or exits < 1:
            raise ValueError(f"a program has a whole number of exits, 1 or more: got exits={exits}")
        if not self.model.shares_weights and self.exits > self.model.exits:
            raise ValueError(
                f"{type(self.model).__name__} has {self.model.exits} exits, got exits={self.exits}: only models whose "
                "exits share weights go on beyond those that they were built with"
            )

    def flops_N(self, positions: int) -> tuple[float, ...]:
        """Return the cumulative FLOPs per example when it answers at exit n, for T = `positions`."""
        return cumulative_flops(self.model.prices(positions, self.exits), self.rule)

    def max_available_flops(self, positions: int) -> float:
        """Return the most compute that it could spend on any input of `positions` positions."""
        return max(self.flops_N(positions))


def halting_log_probabilities(halt_NB: Tensor) -> Tensor:
    """Return log p_NB from halting logits: log p_n = sum_{j<n} log(1 - lambda_j) + log lambda_n, lambda = sigmoid.

    Log-sigmoids keep it exact where a rate is near 0 or 1 (PonderNet, arXiv 2107.05407, equation 6). The remainder
    stays on N, log p_N = sum_{j<N} log(1 - lambda_j): that is what executes, so the logit of exit N is never used.
    """
    survival_NB = functional.logsigmoid(-halt_NB[:-1]).cumsum(0)
    before_NB = torch.cat([torch.zeros_like(halt_NB[:1]), survival_NB])
    halting_NB = torch.cat([functional.logsigmoid(halt_NB[:-1]), torch.zeros_like(halt_NB[:1])])
    return before_NB + halting_NB


def halting_probabilities(halt_NB: Tensor) -> Tensor:
    """Return p_NB, the distribution over exits of these halting logits; it sums to 1 over N (remainder on N)."""
    return halting_log_probabilities(halt_NB).exp()
