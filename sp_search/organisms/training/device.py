"""Where nets train and are looked at: on the CPU, or on a GPU while `gpu_allowed` says so and torch has one.

Examples are drawn on the CPU and weights come back to it, so that nets, programs and what is stored know no device.
Numbers of a GPU differ from those of the CPU in their last bits, and training carries that on: stored nets and evidence
say which it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass
class Place:
    """Where the nets of one run are; `device` is chosen by the first of them and None without any."""

    gpu: bool
    device: torch.device | None = None

    def words(self) -> str:
        """Say where the nets were, or nothing if there were none."""
        import torch

        if self.device is None:
            return ""
        return "nets on the CPU" if self.device.type == "cpu" else f"nets on {torch.cuda.get_device_name(self.device)}"


_PLACE: ContextVar[Place | None] = ContextVar("place", default=None)


@contextmanager
def gpu_allowed(gpu: bool) -> Iterator[Place]:
    """Let nets be on the GPU that torch sees first, if `gpu` and if it sees one."""
    place = Place(gpu)
    before = _PLACE.set(place)
    try:
        yield place
    finally:
        _PLACE.reset(before)


def device() -> torch.device:
    """Return where nets are now: the CPU, unless `gpu_allowed` was asked."""
    import torch

    place = _PLACE.get()
    if place is None:
        return torch.device("cpu")
    if place.device is None:
        place.device = torch.device("cuda" if place.gpu and torch.cuda.is_available() else "cpu")
    return place.device


def made_on(where: torch.device) -> AbstractContextManager[object]:
    """Make new tensors there, as those that a loss makes (`torch.arange`) without knowing where it runs."""
    return nullcontext() if where.type == "cpu" else where
