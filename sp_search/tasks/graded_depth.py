"""Graded depth: follow a run of steps back to the bit that was written before it. Hard inputs are rare, and need depth.

Every position either writes a bit or changes the bit of the position before it (keep or flip); the one answer is the
bit at the last position. It depends on a fair coin L positions back, so a local program that sees less than L positions
can only guess: a small static network cannot match a deep one, however it is trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sp_search.tasks.base import Batch, Draw, Shape, Task

if TYPE_CHECKING:
    from torch import Generator, Tensor

Law = Literal["rare", "geometric", "uniform"]


class GradedDepth(Task):
    """T = positions with two channels in {-1, +1}, one answer with V = 2 classes.

    Channel 0 says whether the position writes (+1) or changes (-1), channel 1 which bit it writes or whether it flips.
    The last L positions change, the one before them writes a fair coin, the rest is random; L in 1..T-1 follows

    - `rare`: 1 with probability 1 - hard, else uniform over 2..T-1;
    - `geometric`: P(L) proportional to hard ** L, so that nearly a share `hard` is harder than the easiest;
    - `uniform`: every L alike.

    `iid` is the training distribution, which the field `law` names among them.
    """

    PRESETS: ClassVar = {
        "smoke": {"positions": 5, "hard": 0.3},
        "cpu": {"positions": 17, "hard": 0.15},
        "paper": {"positions": 33, "hard": 0.15},  # ours: nothing is published on it
    }
    kind: Literal["graded_depth"] = "graded_depth"
    positions: int = Field(17, ge=3, le=1024, description="length of an input")
    law: Law = Field("rare", description="law of difficulty of the training distribution")
    hard: float = Field(0.15, gt=0, lt=1, description="share of inputs that are harder than the easiest")

    def shape(self) -> Shape:
        """Return T = positions, C = 2, one answer, V = 2."""
        return Shape(self.positions, 2, 1, 2)

    def distributions(self) -> tuple[str, ...]:
        """Return iid (an alias of the field `law`) and the three laws."""
        return ("iid", "rare", "geometric", "uniform")

    def law_of_difficulty(self, distribution: str) -> list[float]:
        """Return P(L = 1), ..., P(L = T - 1)."""
        self.refuse_unknown(distribution)
        law, most = self.law if distribution == "iid" else distribution, self.positions - 1
        if law == "rare":
            return [1.0 - self.hard] + [self.hard / (most - 1)] * (most - 1)
        weights = [self.hard**length if law == "geometric" else 1.0 for length in range(most)]
        return [weight / sum(weights) for weight in weights]

    def sample(self, n: int, distribution: str, draw: Draw, generator: Generator) -> Batch:
        """Return n fresh inputs; the draws differ by their generators' seeds."""
        import torch

        self.refuse_unknown(distribution, draw)
        device, length = generator.device, self.positions
        law = torch.tensor(self.law_of_difficulty(distribution), device=device)
        run_B1 = 1 + torch.multinomial(law, max(1, n), replacement=True, generator=generator)[:n, None]  # n may be 0
        source_B1 = length - 1 - run_B1
        position_T = torch.arange(length, device=device)
        writes_BT, bit_BT = torch.randint(0, 2, (2, n, length), generator=generator, device=device)
        writes_BT = torch.where(position_T >= source_B1, (position_T == source_B1).long(), writes_BT)
        answer_B1 = (bit_BT * (position_T >= source_B1)).sum(1, keepdim=True) % 2
        return Batch(2.0 * torch.stack([writes_BT, bit_BT], dim=-1) - 1.0, answer_B1)

    def answer_key(self, x_BTC: Tensor) -> Tensor:
        """Return the bit at the last position, and -1 where no position writes one."""
        import torch

        writes_BT, bit_BT = (x_BTC > 0).unbind(-1)
        position_T = torch.arange(x_BTC.shape[1], device=x_BTC.device)
        source_B1 = torch.where(writes_BT, position_T, 0).amax(1, keepdim=True)
        answer_B1 = (bit_BT & (position_T >= source_B1)).sum(1, keepdim=True) % 2
        return torch.where(writes_BT.any(1, keepdim=True), answer_B1, -1)

    def difficulty(self, batch: Batch) -> Tensor:
        """Return L: how many positions back the bit was written."""
        import torch

        writes_BT = batch.x_BTC[..., 0] > 0
        position_T = torch.arange(self.positions, device=writes_BT.device)
        return (self.positions - 1 - torch.where(writes_BT, position_T, -1).amax(1)).to(batch.x_BTC.dtype)

    def minimal_rollouts(self, batch: Batch, reach: int) -> Tensor:
        """Return ceil(L / reach): with fewer steps the last position has not seen the coin, right half the time."""
        return (self.difficulty(batch).long() + reach - 1) // reach

    def accuracy_cap(self, distribution: str, reach: int, rollouts: int) -> float:
        """Return 1 - P(L > rollouts * reach) / 2, the proven cap of every local program that answers there.

        Given L and all else, the coin is fair and turns the answer; a program that answers from the last `seen`
        positions and itself is independent of a coin beyond them. The cap is attained: follow the run where it is seen.
        """
        unseen = sum(self.law_of_difficulty(distribution)[rollouts * reach :])
        return 1.0 - unseen / 2
