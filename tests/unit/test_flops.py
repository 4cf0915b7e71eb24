"""The meter: what it counts is what a formula says, and what nobody priced is an error."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from sp_search.compute import UnpricedOperationError, count_flops, register_price, serial_depth
from sp_search.compute.price_table import MOVEMENT, PRICES

X = torch.linspace(-1, 1, 2 * 5 * 16).reshape(2, 5, 16)
IMAGE = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)

FORMULAS = {
    "an affine map is 2 per multiply-add and 1 per bias": (nn.Linear(16, 8), X, 10 * (2 * 16 * 8 + 8)),
    "a map without bias": (nn.Linear(16, 8, bias=False), X, 10 * 2 * 16 * 8),
    "an activation is 1 per output": (nn.Tanh(), X, 160),
    "a comparison is 1 per output": (lambda x: x > 0, X, 160),
    "a sum is 1 per input": (lambda x: x.sum(-1), X, 160),
    "a maximum is 1 per input": (lambda x: x.amax(1), X, 160),
    "an argmax is 1 per input": (lambda x: x.argmax(-1), X, 160),
    "a cumulative sum is 1 per input": (lambda x: x.cumsum(1), X, 160),
    "a softmax is 5 per element": (lambda x: x.softmax(-1), X, 5 * 160),
    "a log-softmax is 5 per element": (lambda x: x.log_softmax(-1), X, 5 * 160),
    "a layer norm is 5, and 2 for its affine parts": (nn.LayerNorm(16), X, 7 * 160),
    "views and copies are free": (lambda x: torch.cat([x.mT.flip(1), x.mT], 1)[:, 3:].clone(), X, 0),
    "a shift is free": (lambda x: functional.pad(x, (0, 0, 1, 0))[:, :-1], X, 0),
    "a convolution": (nn.Conv2d(3, 4, 3, padding=1), IMAGE, 2 * 4 * 64 * (2 * 27 + 1)),
    "a grouped convolution": (nn.Conv1d(16, 16, 2, groups=4), X.mT, 2 * 16 * 4 * (2 * 8 + 1)),
    "a transposed convolution": (nn.ConvTranspose1d(16, 4, 2, bias=False), X.mT, 2 * 2 * 5 * 16 * 4 * 2),
    "an einsum": (lambda x: torch.einsum("btc,bsc->bts", x, x), X, 2 * 2 * 5 * 5 * 16),
    "a GRU cell": (nn.GRUCell(16, 16), X[:, 0], 2 * (2 * 48 * (2 * 16 + 1)) + 2 * 16 * 10),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_the_count_is_the_formula(name):
    function, x, expected = FORMULAS[name]
    with torch.no_grad():
        assert count_flops(function, x).total == expected
    assert count_flops(function, x).total == expected
    with torch.inference_mode():
        assert count_flops(function, x).total == expected


def test_logsumexp_costs_at_least_its_parts():
    assert count_flops(lambda x: torch.logsumexp(x, -1), X).total >= 4 * 160


def test_by_operation_adds_up_and_names_what_cost():
    count = count_flops(nn.Sequential(nn.Linear(16, 8), nn.ReLU()), X)
    assert count.by_operation == {"aten.addmm": 2640.0, "aten.relu": 80.0}
    assert sum(count.by_operation.values()) == count.total


def test_in_place_operations_cost_what_the_plain_ones_cost():
    assert count_flops(lambda x: x.clone().relu_().add_(1.0).clamp_(0, 1), X).total == 3 * 160


def test_vmap_costs_as_many_times_as_it_has_rows():
    weights = torch.ones(3, 16, 8)
    assert count_flops(torch.func.vmap(lambda w: X @ w), weights).total == 3 * 10 * 2 * 16 * 8


def test_forward_and_backward_of_a_network_are_priced():
    network = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4), nn.Tanh())
    labels = torch.zeros(10, dtype=torch.int64)

    def train(x):
        functional.cross_entropy(network(x).flatten(0, 1), labels).backward()

    products = 2 * 10 * (16 * 32 + 32 * 4)
    count = count_flops(train, X)
    assert count.by_operation["aten.mm"] == 2 * products - 2 * 10 * 16 * 32  # the input needs no gradient
    assert {"aten.tanh_backward", "aten.threshold_backward", "aten._log_softmax_backward_data"} <= set(
        count.by_operation
    )


def test_attention_is_counted_though_its_kernel_is_fused():
    query = torch.ones(2, 4, 5, 8)
    count = count_flops(functional.scaled_dot_product_attention, query, query, query)
    assert count.total == 2 * 4 * 5 * 5 * (2 * 8 + 2 * 8 + 6)


def test_a_composite_operation_is_counted_by_its_parts_under_inference_mode():
    weight = torch.ones(8, 16)
    with torch.inference_mode():
        assert count_flops(functional.linear, X, weight).total == 10 * 2 * 16 * 8


def test_a_price_can_be_added_once(monkeypatch):
    monkeypatch.delitem(PRICES, "aten.sinh")
    with pytest.raises(UnpricedOperationError, match=r"aten\.sinh"):
        count_flops(torch.sinh, X)
    register_price("aten.sinh", lambda call: 7.0 * call.out.numel())
    assert count_flops(torch.sinh, X).total == 7 * 160
    with pytest.raises(UnpricedOperationError, match="no serial depth"):
        serial_depth(torch.sinh, X)
    with pytest.raises(ValueError, match="priced already"):
        register_price("aten.sinh", lambda call: 0.0)


def test_the_table_names_operations_that_exist():
    unknown = [name for name in PRICES if not hasattr(getattr(torch.ops, name.split(".")[0]), name.split(".")[1])]
    assert unknown == []
    assert len(MOVEMENT) == len(set(MOVEMENT))
