"""What a model part is: settings that build a `ProgramModel`, and how a budget is realised along its axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sp_search.plugins import Plugin

if TYPE_CHECKING:
    from torch import Generator

    from sp_search.pricing import Prices
    from sp_search.program import ProgramModel
    from sp_search.tasks.base import Shape


class ModelSpec(Plugin):
    """Base of every model part."""

    def axes(self) -> tuple[str, ...]:
        """Return the axes along which a max budget can be realised (`rollouts`, `width`, `depth`)."""
        raise NotImplementedError

    def realise(self, axis: str, cap: float) -> int | None:
        """Return the value of `axis` that spends `cap` (in units of the axis), or None when it cannot fit."""
        raise NotImplementedError

    def build(self, shape: Shape, exits: int, *, halting: bool, generator: Generator) -> ProgramModel:
        """Return a freshly initialised network with N = `exits`; every random number comes from `generator`."""
        raise NotImplementedError

    def prices(self, shape: Shape, exits: int, *, halting: bool) -> Prices:
        """Return the analytic FLOPs per example at exits 1..`exits`: plain arithmetic, no torch."""
        raise NotImplementedError

    def parameters(self, shape: Shape, exits: int, *, halting: bool) -> int:
        """Return the number of parameters, without building anything."""
        raise NotImplementedError

    def train_defaults(self) -> dict[str, float | int]:
        """Return the recipe's own settings (steps, batch, learning_rate, ...) that a study may override."""
        return {}


PART = ModelSpec
