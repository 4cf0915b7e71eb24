"""Experiment `simplicity`: which functions does gradient descent find, the simple ones? And do those generalise?

Small perceptrons are trained on some of the inputs of a Boolean function until they are right on all of those; what
they answer on the others is counted over many initialisations (the design of Mingard et al., JMLR 2021). How simple a
function is: the fewest leaves of a decision tree for it.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import Field

from sp_search.experiments.base import Evidence, Experiment, mean_cell
from sp_search.records import derive_seed

if TYPE_CHECKING:
    from torch import Tensor

BITS = 3
INPUTS = 2**BITS
FUNCTIONS = 2**INPUTS


class Training(NamedTuple):
    """A training set: which inputs are shown, and the truth table of the target (bit i: the answer to input i)."""

    shown: tuple[int, ...]
    target: int


class Simplicity(Experiment):
    """Perceptrons on part of a Boolean function of three bits; a unit is a training set, its nets share it."""

    kind: Literal["simplicity"] = "simplicity"
    shown: int = Field(4, ge=1, lt=INPUTS, description="inputs of the eight that are trained on")
    width: int = Field(32, ge=1, description="hidden units")
    nets: int = Field(48, ge=2, description="initialisations a training set")
    steps: int = Field(300, ge=1, description="of full-batch gradient descent")
    learning_rate: float = Field(1.0, gt=0, description="step size of the training")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Count what is found for n training sets, whose targets are drawn uniformly from all 256 functions.

        Every unit has two more targets, one of the simplest and one of the most complex functions, on its inputs.
        """
        seeds = list(range(seed, seed + n))
        drawn = [self._training(unit) for unit in seeds]
        simple, complex_ = _extremes()
        ranked = self._found(drawn, seed)
        correlations = [_rank_correlation(one, found) for one, found in zip(drawn, ranked, strict=True)]
        rates = {}
        for name, among in (("simple", simple), ("complex", complex_)):
            trainings = [
                Training(one.shown, Random(derive_seed(unit, name)).choice(among))  # noqa: S311 - reproducible
                for one, unit in zip(drawn, seeds, strict=True)
            ]
            found = self._found(trainings, seed)
            rates[name] = [
                sum(function == one.target for function in functions) / max(1, len(functions))
                for one, functions in zip(trainings, found, strict=True)
            ]
        fitted = [len(found) / self.nets for found in ranked]
        cells = [
            mean_cell("rank_correlation", correlations, note="leaves against how often it was found"),
            mean_cell("generalises_simple", rates["simple"], note="share of fitting nets right on every input"),
            mean_cell("generalises_complex", rates["complex"], note="share of fitting nets right on every input"),
            mean_cell("fitted", fitted, note="share of nets that fit what was shown"),
        ]
        return Evidence(cells=cells, seeds=seeds)

    def seconds(self, n: int) -> float:
        return 2.5 + 0.00001 * n * self.nets * self.steps

    def _training(self, unit: int) -> Training:
        random = Random(derive_seed(unit, "simplicity"))  # noqa: S311 - a reproducible draw, no secret
        return Training(tuple(sorted(random.sample(range(INPUTS), self.shown))), random.randrange(FUNCTIONS))

    def _found(self, trainings: list[Training], seed: int) -> list[list[int]]:
        """Return for every training set the functions of those nets that fit it, one a net."""
        import torch

        generator = torch.Generator().manual_seed(derive_seed(seed, "nets", len(trainings)))
        x_IB = torch.tensor(list(product((-1.0, 1.0), repeat=BITS)))  # I inputs, B bits
        shown_UI = torch.zeros(len(trainings), INPUTS)
        target_UI = torch.zeros(len(trainings), INPUTS)
        for row, one in enumerate(trainings):
            shown_UI[row, list(one.shown)] = 1.0
            target_UI[row] = torch.tensor([one.target >> index & 1 for index in range(INPUTS)], dtype=torch.float)
        answer_RI = self._trained(x_IB, shown_UI, target_UI, generator)
        right_RI = answer_RI == target_UI.bool().repeat_interleave(self.nets, 0)
        fits_R = (right_RI | ~shown_UI.bool().repeat_interleave(self.nets, 0)).all(1)
        function_R = (answer_RI.long() << torch.arange(INPUTS)).sum(1)
        return [
            function_R[row * self.nets : (row + 1) * self.nets][
                fits_R[row * self.nets : (row + 1) * self.nets]
            ].tolist()
            for row in range(len(trainings))
        ]

    def _trained(self, x_IB: Tensor, shown_UI: Tensor, target_UI: Tensor, generator: object) -> Tensor:
        """Return the answers of R = U x nets networks on all inputs after training on the shown ones, as booleans."""
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits

        replicas = shown_UI.shape[0] * self.nets
        shown_RI, target_RI = (one.repeat_interleave(self.nets, 0) for one in (shown_UI, target_UI))

        def drawn(*sizes: int) -> Tensor:
            weights = torch.randn(replicas, *sizes, generator=generator) / sizes[0] ** 0.5  # type: ignore[call-overload]
            return weights.requires_grad_()  # type: ignore[no-any-return]

        parameters = [drawn(BITS, self.width), drawn(1, self.width), drawn(self.width, 1)]
        first_RBH, bias_R1H, last_RH1 = parameters
        for step in range(self.steps + 1):
            logits_RI = (torch.relu(x_IB @ first_RBH + bias_R1H) @ last_RH1).squeeze(-1)
            if step == self.steps:
                break
            loss_RI = binary_cross_entropy_with_logits(logits_RI, target_RI, reduction="none")
            loss = (loss_RI * shown_RI).sum() / self.shown
            gradients = torch.autograd.grad(loss, parameters)
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter -= self.learning_rate * gradient
        return (logits_RI > 0).detach()


def leaves(function: int) -> int:
    """Return the fewest leaves of a decision tree for a function of three bits, given as its truth table."""
    return _fewest(tuple(function >> index & 1 for index in range(INPUTS)))


@cache
def _fewest(table: tuple[int, ...]) -> int:
    """Return the fewest leaves for a truth table of 2^k entries, whichever bit is read first."""
    if len(set(table)) == 1:
        return 1
    bits = len(table).bit_length() - 1
    halves = []
    for bit in range(bits):
        parts = [tuple(one for index, one in enumerate(table) if (index >> bit & 1) == value) for value in (0, 1)]
        halves.append(_fewest(parts[0]) + _fewest(parts[1]))
    return min(halves)


def _extremes() -> tuple[list[int], list[int]]:
    """Return the functions of at most three leaves, and those of six or more."""
    sizes = {function: leaves(function) for function in range(FUNCTIONS)}
    simple = [function for function, size in sizes.items() if size <= 3]
    return simple, [function for function, size in sizes.items() if size >= 6]


def _rank_correlation(training: Training, found: list[int]) -> float:
    """Return Spearman's correlation of size and frequency over the functions that agree with what was shown."""
    fitting = [
        function
        for function in range(FUNCTIONS)
        if all((function ^ training.target) >> index & 1 == 0 for index in training.shown)
    ]
    counts = [found.count(function) for function in fitting]
    return _correlation(_ranks([leaves(function) for function in fitting]), _ranks(counts))


def _ranks(values: list[int]) -> list[float]:
    """Return ranks, ties sharing their mean."""
    ordered = sorted(values)
    return [ordered.index(value) + (ordered.count(value) - 1) / 2 for value in values]


def _correlation(one: list[float], other: list[float]) -> float:
    """Return Pearson's correlation; 0 where one of them does not vary: no order is seen."""
    a, b = [x - fmean(one) for x in one], [y - fmean(other) for y in other]
    product_ab = sum(x * y for x, y in zip(a, b, strict=True))
    norm = (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5
    return product_ab / norm if norm else 0.0
