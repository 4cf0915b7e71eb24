"""Binary addition, least significant bit first: the need differs per input, so it tells mean from max budgets.

Output bit i + 1 needs the carry out of bit i, which looks back over the bits that propagate it (a xor b = 1). On
uniform bits the longest look-back grows as log2 n, at worst it is n - 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sp_search.tasks.base import LARGEST_SUPPORT, Batch, Draw, Shape, Task

if TYPE_CHECKING:
    from torch import Generator, Tensor

Law = Literal["graded", "uniform", "leaky"]


class BinaryAddition(Task):
    """a + b in two channels in {-1, +1}; T = bits answers, the carry out of the top dropped.

    Distributions: `iid` is the training distribution, which the field `distribution` names among

    - `uniform`: random bits;
    - `graded`: random bits with one planted run, of length L ~ U{0..n-1}, that propagates the carry of the bit below
      it, where a = b = z and z is a fair coin (generate or kill);
    - `leaky`: the same with z = 1 always, so a long run betrays its carry (flawed on purpose);

    and `longer` is the training distribution on `longer_bits` bits: a report, under a named unrolling rule, never a
    gate. At worst ceil((n - 1) / reach) rollouts are needed; what a milestone needs, `least_rollouts_for` tells.
    """

    PRESETS: ClassVar = {
        "smoke": {"bits": 5, "longer_bits": 10},
        "cpu": {"bits": 12, "longer_bits": 24},
        "paper": {"bits": 24, "longer_bits": 48},  # no paper has this law: twice `cpu`
    }
    kind: Literal["binary_addition"] = "binary_addition"
    bits: int = Field(12, ge=2, le=62, description="length of both numbers")
    distribution: Law = Field("graded", description="the training distribution")
    longer_bits: int = Field(24, ge=2, le=62, description="length of both numbers in the distribution `longer`")

    def shape(self) -> Shape:
        """Return T = bits, C = 2, V = 2."""
        return Shape(self.bits, 2, self.bits, 2)

    def distributions(self) -> tuple[str, ...]:
        """Return iid (an alias of the field `distribution`), the three laws, longer."""
        return ("iid", "graded", "uniform", "leaky", "longer")

    def sample(self, n: int, distribution: str, draw: Draw, generator: Generator) -> Batch:
        """Return n fresh pairs; the draws differ by their generators' seeds."""
        import torch

        self.refuse_unknown(distribution, draw)
        law, length = self._law(distribution), self._length(distribution)
        terms_BTC = torch.randint(0, 2, (n, length, 2), generator=generator, device=generator.device)
        return _batch(terms_BTC if law == "uniform" else _with_run(terms_BTC, law == "leaky", generator))

    def answer_key(self, x_BTC: Tensor) -> Tensor:
        """Return the sum of the numbers whose bits are 1 where x is positive."""
        return _batch((x_BTC > 0).long()).y_BT

    def difficulty(self, batch: Batch) -> Tensor:
        """Return the longest look-back of a carry, in positions."""
        return _longest_look_back(batch).to(batch.x_BTC.dtype)

    def minimal_rollouts(self, batch: Batch, reach: int) -> Tensor:
        """Return ceil(longest look-back / reach): fewer rollouts leave a carry undecided, right only by luck."""
        return (_longest_look_back(batch) + reach - 1) // reach

    def accuracy_cap(self, distribution: str, reach: int, rollouts: int) -> float:
        """Return the proven cap of a local causal cell that answers at a fixed rollout K and so sees s = K r bits back.

        graded: given the run, z is a fair coin that nothing else tells. A run of length L >= s from position p shows
        an answer p + s + 1 <= n - 1 nothing of z, so that answer is wrong half the time: 1 - P(such a run) / 2.
        uniform: with probability 2^-s the last answer sees nothing but propagating bits, and the carry that it needs
        from the m = n - 1 - s bits below is 1 with probability (1 - 2^-m) / 2: 1 - 2^-s (1 - 2^-m) / 2.
        leaky: nothing is proven (1.0).
        """
        self.refuse_unknown(distribution)
        law, length, seen = self._law(distribution), self._length(distribution), rollouts * reach
        below = length - 1 - seen
        if law == "leaky" or below <= 0:
            return 1.0
        if law == "uniform":
            return 1.0 - 2.0**-seen * (1.0 - 2.0**-below) / 2
        # Starts p are uniform over n - L; of these min(n - L, below) leave room for the answer p + s + 1.
        long_run = (below / (length - seen) + below) / length
        return 1.0 - long_run / 2

    def support_size(self, distribution: str) -> int | None:
        """Return 4^n for uniform bits where the pairs are few enough to enumerate."""
        self.refuse_unknown(distribution)
        size = 4 ** self._length(distribution)
        return size if self._law(distribution) == "uniform" and size <= LARGEST_SUPPORT else None

    def enumerate(self, distribution: str) -> Batch:
        """Return every pair once."""
        import torch

        size = self.support_size(distribution)
        if size is None:
            return super().enumerate(distribution)
        length = self._length(distribution)
        bits = torch.arange(size)[:, None] >> torch.arange(2 * length) & 1
        return _batch(bits.reshape(size, 2, length).transpose(1, 2))

    def _law(self, distribution: str) -> str:
        return self.distribution if distribution in ("iid", "longer") else distribution

    def _length(self, distribution: str) -> int:
        return self.longer_bits if distribution == "longer" else self.bits


def _batch(terms_BTC: Tensor) -> Batch:
    import torch

    weights_T = 2 ** torch.arange(terms_BTC.shape[1], device=terms_BTC.device)
    total_B = (terms_BTC.sum(-1) * weights_T).sum(1)
    y_BT = total_B[:, None] // weights_T % 2
    return Batch(2.0 * terms_BTC - 1.0, y_BT)


def _with_run(terms_BTC: Tensor, leaky: bool, generator: Generator) -> Tensor:
    """Plant a run that propagates: positions p+1..p+L, with p ~ U{0..n-1-L}, L ~ U{0..n-1} and a_p = b_p = z."""
    import torch

    n, length, _ = terms_BTC.shape
    device = generator.device
    run_B1 = torch.randint(0, length, (n, 1), generator=generator, device=device)
    share_B1 = torch.rand((n, 1), generator=generator, device=device, dtype=torch.float64)
    start_B1 = (share_B1 * (length - run_B1)).long()
    coin_B1 = torch.randint(0, 2, (n, 1), generator=generator, device=device)
    first_BT, second_BT = terms_BTC.unbind(-1)
    position_T = torch.arange(length, device=device)
    in_run_BT = (position_T > start_B1) & (position_T <= start_B1 + run_B1)
    below_run_BT = position_T == start_B1
    z_B1 = torch.ones_like(coin_B1) if leaky else coin_B1
    second_BT = torch.where(in_run_BT, 1 - first_BT, second_BT)
    return torch.stack([torch.where(below_run_BT, z_B1, part) for part in (first_BT, second_BT)], dim=-1)


def _longest_look_back(batch: Batch) -> Tensor:
    """Return max over i < n - 1 of d_i: 1, and one more than d_{i-1} where bit i > 0 propagates the carry into it."""
    import torch

    x_BTC = batch.x_BTC[:, :-1]
    position_T = torch.arange(x_BTC.shape[1], device=x_BTC.device)
    propagates_BT = x_BTC[..., 0] != x_BTC[..., 1]
    origin_BT = torch.where(propagates_BT, 0, position_T).cummax(1).values
    return (position_T - origin_BT).amax(1) + 1
