"""The examples of an audit, drawn by its own generator; a planted distribution is never among them."""

from __future__ import annotations

from torch import Generator

from sp_search.tasks.base import Batch, Draw, Task


def examples(
    task: Task, n: int, generator: Generator, distribution: str | None = None, draw: Draw = "verification"
) -> Batch:
    """Return n examples, or all that finite data holds for the draw; by default of the training distribution."""
    held = task.held_out(draw)
    return task.sample(min(n, held or n), distribution or task.distributions()[0], draw, generator)


def plenty(task: Task, n: int, generator: Generator) -> Batch:
    """Return n examples of the training law, again and again where data is finite: to search in, or to train probes."""
    return task.sample(
        n, task.distributions()[0], "verification" if task.held_out("train") is None else "train", generator
    )


def other_distributions(task: Task) -> list[str]:
    """Return the distributions beside the training's whose inputs have its shape, without planted ones."""
    shape = task.shape()

    def fits(name: str) -> bool:
        drawn = task.sample(1, name, "train", Generator().manual_seed(0)).x_BTC
        return drawn.shape[1:] == (shape.positions, shape.channels)

    return [name for name in task.distributions()[1:] if name not in task.planted and fits(name)]
