"""Prices of operations on lines, images and volumes: convolutions, pooling, interpolation, sampling at given points."""

from __future__ import annotations

import math

from torch import Tensor

from sp_search.compute.formulas import Call, Price, tree


def _convolution_macs(x: Tensor, weight: Tensor, output: Tensor, transposed: bool) -> float:
    return (x if transposed else output).numel() * weight.numel() / weight.shape[0]


def _convolution(call: Call) -> float:
    x, weight, bias, transposed = *call.args[:3], call.args[6]
    return 2 * _convolution_macs(x, weight, call.out, transposed) + (0 if bias is None else call.out.numel())


def _convolution_depth(call: Call) -> float:
    weight: Tensor = call.args[1]
    return 1 + tree(weight.numel() / weight.shape[0] + (call.args[2] is not None))


CONVOLUTION = Price(_convolution, _convolution_depth)


def _convolution_backward(call: Call) -> float:
    grad, x, weight, transposed, mask = *call.args[:3], call.args[7], call.args[10]
    macs = _convolution_macs(x, weight, grad, transposed)
    return float(2 * macs * (mask[0] + mask[1]) + grad.numel() * mask[2])


def _convolution_backward_depth(call: Call) -> float:
    grad, x = call.args[:2]  # a gradient of the weight sums over batch and places
    return 1 + tree(grad.numel()) if call.args[10][1] or call.args[10][2] else 1 + tree(x.shape[1] * grad.numel())


CONVOLUTION_BACKWARD = Price(_convolution_backward, _convolution_backward_depth)


def _pooling(call: Call) -> float:
    return float(call.out.numel() * math.prod(call.args[1]))


def _pooling_depth(call: Call) -> float:
    return tree(math.prod(call.args[1]))


POOLING = Price(_pooling, _pooling_depth)


def _pooling_backward(call: Call) -> float:
    """Return one division and k sums per gradient of an average over a window of k."""
    return float(call.args[0].numel() * (1 + math.prod(call.args[2])))


def _pooling_backward_depth(call: Call) -> float:
    return 1 + tree(math.prod(call.args[2]))


POOLING_BACKWARD = Price(_pooling_backward, _pooling_backward_depth)


def adaptive_backward() -> Price:
    """Return the price of an adaptive average's gradient: a division per output, a sum per input."""
    return Price(
        lambda call: float(call.args[0].numel() + call.out.numel()),
        lambda call: 2 + tree(call.args[0].numel() / max(1, call.out.numel())),
    )


def interpolation(taps_per_axis: int, *, backward: bool = False, antialias: bool = False) -> Price:
    """Return the price of a weighted sum over neighbours, 2 per tap and output; its weights follow from sizes alone.

    With `antialias` the kernel grows with the factor by which an axis shrinks.
    """

    def ends(call: Call) -> tuple[Tensor, Tensor]:
        return (call.out, call.args[0]) if backward else (call.args[0], call.out)

    def taps(call: Call) -> int:
        source, sampled = (part.shape[2:] for part in ends(call))
        grown = [math.ceil(max(1.0, before / after)) if antialias else 1 for before, after in zip(source, sampled)]  # noqa: B905
        return math.prod(taps_per_axis * factor for factor in grown)

    def depth(call: Call) -> float:
        source, sampled = ends(call)
        return 1 + tree(taps(call) * (sampled.numel() / max(1, source.numel()) if backward else 1))

    return Price(lambda call: 2.0 * taps(call) * ends(call)[1].numel(), depth)


TAPS_PER_AXIS = {0: 2, 1: 1, 2: 4}
"""Of `grid_sample`: bilinear, nearest, bicubic."""


def _points(grid: Tensor, taps: int) -> float:
    """Return the arithmetic of the points: 6 per coordinate (to pixels, floor, fraction), 1 per tap of each."""
    return float(grid.numel() * (6 + taps))


def _grid_sample(call: Call) -> float:
    grid: Tensor = call.args[1]
    taps: int = TAPS_PER_AXIS[call.args[2]] ** grid.shape[-1]
    return _points(grid, taps) + 2.0 * taps * call.out.numel()


def _grid_sample_depth(call: Call) -> float:
    dimensions: int = call.args[1].shape[-1]
    return 6 + dimensions + 1 + tree(TAPS_PER_AXIS[call.args[2]] ** dimensions)


GRID_SAMPLE = Price(_grid_sample, _grid_sample_depth)


def _grid_sample_backward(call: Call) -> float:
    grad, _, grid, mode = call.args[:4]
    dimensions: int = grid.shape[-1]
    taps: int = TAPS_PER_AXIS[mode] ** dimensions
    return _points(grid, taps) + float(2 * taps * grad.numel() * (call.args[6][0] + dimensions * call.args[6][1]))


def _grid_sample_backward_depth(call: Call) -> float:
    dimensions: int = call.args[2].shape[-1]
    return 6 + dimensions + 1 + tree(call.args[0].numel())


GRID_SAMPLE_BACKWARD = Price(_grid_sample_backward, _grid_sample_backward_depth)
