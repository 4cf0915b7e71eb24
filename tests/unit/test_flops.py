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
    "a group norm is a layer norm of its groups": (nn.GroupNorm(1, 3), IMAGE, 7 * 384),
    "an RMS norm": (nn.RMSNorm(16), X, 160 * (1 + 1 + 2) + 10 * 2),
    "a convolution of volumes": (nn.Conv3d(3, 4, 2, bias=False), IMAGE.reshape(2, 3, 4, 4, 4), 2 * 4 * 27 * 2 * 24),
    "nearest neighbours are copied": (nn.Upsample(scale_factor=2), IMAGE, 0),
    "bilinear interpolation has 4 taps": (nn.Upsample(scale_factor=2, mode="bilinear"), IMAGE, 2 * 4 * 4 * 384),
    "bicubic interpolation has 16": (nn.Upsample(scale_factor=2, mode="bicubic"), IMAGE, 2 * 16 * 4 * 384),
    "sampling at points": (
        lambda x: functional.grid_sample(x, torch.zeros(2, 5, 1, 2), align_corners=False),
        IMAGE,
        2 * 5 * 3 * 2 * 4 + 2 * 5 * 2 * (6 + 4),
    ),
    "an adaptive maximum": (nn.AdaptiveMaxPool2d(3), IMAGE, 384),
    "an average of volumes": (nn.AvgPool3d(2), IMAGE.reshape(2, 3, 4, 4, 4), 384),
    "euclidean distances": (lambda x: torch.cdist(x, x), X, 2 * 25 * (3 * 16 + 1)),
    "distances within a set": (lambda x: functional.pdist(x[0]), X, 10 * (3 * 16 + 1)),
    "bags of embeddings": (nn.EmbeddingBag(8, 4), torch.ones(2, 5, dtype=torch.int64), 10 * 4 + 8),
    "one_hot is a lookup": (lambda i: functional.one_hot(i, 8), torch.ones(2, 5, dtype=torch.int64), 0),
    "what is placed is free": (lambda x: x.clone().index_put_((torch.tensor([0]),), x[1]), X, 0),
    "what adds up is not": (lambda x: x.index_put((torch.tensor([0]),), x[1], accumulate=True), X, 80),
    "a scatter that adds": (
        lambda x: x.scatter(1, torch.zeros(2, 5, 16, dtype=torch.int64), 1.0, reduce="add"),
        X,
        160,
    ),
    "a binary search": (lambda x: torch.bucketize(x, torch.arange(7.0)), X, 160 * 3),
    "distinct values": (torch.unique, torch.ones(16), 16 * (4 + 1)),
    "squared errors": (lambda x: functional.mse_loss(x, X[:1], reduction="none"), X[:1], 2 * 80),
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


def test_one_hot_gives_what_torch_gives_and_needs_the_number_of_classes():
    indices, seen = torch.tensor([[0, 2], [1, 1]]), []
    count_flops(lambda i: seen.append(functional.one_hot(i, num_classes=3)), indices)
    assert torch.equal(seen[0], functional.one_hot(indices, 3))
    with pytest.raises(UnpricedOperationError, match="one_hot without num_classes"):
        count_flops(functional.one_hot, indices)


def test_an_encoder_with_a_padding_mask_is_counted_as_in_training():
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    encoder, padded = nn.TransformerEncoder(layer, 2), torch.tensor([[False] * 5, [False] * 4 + [True]])
    with torch.no_grad():
        trained, evaluated = (
            count_flops(lambda x: encoder.train(mode)(x, src_key_padding_mask=padded), X).by_operation["aten.addmm"]  # noqa: B023
            for mode in (True, False)
        )
    assert trained == evaluated


DIFFERENTIABLE = {
    "pooling": nn.Sequential(nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(3), nn.AdaptiveMaxPool2d(2)),
    "volumes": nn.Sequential(
        nn.Unflatten(3, (2, 4)), nn.AvgPool3d((2, 1, 1)), nn.MaxPool3d((2, 1, 1)), nn.AdaptiveAvgPool3d((2, 1, 2))
    ),
    "interpolation": nn.Sequential(nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=2, mode="bilinear")),
    "padding": nn.ReplicationPad2d(1),
    "group norm": nn.GroupNorm(1, 3),
    "local response norm": nn.LocalResponseNorm(2),
    "a parametrised map": nn.utils.parametrizations.weight_norm(nn.Linear(8, 4)),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_a_gradient_is_priced_and_costs_no_less_than_its_elements(name):
    network, x = DIFFERENTIABLE[name], IMAGE.clone().requires_grad_()
    forward = count_flops(network, x).total
    assert count_flops(lambda: network(x).sum().backward()).total >= forward + network(x).numel()


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is:DeprecationWarning")  # torch does it inside
def test_forward_over_reverse_is_priced():
    assert count_flops(torch.func.hessian(lambda x: (x**3).sum()), X[0, 0]).total > 16 * 16


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
