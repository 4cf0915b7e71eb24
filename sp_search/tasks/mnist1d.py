"""MNIST-1D (Greydanus & Kobak, 2011.14439): ten one-dimensional digit shapes, padded, moved, sheared and noisy.

Generated here from the published templates and constants, without a download and without that package; the numbers
differ from its files, which hang on NumPy's old global generator. Small, finite, and far from solved by linear maps.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from sp_search.tasks.base import Batch, Draw, Shape, Task
from sp_search.tasks.finite import choose_rows

if TYPE_CHECKING:
    from torch import Generator, Tensor

TEMPLATES = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)
LEAST_PADDING, MOST_PADDING, LENGTH, STEPS = 36, 60, 72, 40
SCALE, MOST_MOVE, CORRELATED, INDEPENDENT, SHEAR = 0.4, 48, 0.25, 0.02, 0.75
DATA_SEED = 42
"""Part of the data's definition, with the sizes: whoever changes them has another task."""
SIZES: dict[Draw, int] = {"train": 4000, "validation": 1000, "verification": 1000, "sealed": 1000}
"""4,000 training examples as published, and 1,000 for each other draw."""


class Mnist1d(Task):
    """T = 40 positions of one channel (mean 0, variance 1 over the training draw), one answer with V = 10 classes.

    Distributions: `iid` and `shifted` (every signal moved round by 5 to 10 steps, with noise of deviation 0.1).
    """

    PRESETS: ClassVar = {
        "smoke": {"training_examples": 500},
        "cpu": {"training_examples": 4000},
        "paper": {"training_examples": 4000},
    }
    kind: Literal["mnist1d"] = "mnist1d"
    training_examples: int = Field(4000, ge=10, le=4000, description="examples of the training draw that are used")

    def shape(self) -> Shape:
        """Return T = 40, C = 1, one answer, V = 10."""
        return Shape(STEPS, 1, 1, 10)

    def distributions(self) -> tuple[str, ...]:
        """Return iid (the training distribution) and shifted."""
        return ("iid", "shifted")

    def held_out(self, draw: Draw) -> int:
        """Return how many examples this draw has."""
        self.refuse_unknown("iid", draw)
        return self.training_examples if draw == "train" else SIZES[draw]

    def sample(self, n: int, distribution: str, draw: Draw, generator: Generator) -> Batch:
        """Return n examples: of `train` with replacement, of the other draws without.

        Raises:
            ValueError: an unknown distribution or draw, or more examples than the draw has.
        """
        import torch

        self.refuse_unknown(distribution, draw)
        pool, device = _draws()[draw], generator.device
        rows = choose_rows("mnist1d", self.held_out(draw), n, draw, generator)
        x_BTC, y_BT = pool.x_BTC.to(device)[rows], pool.y_BT.to(device)[rows]
        if distribution == "shifted":
            move_B1 = torch.randint(5, 11, (n, 1), generator=generator, device=device)
            from_BT = (torch.arange(STEPS, device=device) - move_B1) % STEPS
            x_BTC = x_BTC.gather(1, from_BT[:, :, None])
            x_BTC = x_BTC + 0.1 * torch.randn(x_BTC.shape, generator=generator, device=device)
        return Batch(x_BTC, y_BT)

    def difficulty(self, batch: Batch) -> Tensor:
        """Return the distance to the own class's nearest training signal less that to the nearest of another class."""
        import torch

        train = _draws()["train"]
        known_KT, label_K = train.x_BTC[..., 0].to(batch.x_BTC.device), train.y_BT[:, 0].to(batch.x_BTC.device)
        distance_BK = torch.cdist(batch.x_BTC[..., 0], known_KT)
        own_BK = label_K == batch.y_BT
        itself_BK = distance_BK < 1e-3  # a training signal is no neighbour of its own
        nearest_own_B = distance_BK.masked_fill(~own_BK | itself_BK, torch.inf).amin(1)
        return nearest_own_B - distance_BK.masked_fill(own_BK, torch.inf).amin(1)


@cache
def _draws() -> dict[Draw, Batch]:
    """Return the draws, generated one after another from one seed; classes alike often, in random order."""
    import numpy as np
    import torch

    random = np.random.default_rng(DATA_SEED)
    signals, labels = {}, {}
    for draw, size in SIZES.items():
        labels[draw] = random.permutation(np.arange(size) % 10)
        signals[draw] = _signals(labels[draw], random)
    mean, deviation = signals["train"].mean(), signals["train"].std()
    return {
        draw: Batch(
            torch.from_numpy((signals[draw] - mean) / deviation).float().unsqueeze(-1),
            torch.from_numpy(labels[draw]).long().unsqueeze(-1),
        )
        for draw in SIZES
    }


def _signals(label_B: Any, random: Any) -> Any:
    """Return signals_BT: pad and stretch to 72 steps, scale, move round, add noise, shear, and shrink to 40 steps."""
    import numpy as np
    from scipy.ndimage import gaussian_filter1d

    n, template_VT = len(label_B), np.array(TEMPLATES, dtype=float)
    template_VT = (template_VT - template_VT.mean(1, keepdims=True)) / template_VT.std(1, keepdims=True)
    shape_VT = np.pad((template_VT - template_VT[:, :1]) / 6.0, ((0, 0), (0, MOST_PADDING + 1)))
    padding_B1 = random.integers(LEAST_PADDING, MOST_PADDING + 1, (n, 1))
    place_BT = np.linspace(0.0, 1.0, LENGTH) * (template_VT.shape[1] + padding_B1 - 1)
    below_BT = place_BT.astype(int)
    part_BT, row_B1 = place_BT - below_BT, label_B[:, None]
    x_BT = (1.0 - part_BT) * shape_VT[row_B1, below_BT] + part_BT * shape_VT[row_B1, below_BT + 1]
    x_BT *= 1.0 + SCALE * (random.random((n, 1)) - 0.5)
    from_BT = (np.arange(LENGTH) - random.integers(0, MOST_MOVE, (n, 1))) % LENGTH
    is_shape_BT = np.take_along_axis(place_BT < template_VT.shape[1], from_BT, axis=1)
    noise_BT = gaussian_filter1d(CORRELATED * random.standard_normal((n, LENGTH)), 2.0, axis=1)
    x_BT = np.where(is_shape_BT, np.take_along_axis(x_BT, from_BT, axis=1), noise_BT)
    x_BT += INDEPENDENT * random.standard_normal((n, LENGTH))
    x_BT -= SHEAR * (random.random((n, 1)) - 0.5) * np.linspace(-0.5, 0.5, LENGTH)
    place_T = np.linspace(0.0, LENGTH - 1, STEPS)
    below_T = np.minimum(place_T.astype(int), LENGTH - 2)
    part_T = place_T - below_T
    return (1.0 - part_T) * x_BT[:, below_T] + part_T * x_BT[:, below_T + 1]
