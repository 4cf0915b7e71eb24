"""How far two samples of exits lie apart, within classes of equal difficulty, and how far chance takes them."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from sp_search.audits.instruments.intervals import CONFIDENCE
from sp_search.records import Interval

MOST_CLASSES, LEAST = 16, 20
"""More different difficulties are put into quarters; a class needs so many examples on both sides."""


def classes_of(own_B: Tensor, other_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return the class of difficulty of each example of two samples: its value, or the quarter that it lies in."""
    if len(torch.unique(torch.cat([own_B, other_B]))) <= MOST_CLASSES:
        return own_B, other_B
    bounds = own_B.double().quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64))
    return torch.bucketize(own_B.double(), bounds), torch.bucketize(other_B.double(), bounds)


def excess_variation(
    own_B: Tensor,
    class_B: Tensor,
    other_B: Tensor,
    other_class_B: Tensor,
    permutations: int,
    tests: int,
    generator: Generator,
) -> Interval | None:
    """Return the mean total variation over the other sample's classes, less what permutations give; None: no class.

    The interval's ends are less the permutations' quantiles, so its lower end lies above 0 where a test would reject.
    """
    pairs = []
    for one in torch.unique(other_class_B):
        own, other = own_B[class_B == one], other_B[other_class_B == one]
        if len(own) >= LEAST and len(other) >= LEAST:
            pairs.append((own, other))
    if not pairs:
        return None
    n = sum(len(other) for _, other in pairs)
    value = sum(len(other) * _variation(own, other) for own, other in pairs) / n
    chance = torch.tensor(
        [
            sum(len(other) * _variation(*_dealt(own, other, generator)) for own, other in pairs) / n
            for _ in range(permutations)
        ],
        dtype=torch.float64,
    )
    tail = (1.0 - CONFIDENCE) / 2 / tests
    low, high = (float(chance.quantile(level)) for level in (1.0 - tail, tail))
    middle = value - float(chance.mean())
    return Interval(value=middle, low=min(value - low, middle), high=max(value - high, middle), n=n)


def _variation(own_B: Tensor, other_B: Tensor) -> float:
    most = int(max(own_B.max(), other_B.max())) + 1
    share, other = (torch.bincount(part, minlength=most).double() / len(part) for part in (own_B, other_B))
    return float((share - other).abs().sum() / 2)


def _dealt(own_B: Tensor, other_B: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    both_B = torch.cat([own_B, other_B])
    both_B = both_B[torch.randperm(len(both_B), generator=generator)]
    return both_B[: len(own_B)], both_B[len(own_B) :]
