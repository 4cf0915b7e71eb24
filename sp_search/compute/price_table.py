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

from sp_search.compute import formulas, lookups, spatial
from sp_search.compute.formulas import (
    Price,
    along,
    each,
    elementwise,
    per_element_of,
    product,
    reduction,
    row,
    sum_of_two,
    tree,
)


def _named(words: str) -> list[str]:
    return [f"aten.{word}" for word in words.split()]


_MARKERS = [f"profiler._record_function_{word}" for word in ("enter", "enter_new", "exit")]
MOVEMENT = _MARKERS + _named(
    """
    view _unsafe_view reshape _reshape_alias view_as_real view_as_complex expand permute transpose t unsqueeze
    squeeze select slice narrow split unsafe_split split_with_sizes unbind unfold as_strided alias detach diagonal
    flip roll repeat tril triu cat stack constant_pad_nd reflection_pad1d reflection_pad2d replication_pad1d
    replication_pad2d replication_pad3d index index_select index_fill gather index_copy embedding select_backward
    slice_backward select_scatter slice_scatter diagonal_scatter diagonal_backward as_strided_scatter clone copy
    _to_copy lift_fresh lift_fresh_copy resize empty
    empty_like empty_strided empty_permuted new_empty new_empty_strided zeros zeros_like new_zeros ones ones_like
    new_ones full full_like new_full fill zero scalar_tensor arange eye _unsafe_index
    im2col _foreach_zero _foreach_copy _foreach_clone lift set view_copy expand_copy
    select_copy slice_copy _conj _neg_view resolve_conj masked_select take randperm _has_same_storage_numel
    _efficientzerotensor masked_scatter masked_scatter_backward repeat_interleave _pack_padded_sequence
    _pack_padded_sequence_backward upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d
    _upsample_nearest_exact2d _upsample_nearest_exact3d max_unpool2d max_unpool3d
    """
)
ALLOCATIONS = frozenset(_named("empty empty_like empty_strided empty_permuted new_empty new_empty_strided"))
SHAPE_READERS = frozenset(
    _named("zeros_like ones_like full_like rand_like randn_like randint_like new_zeros new_ones new_full resize")
)
READERS = frozenset(_named("equal _is_all_true _is_any_true is_nonzero"))
"""Operations that give Python a value and no tensor."""
PRIMITIVES = {
    "prims.convert_element_type": "aten._to_copy",
    "prims.broadcast_in_dim": "aten.expand",
    "prims.device_put": "aten._to_copy",
    "prims.iota": "aten.arange",
}
"""Primitives (of decompositions under forward-mode differentiation) that are called otherwise."""
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
    rand randn rand_like randn_like randint nll_loss_backward nll_loss2d_backward poisson
    hypot copysign signbit nextafter gcd lcm frexp angle i0 polygamma special_i0e special_i1 special_i1e special_erfcx
    special_ndtri special_log_ndtr special_zeta igamma igammac
    """
)
_CHAINS = {  # FLOPs per output element, of operations that follow each other
    2: _named("native_dropout native_dropout_backward leaky_relu_backward hardtanh_backward rrelu_with_noise"),
    3: _named(
        "lerp addcmul addcdiv tanh_backward sigmoid_backward elu_backward softshrink_backward hardshrink_backward"
    ),
    4: _named("softplus_backward log_sigmoid_backward"),
    5: _named("silu_backward multi_margin_loss_backward multilabel_margin_loss_backward"),
    10: _named("gelu_backward"),
}
_REDUCTIONS = _named(
    "sum mean amax amin max min argmax argmin any all prod count_nonzero nansum median nanmedian mode kthvalue "
    "_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d"
)

_POOLING = _named(
    "max_pool2d_with_indices max_pool3d_with_indices avg_pool2d avg_pool3d fractional_max_pool2d fractional_max_pool3d"
)
_SPREAD_BACK = _named(  # each gradient is added where its value came from
    """
    max_pool2d_with_indices_backward max_pool3d_with_indices_backward adaptive_max_pool2d_backward
    adaptive_max_pool3d_backward fractional_max_pool2d_backward fractional_max_pool3d_backward
    replication_pad1d_backward replication_pad2d_backward replication_pad3d_backward unfold_backward col2im
    upsample_nearest1d_backward upsample_nearest2d_backward upsample_nearest3d_backward
    _upsample_nearest_exact1d_backward _upsample_nearest_exact2d_backward _upsample_nearest_exact3d_backward
    """
)
_INTERPOLATIONS = {"upsample_linear1d": 2, "upsample_bilinear2d": 2, "upsample_trilinear3d": 2, "upsample_bicubic2d": 4}
"""Taps per axis."""
_ANTIALIASED = {"upsample_bilinear2d": 2, "upsample_bicubic2d": 4}

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
        Price(lambda call: 4.0 * call.out.numel(), lambda call: 3 + tree(row(call))),
    ),
    "aten.linalg_vector_norm": reduction(2, 2),
    "aten.mse_loss": formulas.squared_error(),
    "aten.mse_loss_backward": elementwise(3, 3),
    **dict.fromkeys(_named("mm bmm mv"), product(0)),
    **dict.fromkeys(_named("addmm baddbmm addmv"), product(1, bias=True)),
    "aten.dot": Price(lambda call: 2 * call.args[0].numel(), lambda call: 1 + tree(call.args[0].numel())),
    "aten.convolution": spatial.CONVOLUTION,
    "aten.convolution_backward": spatial.CONVOLUTION_BACKWARD,
    "aten._scaled_dot_product_flash_attention_for_cpu": formulas.ATTENTION,
    "aten._scaled_dot_product_flash_attention_for_cpu_backward": formulas.ATTENTION_BACKWARD,
    "aten.native_layer_norm": formulas.LAYER_NORM,
    "aten.native_batch_norm": formulas.BATCH_NORM,
    **dict.fromkeys(
        _named("native_layer_norm_backward native_batch_norm_backward"), per_element_of(0, 10, extra_depth=6)
    ),
    **dict.fromkeys(_POOLING, spatial.POOLING),
    **dict.fromkeys(_named("avg_pool2d_backward avg_pool3d_backward"), spatial.POOLING_BACKWARD),
    **dict.fromkeys(_named("_adaptive_avg_pool2d_backward _adaptive_avg_pool3d_backward"), spatial.adaptive_backward()),
    **dict.fromkeys(_SPREAD_BACK, per_element_of(0)),
    **{f"aten.{name}": spatial.interpolation(taps) for name, taps in _INTERPOLATIONS.items()},
    **{f"aten.{name}_backward": spatial.interpolation(taps, backward=True) for name, taps in _INTERPOLATIONS.items()},
    **{f"aten._{name}_aa": spatial.interpolation(taps, antialias=True) for name, taps in _ANTIALIASED.items()},
    **{
        f"aten._{name}_aa_backward": spatial.interpolation(taps, backward=True, antialias=True)
        for name, taps in _ANTIALIASED.items()
    },
    **dict.fromkeys(_named("grid_sampler_2d grid_sampler_3d"), spatial.GRID_SAMPLE),
    **dict.fromkeys(_named("grid_sampler_2d_backward grid_sampler_3d_backward"), spatial.GRID_SAMPLE_BACKWARD),
    **dict.fromkeys(_named("sort topk"), lookups.SORTING),
    **dict.fromkeys(_named("nonzero bincount embedding_dense_backward"), per_element_of(0)),
    **dict.fromkeys(_named("nll_loss_forward nll_loss2d_forward"), per_element_of(1)),
    **dict.fromkeys(_named("scatter_add index_add"), per_element_of(3)),
    **dict.fromkeys(_named("scatter_reduce index_reduce"), lookups.SCATTER_REDUCE),
    **dict.fromkeys(_named("index_put _unsafe_index_put put"), lookups.placed(2)),
    "aten.scatter": lookups.scattered(),
    "aten.native_group_norm": formulas.GROUP_NORM,
    "aten._weight_norm_interface_backward": per_element_of(1, 5, extra_depth=5),
    "aten.addbmm": formulas.batched_sum_of_products(),
    "aten._cdist_forward": formulas.distances(2),
    "aten._cdist_backward": formulas.distances(3, backward=True),
    "aten._pdist_forward": formulas.distances(1),
    "aten._pdist_backward": formulas.distances(2, backward=True),
    **dict.fromkeys(_named("_embedding_bag _embedding_bag_forward_only"), lookups.EMBEDDING_BAG),
    "aten._embedding_bag_dense_backward": lookups.embedding_bag_backward(7, 8),
    "aten._embedding_bag_backward": lookups.embedding_bag_backward(8, 10),
    "aten.embedding_renorm": lookups.EMBEDDING_RENORM,
    "aten.searchsorted": lookups.search(0),
    "aten.bucketize": lookups.search(1),
    **dict.fromkeys(_named("_unique2 unique_dim"), lookups.UNIQUE),
    "aten.unique_consecutive": per_element_of(0, extra_depth=1),
    "aten.histc": per_element_of(0, 6, extra_depth=6),  # least, largest; subtract, scale, floor, count
    "aten.multinomial": lookups.MULTINOMIAL,
    "aten._ctc_loss": formulas.CTC,
    "aten._ctc_loss_backward": formulas.CTC_BACKWARD,
    "aten._trilinear": formulas.TRILINEAR,
    "aten.mkldnn_rnn_layer": formulas.LSTM,
    "aten.mkldnn_rnn_layer_backward": formulas.LSTM_BACKWARD,
    **dict.fromkeys(_named("_fused_adam _fused_adamw"), formulas.optimiser(18, 12)),
    "aten._fused_sgd": formulas.optimiser(7, 5),
    "aten._fused_adagrad": formulas.optimiser(9, 6),
}
PRICES |= {f"aten._foreach_{word}": each(PRICES[f"aten.{word}"]) for word in _FOREACH.split()}
PRICES["aten._foreach_norm"] = each(PRICES["aten.linalg_vector_norm"])
