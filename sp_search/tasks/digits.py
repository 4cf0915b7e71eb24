"""The 1,797 handwritten digits of 8 x 8 pixels that scikit-learn ships (UCI optdigits): small, finite, real data."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sp_search.tasks.base import Batch, Draw, Shape, Task
from sp_search.tasks.finite import choose_rows

if TYPE_CHECKING:
    from torch import Generator, Tensor

SPLIT_SEED = 1797
"""Part of the data's definition: whoever changes it has another task."""
HELD_OUT: dict[Draw, int] = {"verification": 360, "validation": 270, "sealed": 270}
"""Examples per draw; the 897 that remain are for training. Every draw is stratified by class."""
SHIFTED_NOISE = 0.1
"""Standard deviation of the pixel noise in `shifted`, where pixels lie in [-1, 1]."""


class Digits(Task):
    """T = 1 position with C = 64 pixels in [-1, 1], one answer with V = 10 classes.

    Distributions: `iid` and `shifted` (every image moved by one pixel in one of eight directions, with noise). The
    held-out draws are finite; asked for all of one, `sample` returns it whole and in order.
    """

    kind: Literal["digits"] = "digits"
    shift: bool = Field(True, description="move half of the training images by up to one pixel")
    noise: float = Field(0.1, ge=0, description="standard deviation of the noise on training images")

    def shape(self) -> Shape:
        """Return T = 1, C = 64, one answer, V = 10."""
        return Shape(1, 64, 1, 10)

    def distributions(self) -> tuple[str, ...]:
        """Return iid (the training distribution) and shifted."""
        return ("iid", "shifted")

    def held_out(self, draw: Draw) -> int:
        """Return how many images this draw has."""
        self.refuse_unknown("iid", draw)
        return len(_split()[draw].y_BT)

    def sample(self, n: int, distribution: str, draw: Draw, generator: Generator) -> Batch:
        """Return n images: of `train` with replacement and augmented, of the other draws without replacement.

        Raises:
            ValueError: an unknown distribution or draw, or more images than the draw has.
        """
        self.refuse_unknown(distribution, draw)
        pool, device = _split()[draw], generator.device
        rows = choose_rows("digits", len(pool.y_BT), n, draw, generator)
        x_BTC, y_BT = pool.x_BTC.to(device)[rows], pool.y_BT.to(device)[rows]
        if distribution == "shifted":
            x_BTC = _noisy(_moved(x_BTC, _directions(n, 1, generator)), SHIFTED_NOISE, generator)
        elif draw == "train":
            if self.shift:
                x_BTC = _moved(x_BTC, _directions(n, 0, generator) * _coin(n, generator))
            x_BTC = _noisy(x_BTC, self.noise, generator)
        return Batch(x_BTC, y_BT)

    def difficulty(self, batch: Batch) -> Tensor:
        """Return the distance to the own class's mean image less that to the nearest other's: above 0, it misleads."""
        import torch

        train = _split()["train"]
        means = torch.stack([train.x_BTC[train.y_BT[:, 0] == label, 0].mean(0) for label in range(10)])
        distance_BV = torch.cdist(batch.x_BTC[:, 0], means.to(batch.x_BTC.device))
        own_B = distance_BV.gather(1, batch.y_BT)[:, 0]
        return own_B - distance_BV.scatter(1, batch.y_BT, torch.inf).amin(1)


@cache
def _split() -> dict[Draw, Batch]:
    """Return the draws. Images are ordered by class, then by a keyed hash; each draw takes evenly spaced ones."""
    import torch
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    keys = [hashlib.sha256(f"{SPLIT_SEED}/{image.astype(int).tolist()}".encode()).digest() for image in pixels]
    remaining = sorted(range(len(labels)), key=lambda row: (labels[row], keys[row]))
    chosen: dict[Draw, list[int]] = {}
    for draw, size in HELD_OUT.items():
        places = {(2 * index + 1) * len(remaining) // (2 * size) for index in range(size)}
        chosen[draw] = [row for place, row in enumerate(remaining) if place in places]
        remaining = [row for place, row in enumerate(remaining) if place not in places]
    chosen["train"] = remaining
    x_BTC = torch.from_numpy(pixels / 8.0 - 1.0).float().unsqueeze(1)
    y_BT = torch.from_numpy(labels).long().unsqueeze(1)
    return {draw: Batch(x_BTC[rows], y_BT[rows]) for draw, rows in chosen.items()}


def _directions(n: int, least: int, generator: Generator) -> Tensor:
    """Return moves_B2 in {-1, 0, 1}, all equally likely; with `least` 1 without (0, 0)."""
    import torch

    code_B = torch.randint(0, 9 - least, (n,), generator=generator, device=generator.device)
    code_B = code_B + (code_B >= 4) * least  # code 4 is (0, 0)
    return torch.stack([code_B // 3 - 1, code_B % 3 - 1], dim=1)


def _coin(n: int, generator: Generator) -> Tensor:
    import torch

    return torch.randint(0, 2, (n, 1), generator=generator, device=generator.device)


def _moved(x_BTC: Tensor, moves_B2: Tensor) -> Tensor:
    """Return the images moved by whole pixels, with empty paper (-1) coming in."""
    import torch
    from torch.nn import functional

    padded = functional.pad(x_BTC.reshape(-1, 8, 8), (1, 1, 1, 1), value=-1.0)
    place = torch.arange(1, 9, device=x_BTC.device)
    down, across = (place - moves_B2[:, :1]), (place - moves_B2[:, 1:])
    image_B = torch.arange(len(padded), device=x_BTC.device)[:, None, None]
    return padded[image_B, down[:, :, None], across[:, None, :]].reshape(x_BTC.shape)


def _noisy(x_BTC: Tensor, deviation: float, generator: Generator) -> Tensor:
    import torch

    return x_BTC + deviation * torch.randn(x_BTC.shape, generator=generator, device=generator.device)
