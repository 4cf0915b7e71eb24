"""What every dispatched operation costs: FLOPs and serial depth. What stands in no table is an error, never zero.

FLOPs, the one convention of the project (analytic prices follow it too):

- A multiply-add is 2, in every matrix product and convolution (zero padding included); a bias added is 1 per output.
- Elementwise arithmetic, comparison, selection (`where`), every activation or transcendental function: 1 per output.
- Reductions (sum, mean, amax, argmax, cumsum): 1 per *input* element. A compound counts its parts: logsumexp 4
  (maximum, subtract, exp, sum), softmax and log_softmax 5 (and divide, or subtract), layer_norm 5, 1 per affine part.
- Data movement (views, cat, pad, indexing, lookups, copies, fills, casts) is 0, by name in `MOVEMENT`.

Serial depth is the longest chain with unlimited parallel hardware: 1 for an elementwise operation, a balanced tree
ceil(log2 k) for a reduction over k, 1 + ceil(log2 k) for a product over inner dimension k (a bias is one more leaf).

Operations are named without their overload (`aten.addmm`); an in-place form has the price of the plain one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor


class Call(NamedTuple):
    """One dispatched operation: what went in and what came out."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any

    @property
    def out(self) -> Tensor:
        """The first tensor that came out."""
        first: Tensor = self.output[0] if isinstance(self.output, (tuple, list)) else self.output
        return first


Formula = Callable[[Call], float]


class Price(NamedTuple):
    """FLOPs of a call, and the operations that depend on each other in it; depth None: not known."""

    flops: Formula
    depth: Formula | None = None


def tree(leaves: float) -> int:
    """Return the depth of a balanced binary tree that joins this many values."""
    return math.ceil(math.log2(leaves)) if leaves > 1 else 0


def elementwise(flops: int = 1, depth: int = 1) -> Price:
    """Return the price of an operation with `flops` per output element."""
    return Price(lambda call: flops * call.out.numel(), lambda call: depth)


def reduction(flops: int = 1, extra_depth: int = 0) -> Price:
    """Return the price of a reduction with `flops` per input element."""

    def depth(call: Call) -> float:
        return extra_depth + tree(call.args[0].numel() / max(1, call.out.numel()))

    return Price(lambda call: flops * max(call.args[0].numel(), call.out.numel()), depth)


def along(flops: int, trees: int = 1, extra_depth: int = 0) -> Price:
    """Return the price of an operation that keeps its shape and reduces along one dimension, its second argument."""

    def depth(call: Call) -> float:
        length = call.args[0].shape[call.args[1]] if call.args[0].dim() else 1
        return extra_depth + trees * tree(length)

    return Price(lambda call: flops * call.out.numel(), depth)


def per_element_of(argument: int, flops: int = 1, extra_depth: int = 0) -> Price:
    """Return the price of an operation with `flops` per element of one argument, all of which may meet in one tree."""
    return Price(
        lambda call: float(flops * call.args[argument].numel()),
        lambda call: extra_depth + tree(call.args[argument].numel()),
    )


def _scales(call: Call, *names: str) -> int:
    """Return how many of these factors are given and are not 1: each is one more product per output."""
    return sum(call.kwargs.get(name, 1) not in (0, 1) for name in names)


def sum_of_two() -> Price:
    """Return the price of x + alpha y."""
    return Price(lambda call: call.out.numel() * (1 + _scales(call, "alpha")), lambda call: 1 + _scales(call, "alpha"))


def each(price: Price) -> Price:
    """Return the price of an operation on lists of tensors, from that on one; they do not wait for each other."""

    def calls(call: Call) -> list[Call]:
        first = call.args[0]
        outputs = first if call.output is None else call.output
        lists = [arg if isinstance(arg, (list, tuple)) else [arg] * len(first) for arg in call.args]
        return [Call(args, call.kwargs, output) for *args, output in zip(*lists, outputs, strict=True)]  # type: ignore[arg-type]

    depth = price.depth
    return Price(
        lambda call: float(sum(price.flops(one) for one in calls(call))),
        None if depth is None else lambda call: max((depth(one) for one in calls(call)), default=0),
    )


def product(left: int, *, bias: bool = False) -> Price:
    """Return the price of a matrix product whose left factor is argument `left`."""

    def flops(call: Call) -> float:
        return float(call.out.numel() * (2 * call.args[left].shape[-1] + bias + _scales(call, "alpha", "beta")))

    return Price(flops, lambda call: 1 + tree(call.args[left].shape[-1] + bias) + _scales(call, "alpha", "beta"))


def _sorted_length(call: Call) -> int:
    """Return how many values each row of a sort or topk has; their dimension stands in different places."""
    x = call.args[0]
    rest = [value for value in call.args[1:] if not isinstance(value, bool)]
    place = len(rest) - 1 if isinstance(call.output[0], Tensor) and call.output[0].shape == x.shape else 1
    dimension = call.kwargs.get("dim", rest[place] if 0 <= place < len(rest) else -1)
    return int(x.shape[dimension]) if x.dim() else 1


def _sorting(call: Call) -> float:
    return float(call.args[0].numel() * tree(_sorted_length(call)))


def _sorting_depth(call: Call) -> float:
    return tree(_sorted_length(call)) ** 2


def _convolution_macs(x: Tensor, weight: Tensor, output: Tensor, transposed: bool) -> float:
    return (x if transposed else output).numel() * weight.numel() / weight.shape[0]


def _convolution(call: Call) -> float:
    x, weight, bias, transposed = *call.args[:3], call.args[6]
    return 2 * _convolution_macs(x, weight, call.out, transposed) + (0 if bias is None else call.out.numel())


def _convolution_depth(call: Call) -> float:
    weight: Tensor = call.args[1]
    return 1 + tree(weight.numel() / weight.shape[0] + (call.args[2] is not None))


def _convolution_backward(call: Call) -> float:
    grad, x, weight, transposed, mask = *call.args[:3], call.args[7], call.args[10]
    macs = _convolution_macs(x, weight, grad, transposed)
    return float(2 * macs * (mask[0] + mask[1]) + grad.numel() * mask[2])


def _convolution_backward_depth(call: Call) -> float:
    grad, x = call.args[:2]  # a gradient of the weight sums over batch and places
    return 1 + tree(grad.numel()) if call.args[10][1] or call.args[10][2] else 1 + tree(x.shape[1] * grad.numel())


def _lstm_sizes(call: Call) -> tuple[int, int, int, int]:
    """Return positions, batch, inputs and hidden units of one layer in one direction."""
    x, hidden = call.args[0], call.args[5].shape[-1]  # positions come first, whatever the module was given
    return (*x.shape, hidden)


def _lstm(call: Call, bias: int = 12) -> float:
    positions, batch, inputs, hidden = _lstm_sizes(call)
    products = 8 * hidden * (inputs + hidden) + 8 * hidden * bool(call.args[bias])
    return float(positions * batch * (products + (4 + 4 + 5) * hidden))  # sum of both, gates, cell and output


def _lstm_depth(call: Call, bias: int = 12) -> float:
    positions, _, inputs, hidden = _lstm_sizes(call)
    has_bias = call.args[3].numel() > 0
    wait = max(0, tree(inputs + has_bias) - tree(hidden + has_bias))
    return wait + positions * (1 + tree(hidden + has_bias) + 6)


def _attention(call: Call) -> float:
    query, key, value = call.args[:3]
    scores = query.numel() // query.shape[-1] * key.shape[-2]
    masked: bool = call.kwargs.get("attn_mask") is not None
    return float(scores * (2 * query.shape[-1] + 2 * value.shape[-1] + 6 + masked))


def _attention_depth(call: Call) -> float:
    query, key = call.args[:2]
    return 1 + tree(query.shape[-1]) + 1 + 3 + 2 * tree(key.shape[-2]) + 1 + tree(key.shape[-2])


def _attention_backward(call: Call) -> float:
    _, query, key, value = call.args[:4]  # scores again, then the gradients of the scores, query, key and value
    scores = query.numel() // query.shape[-1] * key.shape[-2]
    return float(scores * (6 * query.shape[-1] + 4 * value.shape[-1] + 6) + 2 * query.numel())


def _attention_backward_depth(call: Call) -> float:
    _, query, key, value = call.args[:4]
    lengths = tree(query.shape[-1]) + tree(value.shape[-1]) + tree(key.shape[-2])
    return 1 + lengths + 4 + 1 + max(tree(key.shape[-2]), tree(query.shape[-2])) + 2


def _layer_norm(call: Call) -> float:
    return float(call.out.numel() * (5 + sum(part is not None for part in call.args[2:4])))


def _layer_norm_depth(call: Call) -> float:
    return 4 + 2 * tree(math.prod(call.args[1])) + sum(part is not None for part in call.args[2:4])


def _batch_norm(call: Call) -> float:
    return float(call.out.numel() * ((5 if call.args[5] else 2) + 2 * (call.args[1] is not None)))


def _batch_norm_depth(call: Call) -> float:
    statistics = 2 + 2 * tree(call.out.numel() / call.out.shape[1]) if call.args[5] else 0
    return statistics + 2 + 2 * (call.args[1] is not None)


def _pooling(call: Call) -> float:
    return float(call.out.numel() * math.prod(call.args[1]))


def _pooling_depth(call: Call) -> float:
    return tree(math.prod(call.args[1]))


def _row(call: Call) -> int:
    return int(call.args[0].shape[call.args[2]]) if call.args[0].dim() else 1


def _trilinear_terms(call: Call) -> float:
    """Return the products that meet in all outputs: every size of the three factors once."""
    sizes: dict[int, int] = {}
    for factor, new in zip(call.args[:3], call.args[3:6], strict=True):
        whole = factor
        for place in sorted(new):
            whole = whole.unsqueeze(place)
        sizes = {place: max(size, sizes.get(place, 1)) for place, size in enumerate(whole.shape)}
    return math.prod(sizes.values())


def _trilinear(call: Call) -> float:
    return 3.0 * _trilinear_terms(call)


def _trilinear_depth(call: Call) -> float:
    return 2 + tree(_trilinear_terms(call) / max(1, call.out.numel()))


def _optimiser(flops: int, depth: int) -> Price:
    """Return the price of a fused optimiser step: `flops` per parameter, whatever its settings add at most."""
    return Price(lambda call: float(flops * sum(part.numel() for part in call.args[0])), lambda call: depth)


def _named(words: str) -> list[str]:
    return [f"aten.{word}" for word in words.split()]


_MARKERS = [f"profiler._record_function_{word}" for word in ("enter", "enter_new", "exit")]
MOVEMENT = _MARKERS + _named(
    """
    view _unsafe_view reshape _reshape_alias view_as_real view_as_complex expand permute transpose t unsqueeze
    squeeze select slice narrow split unsafe_split split_with_sizes unbind unfold as_strided alias detach diagonal
    flip roll repeat tril triu cat stack constant_pad_nd reflection_pad1d reflection_pad2d replication_pad1d
    replication_pad2d index index_select index_fill gather scatter index_copy embedding select_backward slice_backward
    select_scatter slice_scatter unfold_backward clone copy _to_copy lift_fresh lift_fresh_copy resize empty
    empty_like empty_strided empty_permuted new_empty new_empty_strided zeros zeros_like new_zeros ones ones_like
    new_ones full full_like new_full fill zero scalar_tensor arange eye _unsafe_index
    max_pool2d_with_indices_backward _foreach_zero _foreach_copy _foreach_clone lift set view_copy expand_copy
    select_copy slice_copy _conj _neg_view resolve_conj masked_select take randperm _has_same_storage_numel
    _efficientzerotensor
    """
)
ALLOCATIONS = frozenset(_named("empty empty_like empty_strided empty_permuted new_empty new_empty_strided"))
SHAPE_READERS = frozenset(
    _named("zeros_like ones_like full_like rand_like randn_like randint_like new_zeros new_ones new_full resize")
)
STEP_COUNT = Price(lambda call: 10.0, lambda call: 5.0)
"""An optimiser's arithmetic on its own step number, which it does in Python: two powers, quotients, a root, signs."""
_ELEMENTWISE = _named(
    """
    mul div neg abs sign sgn exp exp2 expm1 log log1p log2 log10 sqrt rsqrt reciprocal pow sin cos tan
    acos asin acosh asinh atanh lgamma digamma erfinv
    atan atan2 sinh cosh erf erfc tanh sigmoid relu gelu silu mish elu celu leaky_relu _prelu_kernel hardtanh
    hardswish hardsigmoid softplus log_sigmoid_forward threshold threshold_backward clamp clamp_min clamp_max
    maximum minimum fmax fmin where masked_fill eq ne lt le gt ge logical_and logical_or logical_xor logical_not
    bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift remainder fmod
    floor_divide floor ceil round trunc frac isnan isinf isfinite logit nan_to_num bernoulli uniform normal exponential
    rand randn rand_like randn_like randint nll_loss_backward nll_loss2d_backward
    """
)
_CHAINS = {  # FLOPs per output element, of operations that follow each other
    2: _named("native_dropout native_dropout_backward leaky_relu_backward hardtanh_backward"),
    3: _named("lerp addcmul addcdiv tanh_backward sigmoid_backward elu_backward"),
    4: _named("softplus_backward log_sigmoid_backward"),
    5: _named("silu_backward"),
    10: _named("gelu_backward"),
}
_REDUCTIONS = _named(
    "sum mean amax amin max min argmax argmin any all prod count_nonzero nansum median mode _adaptive_avg_pool2d"
)

_FOREACH = """
    add sub mul div neg abs sign exp expm1 log log1p log2 log10 sqrt rsqrt reciprocal pow sin cos tan atan sinh cosh erf
    erfc tanh sigmoid clamp_min clamp_max maximum minimum floor ceil round trunc frac lerp addcmul addcdiv
"""

PRICES: dict[str, Price] = {
    **dict.fromkeys(MOVEMENT, Price(lambda call: 0.0, lambda call: 0.0)),
    **dict.fromkeys(_ELEMENTWISE, elementwise()),
    **dict.fromkeys(_named("add sub rsub"), sum_of_two()),
    **{name: elementwise(steps, steps) for steps, names in _CHAINS.items() for name in names},
    **dict.fromkeys(_REDUCTIONS, reduction()),
    **dict.fromkeys(_named("var std var_mean std_mean logsumexp"), reduction(4, 2)),
    **dict.fromkeys(_named("cumsum cumprod cummax cummin"), along(1)),
    **dict.fromkeys(_named("_softmax _safe_softmax _log_softmax"), along(5, trees=2, extra_depth=3)),
    "aten.logcumsumexp": along(4, extra_depth=2),
    **dict.fromkeys(
        _named("_softmax_backward_data _log_softmax_backward_data"),
        Price(lambda call: 4.0 * call.out.numel(), lambda call: 3 + tree(_row(call))),
    ),
    "aten.linalg_vector_norm": reduction(2, 2),
    "aten.mse_loss": reduction(3, 2),
    "aten.mse_loss_backward": elementwise(3, 3),
    **dict.fromkeys(_named("mm bmm mv"), product(0)),
    **dict.fromkeys(_named("addmm baddbmm addmv"), product(1, bias=True)),
    "aten.dot": Price(lambda call: 2 * call.args[0].numel(), lambda call: 1 + tree(call.args[0].numel())),
    "aten.convolution": Price(_convolution, _convolution_depth),
    "aten.convolution_backward": Price(_convolution_backward, _convolution_backward_depth),
    "aten._scaled_dot_product_flash_attention_for_cpu": Price(_attention, _attention_depth),
    "aten._scaled_dot_product_flash_attention_for_cpu_backward": Price(_attention_backward, _attention_backward_depth),
    "aten.native_layer_norm": Price(_layer_norm, _layer_norm_depth),
    "aten.native_batch_norm": Price(_batch_norm, _batch_norm_depth),
    **dict.fromkeys(
        _named("native_layer_norm_backward native_batch_norm_backward"), per_element_of(0, 10, extra_depth=6)
    ),
    **dict.fromkeys(_named("max_pool2d_with_indices avg_pool2d"), Price(_pooling, _pooling_depth)),
    **dict.fromkeys(_named("sort topk"), Price(_sorting, _sorting_depth)),
    **dict.fromkeys(_named("nonzero embedding_dense_backward"), per_element_of(0)),
    **dict.fromkeys(_named("nll_loss_forward nll_loss2d_forward"), per_element_of(1)),
    **dict.fromkeys(_named("scatter_add index_add"), per_element_of(3)),
    "aten.index_put": per_element_of(2),
    "aten._trilinear": Price(_trilinear, _trilinear_depth),
    "aten.mkldnn_rnn_layer": Price(_lstm, _lstm_depth),
    # Backward through time: two products for each, elementwise work again and its gradient.
    "aten.mkldnn_rnn_layer_backward": Price(lambda call: 2 * _lstm(call, 17), lambda call: 2 * _lstm_depth(call, 17)),
    **dict.fromkeys(_named("_fused_adam _fused_adamw"), _optimiser(18, 12)),
    "aten._fused_sgd": _optimiser(7, 5),
    "aten._fused_adagrad": _optimiser(9, 6),
}
PRICES |= {f"aten._foreach_{word}": each(PRICES[f"aten.{word}"]) for word in _FOREACH.split()}
PRICES["aten._foreach_norm"] = each(PRICES["aten.linalg_vector_norm"])
