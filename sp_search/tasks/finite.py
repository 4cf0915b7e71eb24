"""Which rows a sample of finite data takes: the training draw with replacement, every other draw without."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from sp_search.tasks.base import Draw


def choose_rows(kind: str, held_out: int, n: int, draw: Draw, generator: Generator) -> Tensor:
    """Return rows_B of a draw that holds `held_out` examples; asked for all of one, it comes whole and in order.

    Raises:
        ValueError: more examples than the draw has, of any draw but `train`.
    """
    import torch

    device = generator.device
    if draw == "train":
        return torch.randint(0, held_out, (n,), generator=generator, device=device)
    if n > held_out:
        raise ValueError(f"{kind} has {held_out} examples for {draw}, got n={n}: at most {held_out} are allowed")
    if n == held_out:
        return torch.arange(n, device=device)
    return torch.randperm(held_out, generator=generator, device=device)[:n]
