"""Prices as formulas of one call: what went in, what came out, and the FLOPs and serial depth between."""

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


LSTM = Price(_lstm, _lstm_depth)


def _attention(call: Call) -> float:
    query, key, value = call.args[:3]
    scores = query.numel() // query.shape[-1] * key.shape[-2]
    masked: bool = call.kwargs.get("attn_mask") is not None
    return float(scores * (2 * query.shape[-1] + 2 * value.shape[-1] + 6 + masked))


def _attention_depth(call: Call) -> float:
    query, key = call.args[:2]
    return 1 + tree(query.shape[-1]) + 1 + 3 + 2 * tree(key.shape[-2]) + 1 + tree(key.shape[-2])


ATTENTION = Price(_attention, _attention_depth)


def _attention_backward(call: Call) -> float:
    _, query, key, value = call.args[:4]  # scores again, then the gradients of the scores, query, key and value
    scores = query.numel() // query.shape[-1] * key.shape[-2]
    return float(scores * (6 * query.shape[-1] + 4 * value.shape[-1] + 6) + 2 * query.numel())


def _attention_backward_depth(call: Call) -> float:
    _, query, key, value = call.args[:4]
    lengths = tree(query.shape[-1]) + tree(value.shape[-1]) + tree(key.shape[-2])
    return 1 + lengths + 4 + 1 + max(tree(key.shape[-2]), tree(query.shape[-2])) + 2


ATTENTION_BACKWARD = Price(_attention_backward, _attention_backward_depth)


def _layer_norm(call: Call) -> float:
    return float(call.out.numel() * (5 + sum(part is not None for part in call.args[2:4])))


def _layer_norm_depth(call: Call) -> float:
    return 4 + 2 * tree(math.prod(call.args[1])) + sum(part is not None for part in call.args[2:4])


LAYER_NORM = Price(_layer_norm, _layer_norm_depth)


def _batch_norm(call: Call) -> float:
    return float(call.out.numel() * ((5 if call.args[5] else 2) + 2 * (call.args[1] is not None)))


def _batch_norm_depth(call: Call) -> float:
    statistics = 2 + 2 * tree(call.out.numel() / call.out.shape[1]) if call.args[5] else 0
    return statistics + 2 + 2 * (call.args[1] is not None)


BATCH_NORM = Price(_batch_norm, _batch_norm_depth)


def row(call: Call) -> int:
    """Return how many values the dimension of argument 2 has."""
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


TRILINEAR = Price(_trilinear, _trilinear_depth)


def optimiser(flops: int, depth: int) -> Price:
    """Return the price of a fused optimiser step: `flops` per parameter, whatever its settings add at most."""
    return Price(lambda call: float(flops * sum(part.numel() for part in call.args[0])), lambda call: depth)


def squared_error() -> Price:
    """Return the price of (x - y)^2, summed where the call says so."""
    return Price(
        lambda call: float(call.args[0].numel() * (2 if call.out.dim() else 3)),
        lambda call: 2 + tree(call.args[0].numel() / max(1, call.out.numel())),
    )


def _group_norm(call: Call) -> float:
    return float(call.out.numel() * (5 + sum(part is not None for part in call.args[1:3])))


def _group_norm_depth(call: Call) -> float:
    x, groups = call.args[0], call.args[6]
    return 4 + 2 * tree(x.numel() / max(1, x.shape[0] * groups)) + sum(part is not None for part in call.args[1:3])


GROUP_NORM = Price(_group_norm, _group_norm_depth)


def batched_sum_of_products() -> Price:
    """Return the price of addbmm: the products of a batch are summed, so its inner dimension is theirs together."""

    def inner(call: Call) -> int:
        return int(call.args[1].shape[0] * call.args[1].shape[2])

    def factors(call: Call) -> int:
        return _scales(call, "alpha", "beta")

    return Price(
        lambda call: float(call.out.numel() * (2 * inner(call) + 1 + factors(call))),
        lambda call: 1 + tree(inner(call) + 1) + factors(call),
    )


def distances(order: int, *, backward: bool = False) -> Price:
    """Return the price of distances between pairs of rows; argument `order` is p.

    A term is subtracted, made absolute or squared, and summed (3; 4 with another power); a pair has one root.
    A gradient is estimated from above: 4, or 7, per term.
    """

    def flops(call: Call) -> float:
        p = call.args[order] if len(call.args) > order else 2.0  # the dispatcher leaves a default out
        pairs, size = _pairs(call)
        plain = p in (0, 1, 2, math.inf)
        per_term = (4 if plain else 7) if backward else (3 if plain else 4)
        return float(pairs * (size * per_term + (p not in (0, 1, math.inf))))

    def _pairs(call: Call) -> tuple[int, int]:
        rows = call.args[1] if backward else call.args[0]
        return (call.args[0] if backward else call.out).numel(), rows.shape[-1]

    def depth(call: Call) -> float:
        pairs, size = _pairs(call)
        return 5 + tree(pairs) if backward else 4 + tree(size)

    return Price(flops, depth)


CTC_CELL = 13
"""CTC's recursion per position and extended label: the log-sum-exp of three (12), and the label's log-probability."""


def _ctc(call: Call) -> float:
    return float(CTC_CELL * call.output[1].numel())


def _ctc_depth(call: Call) -> float:
    return 8 * int(call.args[0].shape[0])


CTC = Price(_ctc, _ctc_depth)


def _ctc_backward(call: Call) -> float:
    """Return the same recursion from behind, and the gradient: a log-sum-exp per cell (5), 4 per log-probability."""
    return float((CTC_CELL + 5) * call.args[6].numel() + 4 * call.args[1].numel())


def _ctc_backward_depth(call: Call) -> float:
    return 8 * int(call.args[1].shape[0]) + 4 + tree(call.args[6].shape[-1])


CTC_BACKWARD = Price(_ctc_backward, _ctc_backward_depth)


LSTM_BACKWARD = Price(lambda call: 2 * _lstm(call, 17), lambda call: 2 * _lstm_depth(call, 17))
"""Through time: two products for each, elementwise work again and its gradient."""
