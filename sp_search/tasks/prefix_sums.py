"""Prefix sums modulo 2: y_j is the parity of x_0..x_j. The last answer depends on every bit, so the need is exact."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sp_search.tasks.base import LARGEST_SUPPORT, Batch, Draw, Shape, Task

if TYPE_CHECKING:
    from torch import Generator, Tensor

BIASES = (0.1, 0.2, 0.8, 0.9)
"""P(bit = 1) of the biased strings in `shifted`, drawn per string."""
FLIP_RATE = 0.1
"""How often a bursty string in `shifted` leaves its run."""


class PrefixSums(Task):
    """One channel in {-1, +1}, T = bits positions answered with one of V = 2 classes.

    Distributions: `iid` (uniform bits), `shifted` (same length; every second string is biased, the others are bursty)
    and `longer` (`longer_bits` uniform bits: a report, under a named unrolling rule, never a gate).
    """

    PRESETS: ClassVar = {
        "smoke": {"bits": 5, "longer_bits": 16},
        "cpu": {"bits": 13, "longer_bits": 128},
        "paper": {"bits": 32, "longer_bits": 512},  # 2202.05826
    }
    kind: Literal["prefix_sums"] = "prefix_sums"
    bits: int = Field(11, ge=2, le=64, description="length of a string")
    longer_bits: int = Field(128, ge=2, le=8192, description="length of a string in the distribution `longer`")

    def shape(self) -> Shape:
        """Return T = bits, C = 1, V = 2."""
        return Shape(self.bits, 1, self.bits, 2)

    def distributions(self) -> tuple[str, ...]:
        """Return iid (the training distribution), shifted, longer."""
        return ("iid", "shifted", "longer")

    def sample(self, n: int, distribution: str, draw: Draw, generator: Generator) -> Batch:
        """Return n fresh strings; the draws differ by their generators' seeds."""
        import torch

        self.refuse_unknown(distribution, draw)
        if distribution == "shifted":
            return _batch(_shifted_bits(n, self.bits, generator))
        bits_BT = torch.randint(0, 2, (n, self._length(distribution)), generator=generator, device=generator.device)
        return _batch(bits_BT)

    def answer_key(self, x_BTC: Tensor) -> Tensor:
        """Return the parity of the positive numbers up to each position."""
        return (x_BTC[..., 0] > 0).long().cumsum(1) % 2

    def difficulty(self, batch: Batch) -> Tensor:
        """Return how far back the last answer looks: T - 1 positions, the same for every string of one length."""
        return batch.x_BTC.new_full((len(batch.x_BTC),), batch.x_BTC.shape[1] - 1)

    def minimal_rollouts(self, batch: Batch, reach: int) -> Tensor:
        """Return ceil((T - 1) / reach) for every string: the last answer depends on all of its bits."""
        import torch

        need = -(-(batch.x_BTC.shape[1] - 1) // reach)
        return torch.full((len(batch.x_BTC),), need, dtype=torch.int64, device=batch.x_BTC.device)

    def least_rollouts(self, distribution: str, reach: int) -> int | None:
        """Return K* = ceil((n - 1) / reach) for uniform bits.

        None for `shifted`: an unseen bit that is biased, or stands in a burst, can be guessed better than by a coin.
        """
        self.refuse_unknown(distribution)
        return None if distribution == "shifted" else -(-(self._length(distribution) - 1) // reach)

    def accuracy_cap(self, distribution: str, reach: int, rollouts: int) -> float:
        """Return 2^-ceil(u / (K r + 2)) with u = n - 1 - K r unseen bits, for uniform bits and any local causal cell.

        Answers j and j + K r + 2 err independently: neither window holds bit j + 1, a fair coin that turns the second
        answer alone. It is attained (by enumeration, in the tests) and holds where the answer is read at a fixed
        rollout; a halting unit that sees all positions can leak past it.
        """
        self.refuse_unknown(distribution)
        seen = rollouts * reach
        unseen = self._length(distribution) - 1 - seen
        if distribution == "shifted" or unseen <= 0:
            return 1.0
        return float(2.0 ** -math.ceil(unseen / (seen + 2)))

    def support_size(self, distribution: str) -> int | None:
        """Return 2^n where all strings are equally likely and few enough to enumerate."""
        self.refuse_unknown(distribution)
        size = 2 ** self._length(distribution)
        return size if distribution != "shifted" and size <= LARGEST_SUPPORT else None

    def enumerate(self, distribution: str) -> Batch:
        """Return every string once, counting upwards with position 0 as the least significant bit."""
        import torch

        size = self.support_size(distribution)
        if size is None:
            return super().enumerate(distribution)
        return _batch(torch.arange(size)[:, None] >> torch.arange(self._length(distribution)) & 1)

    def _length(self, distribution: str) -> int:
        return self.longer_bits if distribution == "longer" else self.bits


def _batch(bits_BT: Tensor) -> Batch:
    return Batch((2.0 * bits_BT - 1.0).unsqueeze(-1), bits_BT.cumsum(1) % 2)


def _shifted_bits(n: int, length: int, generator: Generator) -> Tensor:
    import torch

    device = generator.device
    biases = torch.tensor(BIASES, device=device)
    rate_B1 = biases[torch.randint(0, len(biases), (n, 1), generator=generator, device=device)]
    uniform_BT = torch.rand((n, length), generator=generator, device=device)
    biased_BT = (uniform_BT < rate_B1).long()
    flips_BT = (uniform_BT < FLIP_RATE).long()
    flips_BT[:, 0] = torch.randint(0, 2, (n,), generator=generator, device=device)
    bursty_BT = flips_BT.cumsum(1) % 2
    return torch.where(torch.arange(n, device=device)[:, None] % 2 == 0, biased_BT, bursty_BT)
