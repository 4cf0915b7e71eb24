"""Does a growing network stop at the interpolation threshold, where label noise hurts most (1812.11118, 1912.02292)?

Digits whose 1,000 training labels are wrong in a fixed share; validation and test labels are right. A perceptron with
one hidden layer trains at every width for the same steps, on the images as they are. The threshold is the least width
that fits 99 % of the training labels, wrong ones included. A ladder in which each width inherits the one below stops
at the least width that meets a milestone on validation; test error there is set against that at 4 times the width.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from statistics import mean
from typing import Any, Literal

import torch
from torch import Generator

from benchmarks.ladder import Ladder, climb, train
from benchmarks.seeds import keep
from sp_search.models.exit_mlp import ExitMlp
from sp_search.program import Program, unroll
from sp_search.tasks.base import Batch, Draw, Shape, Task

WIDTHS = [4, 8, 16, 32, 64, 128, 256, 512]
LINEAGES, SEEDS = [0, 1, 2, 3, 4], [0]
SHARES = {0.15: 0.8}
"""Milestones by the share of wrong labels."""

RECIPE = {"steps": 2000, "batch": 64, "learning_rate": 3e-3, "plateau": 6, "evaluate_every": 100}
TRAIN, VALIDATION = 1000, 300
SPLIT_SEED = 20_261_121


class NoisyDigits(Task):
    """Digits with a share of wrong training labels that stay the same; T = 1, C = 64, one answer, V = 10."""

    kind: Literal["noisy_digits"] = "noisy_digits"
    wrong: float = 0.15

    def shape(self) -> Shape:
        """Return T = 1, C = 64, one answer, V = 10."""
        return Shape(1, 64, 1, 10)

    def held_out(self, draw: Draw) -> int | None:
        """Return how many images this draw has."""
        return len(self.pool(draw).y_BT)

    def pool(self, draw: str) -> Batch:
        """Return all of a draw, in order."""
        return split(self.wrong)[draw]

    def sample(self, n: int, distribution: str, draw: Draw, generator: Generator) -> Batch:
        """Return n images, of `train` with replacement and of the others the first n of a permutation."""
        pool = self.pool(draw)
        count = len(pool.y_BT)
        if draw == "train":
            rows = torch.randint(count, (n,), generator=generator)
        else:
            rows = torch.arange(count) if n == count else torch.randperm(count, generator=generator)[:n]
        return Batch(pool.x_BTC[rows], pool.y_BT[rows])


@cache
def split(wrong: float) -> dict[str, Batch]:
    """Return the draws; a wrong label is drawn from the nine others."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    generator = Generator().manual_seed(SPLIT_SEED)
    order = torch.randperm(len(labels), generator=generator)
    x_BTC = (torch.from_numpy(pixels / 8.0 - 1.0).float()[:, None])[order]
    y_BT = torch.from_numpy(labels).long()[order, None]
    flipped_B1 = torch.rand(TRAIN, 1, generator=generator) < wrong
    other_B1 = (y_BT[:TRAIN] + torch.randint(1, 10, (TRAIN, 1), generator=generator)) % 10
    noisy_BT = torch.where(flipped_B1, other_B1, y_BT[:TRAIN])
    ends = {"validation": slice(TRAIN, TRAIN + VALIDATION), "verification": slice(TRAIN + VALIDATION, None)}
    held_out = {draw: Batch(x_BTC[rows], y_BT[rows]) for draw, rows in ends.items()}
    return {"train": Batch(x_BTC[:TRAIN], noisy_BT), "sealed": held_out["verification"], **held_out}


def error(program: Program, batch: Batch) -> float:
    """Return the share of wrong answers."""
    with torch.no_grad():
        logits_BTV = unroll(program.model, batch.x_BTC, exits=1, halting=False).logits_NBTV[-1]
    return float((logits_BTV.argmax(-1) != batch.y_BT).any(1).float().mean())


def curve(ladder: Ladder, seed: int) -> list[dict[str, Any]]:
    """Return train error (on noisy labels) and test error (on right ones) of every width, trained afresh to its end."""
    task, rows = ladder.task, []
    assert isinstance(task, NoisyDigits)
    never = replace(ladder, milestone=1.0)
    for width in ladder.widths:
        runner, at = never.runner(seed, plateau=None), never.assignment(seed, LINEAGES, width)
        state, _ = train(runner, at, None)
        programs = [runner.program(at, state, lineage) for lineage in LINEAGES]
        train_error, test_error = (
            [error(own, task.pool(draw)) for own in programs] for draw in ("train", "verification")
        )
        rows.append({"seed": seed, "width": width, "train_error": train_error, "test_error": test_error})
    return rows


def main() -> None:
    """Print the curve and the stops of growth for every share of wrong labels."""
    torch.set_num_threads(1)
    kept = {}
    for wrong, milestone in SHARES.items():
        ladder = Ladder(NoisyDigits(wrong=wrong), ExitMlp(depth=0), 1, WIDTHS, milestone, dict(RECIPE))
        rows = [row for seed in SEEDS for row in curve(ladder, seed)]
        grown = [rungs for seed in SEEDS for rungs in climb(ladder, seed, LINEAGES, {}).values()]
        stops = [rungs[-1].width for rungs in grown if rungs[-1].ended == "reached"]
        for width in WIDTHS:
            own = [row for row in rows if row["width"] == width]
            means = {name: mean(one for row in own for one in row[name]) for name in ("train_error", "test_error")}
            print(wrong, width, means, flush=True)
        print(f"{wrong}: stops of growth at milestone {milestone}: {stops}, of {len(grown)}")
        kept[str(wrong)] = {"milestone": milestone, "curve": rows, "stops": stops, "grown": len(grown)}
    keep("label_noise", kept)


if __name__ == "__main__":
    main()
