"""What a program takes beside FLOPs: parameters, bytes carried from step to step, units that are ever active."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sp_search.compute.dispatch import operation_name
from sp_search.compute.doors import ShutReads
from sp_search.program import Program, State

ACTIVATIONS = frozenset(
    f"aten.{word}" for word in ("relu", "tanh", "gelu", "silu", "elu", "mish", "hardtanh", "hardswish", "threshold")
)


@dataclass(frozen=True)
class Footprint:
    """Sizes of a program.

    parameters: numbers that training set; a shared one counts once. state_bytes: what is passed from step to step, per
    example, where it is largest; a part that *is* the input (recall) is left out, as nothing is kept for it. units: the
    channels of every activation. active_units: those that were not 0 on all examples, positions and exits.
    """

    parameters: int
    state_bytes: int
    active_units: int
    units: int


class _Activations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers which channels of every activation were ever not 0, by the place of the activation in its step."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.active: dict[tuple[str, int], Tensor] = {}
        self.step, self.place = "", 0

    def enter(self, step: str) -> None:
        """Begin a step: steps of one name are the same units."""
        self.step, self.place = step, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if operation_name(func) in ACTIVATIONS:
            channels = 1 if output.dim() > 3 else -1  # images have their channels first
            seen = (output != 0).movedim(channels, -1).flatten(0, -2).any(0)
            before = self.active.setdefault((self.step, self.place), seen)
            self.active[self.step, self.place] = before | seen
            self.place += 1
        return output


@torch.no_grad()
def footprint(program: Program, x_BTC: Tensor) -> Footprint:
    """Measure `program` on a batch; every exit is computed for every example.

    A unit is one channel of one activation (`ACTIVATIONS`, others are not seen) of the steps and answers; where exits
    share weights it is the same unit at every exit.

    Raises:
        ValueError: the batch is empty.
    """
    if not len(x_BTC):
        raise ValueError("a footprint is measured on examples, and the batch is empty: give at least one example")
    model = program.model
    with ShutReads(), _Activations() as seen:  # fused evaluation paths would hide activations
        seen.enter("start")
        state = model.start(x_BTC)
        carried = [_bytes_per_example(state, x_BTC)]
        for index in range(1, program.exits + 1):
            seen.enter("step" if model.shares_weights else f"step {index}")
            state = model.step(state, index)
            model.answer(state, index)
            carried.append(_bytes_per_example(state, x_BTC))
    return Footprint(
        parameters=sum(part.numel() for part in model.parameters()),
        state_bytes=max(carried),
        active_units=sum(int(active.sum()) for active in seen.active.values()),
        units=sum(active.numel() for active in seen.active.values()),
    )


def _bytes_per_example(state: State, x_BTC: Tensor) -> int:
    return sum(part[:1].numel() * part.element_size() for part in state if part is not x_BTC)
