"""What models whose exits are rollouts share: the axis, what passes from one rollout to the next, and common prices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sp_search.models.base import ModelSpec, linear_flops

if TYPE_CHECKING:
    from sp_search.tasks.base import Shape

Feedback = Literal["state", "output", "both"]
FEEDBACK = "what one rollout hands to the next: its hidden `state`, only the discrete `output` that it writes, or both"
SCRATCH_BITS = "bits that a rollout writes where `feedback` is output or both"

NORM_FLOPS = 7.0
"""A layer norm with scale and shift, per element."""


class Recurrent(ModelSpec):
    """Base of the model parts whose exits share weights."""

    def axes(self) -> tuple[str, ...]:
        """Return `rollouts`: exits share weights."""
        return ("rollouts",)

    def realise(self, axis: str, cap: float) -> int | None:
        """Return the number of rollouts (or units, where the width is an axis) within `cap`, or None below one."""
        self._check_axis(axis)
        return int(cap) if cap >= 1 else None

    def check(self, shape: Shape) -> None:
        """Raise ValueError where `refuses` gives a reason."""
        reason = self.refuses(shape)
        if reason is not None:
            raise ValueError(reason)


def memory_size(feedback: Feedback, width: int, bits: int) -> int:
    """Return the channels that pass from rollout to rollout, beside the input."""
    return width * (feedback != "output") + bits * (feedback != "state")


def writing_flops(feedback: Feedback, width: int, bits: int) -> float:
    """Return the price of writing `bits` from a hidden state: an affine map, and 5 a bit (2 of them pass gradients)."""
    return linear_flops(width, bits) + 5.0 * bits if feedback != "state" else 0.0


def attention_flops(width: int, heads: int, queries: int, keys: int, *, masked: bool) -> float:
    """Return the price of attention between its maps: scale, scores, mask or bias, softmax, and the values' mean."""
    return float(queries * width + queries * keys * (4 * width + heads * (5 + masked)))


def block_flops(width: int, heads: int, hidden: int, queries: int, keys: int, *, masked: bool) -> float:
    """Return the price of a pre-norm block: norm, attention, residual, then norm, relu perceptron, residual."""
    maps = linear_flops(width, 3 * width) + linear_flops(width, width)
    perceptron = linear_flops(width, hidden) + hidden + linear_flops(hidden, width)
    per_query = maps + perceptron + 2 * (NORM_FLOPS + 1) * width
    return queries * per_query + attention_flops(width, heads, queries, keys, masked=masked)


def block_parameters(width: int, hidden: int) -> int:
    """Return the number of parameters of a pre-norm block."""
    maps = (width + 1) * 3 * width + (width + 1) * width
    return maps + (width + 1) * hidden + (hidden + 1) * width + 4 * width
