"""Majority: are more than half of the bits 1? After some bits the vote is decided, often before the last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sp_search.tasks.base import Batch, Draw, Shape, Task

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Majority(Task):
    """T = bits positions in {-1, 1}, one answer with V = 2: whether the ones are more."""

    kind: Literal["majority"] = "majority"
    bits: int = Field(5, ge=1, le=63, description="length of the input")

    def shape(self) -> Shape:
        return Shape(positions=self.bits, channels=1, answers=1, classes=2)

    def sample(self, n: int, distribution: str, draw: Draw, generator: Generator) -> Batch:
        import torch

        self.refuse_unknown(distribution, draw)
        x_BTC = torch.randint(0, 2, (n, self.bits, 1), generator=generator, device=generator.device) * 2.0 - 1.0
        return Batch(x_BTC, (x_BTC.sum(1) > 0).long())

    def difficulty(self, batch: Batch) -> Tensor:
        return -batch.x_BTC.sum((1, 2)).abs()
