"""Part `nas_bench_201`: the 15,625 cells of NAS-Bench-201, trained two or three times (Dong and Yang, 2001.00326).

Compute is a formula over the published network (see `flops`); price and accuracy are the benchmark's, as packaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

from pydantic import Field

from sp_search.oracles.table import Table, TableOracle, read_rows, tabulate

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""Nodes that Op0..Op5 join; node 0 is the cell's input, node 3 its output."""
CHANNELS, CELLS = (16, 32, 64), 5
"""Of the three stages; cells in each."""
SIDES = {"cifar10": 32, "cifar100": 32, "imagenet": 16}
CLASSES = {"cifar10": 10, "cifar100": 100, "imagenet": 120}
MILESTONES = {"cifar10": 91.0, "cifar100": 70.0, "imagenet": 44.0}
"""Validation accuracies in per cent that one to five cells in a hundred reach, three in a thousand within 1.25 C*."""


def flops(operations: Sequence[str], dataset: str) -> float:
    """Return the FLOPs of one image through the network whose cells have these operations on their edges.

    The network: a 3x3 convolution from 3 to 16 channels; three stages of five cells with 16, 32, 64 channels, between
    them a residual block that halves both sides; batch norm, relu, mean over positions, a linear map to the classes. A
    convolution on an edge or in a block is relu, convolution without bias, batch norm; a block has two of 3x3, and
    beside them a 2x2 average with a 1x1 convolution. A node adds what its edges bring; an edge `none` brings and costs
    nothing. Prices are those of `compute.price_table`: 2 for a multiply-add, 1 for a relu or an addition, 4 for a batch
    norm in use, k^2 for an average over k x k, each per output.
    """
    side, classes = SIDES[dataset], CLASSES[dataset]
    total = _convolution(3, CHANNELS[0], 3, side**2) - 3 * side**2  # the stem has no relu
    for stage, channels in enumerate(CHANNELS):
        if stage:
            side //= 2
            total += _block(CHANNELS[stage - 1], channels, side**2)
        total += CELLS * _cell(operations, channels, side**2)
    last = CHANNELS[-1]
    return float(total + side**2 * last * (4 + 1 + 1) + 2 * last * classes + classes)


def _convolution(fan_in: int, fan_out: int, kernel: int, positions: int, stride: int = 1) -> int:
    """Relu at every input, convolution and batch norm at every output."""
    return positions * (stride**2 * fan_in + 2 * kernel**2 * fan_in * fan_out + 4 * fan_out)


def _block(fan_in: int, fan_out: int, positions: int) -> int:
    halving = _convolution(fan_in, fan_out, 3, positions, stride=2) + _convolution(fan_out, fan_out, 3, positions)
    beside = positions * (4 * fan_in + 2 * fan_in * fan_out)
    return halving + beside + positions * fan_out


def _cell(operations: Sequence[str], channels: int, positions: int) -> int:
    price = {
        "none": 0,
        "skip_connect": 0,
        "nor_conv_1x1": _convolution(channels, channels, 1, positions),
        "nor_conv_3x3": _convolution(channels, channels, 3, positions),
        "avg_pool_3x3": positions * channels * 9,
    }
    brought = [
        sum(edge[1] == node and word != "none" for edge, word in zip(EDGES, operations, strict=True))
        for node in (1, 2, 3)
    ]
    return sum(price[word] for word in operations) + positions * channels * sum(max(0, count - 1) for count in brought)


class NasBench201(TableOracle):
    """Which cell is the cheapest whose network reaches the milestone? Compute in FLOPs per image, price in seconds.

    C* is the least FLOPs of a cell whose mean validation accuracy, over its replicates, is at the milestone.
    """

    kind: Literal["nas_bench_201"] = "nas_bench_201"
    dataset: Literal["cifar10", "cifar100", "imagenet"] = Field(
        "cifar10", description="images; imagenet is ImageNet16-120, 16 x 16 pixels and 120 classes"
    )
    milestone: float | None = Field(
        None, gt=0, le=100, description="validation accuracy in per cent that is good enough (null: rare, by data set)"
    )

    @property
    def threshold(self) -> float:
        """The milestone."""
        return MILESTONES[self.dataset] if self.milestone is None else self.milestone

    def table(self) -> Table:
        """Return the table of the data set."""
        return _table(self.dataset)


@cache
def _table(dataset: str) -> Table:
    space: dict[str, list[Any]] = {f"Op{edge}": list(OPERATIONS) for edge in range(len(EDGES))}
    return tabulate(
        read_rows(f"nasbench201/{dataset}.pkl"),
        space,
        lambda accuracy_CR: accuracy_CR,
        "val_acc",
        lambda chosen, row: flops([OPERATIONS[index] for index in chosen], dataset),
    )
