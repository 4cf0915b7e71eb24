"""Sparse parity (PonderNet, 2107.05407, App. B): is the number of +1 odd? Every nonzero matters, the zeros do not.

Data for pondering: more nonzeros are harder. Without a curriculum the gradients see next to no signal beyond few
nonzeros, so train with `curriculum` (the easiest share first).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from sp_search.tasks.base import Batch, Draw, Shape, Task

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Parity(Task):
    """T = size positions in {-1, 0, 1}, one answer with V = 2: the number of +1, modulo 2.

    The number of nonzeros is uniform on 1..most_nonzeros in `iid`, their places and signs are random. `harder` has more
    nonzeros than were trained on (uniform on most_nonzeros + 1..size), or exactly `size` where training has them all;
    `longer` has longer_size positions and 1..longer_size nonzeros, for programs that read position by position.

    No need is proven: a program that sees the input whole computes it in one step with about `size` units (the serial
    bound is 1), so the least rollouts measure its width and its training.
    """

    PRESETS: ClassVar = {
        "smoke": {"size": 6, "longer_size": 12},
        "cpu": {"size": 12, "longer_size": 24},
        "paper": {"size": 64, "longer_size": 96},
    }
    kind: Literal["parity"] = "parity"
    size: int = Field(12, ge=2, le=4096, description="elements of the vector")
    most_nonzeros: int | None = Field(None, ge=1, description="most nonzeros in training (unset: all of size)")
    longer_size: int = Field(24, ge=3, le=8192, description="elements of the vector in the distribution `longer`")

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.most_nonzeros is not None and self.most_nonzeros > self.size:
            raise ValueError(f"most_nonzeros: got {self.most_nonzeros}, at most size ({self.size}) are allowed")
        return self

    def shape(self) -> Shape:
        """Return T = size, C = 1, one answer, V = 2."""
        return Shape(self.size, 1, 1, 2)

    def distributions(self) -> tuple[str, ...]:
        """Return iid (the training distribution), harder, longer."""
        return ("iid", "harder", "longer")

    def sample(self, n: int, distribution: str, draw: Draw, generator: Generator) -> Batch:
        """Return n fresh vectors; the draws differ by their generators' seeds."""
        import torch

        self.refuse_unknown(distribution, draw)
        device = generator.device
        length = self.longer_size if distribution == "longer" else self.size
        most = length if distribution == "longer" else self.most_nonzeros or length
        low, high = (min(most + 1, length), length) if distribution == "harder" else (1, most)
        nonzeros_B1 = torch.randint(low, high + 1, (n, 1), generator=generator, device=device)
        place_BT = torch.rand((n, length), generator=generator, device=device).argsort(1)
        sign_BT = torch.randint(0, 2, (n, length), generator=generator, device=device) * 2 - 1
        x_BT = torch.where(place_BT < nonzeros_B1, sign_BT, 0)
        return Batch(x_BT.float().unsqueeze(-1), (x_BT == 1).sum(1, keepdim=True) % 2)

    def answer_key(self, x_BTC: Tensor) -> Tensor:
        """Return the parity of the number of +1."""
        return (x_BTC == 1).sum(1) % 2

    def difficulty(self, batch: Batch) -> Tensor:
        """Return the number of nonzeros."""
        return (batch.x_BTC[..., 0] != 0).sum(1).to(batch.x_BTC.dtype)
