"""Part `nested`: sub-networks of growing width and depth, each a part of the next (after 1812.08928, 2310.07707)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from sp_search.models.base import ModelSpec, linear_flops
from sp_search.pricing import Prices

if TYPE_CHECKING:
    from torch import Generator

    from sp_search.program import ProgramModel
    from sp_search.tasks.base import Shape


class Nested(ModelSpec):
    """A perceptron on the whole input whose exits are sub-networks of `widths` x `depth`; a wider one adds units alone.

    The path says which sub-networks have an exit, in this order: by `cost`, all of them, from the cheapest to the
    dearest; by `width`, those of full depth; by `depth`, those of full width. A budget along `depth` counts exits.
    """

    kind: Literal["nested"] = "nested"
    widths: list[int] = Field(
        [8, 16, 32], min_length=1, description="units of a layer, from the narrowest to the widest"
    )
    depth: int = Field(3, ge=1, description="layers; all but the first are residual")
    path: Literal["cost", "width", "depth"] = Field("cost", description="which sub-networks have an exit, in order")

    @field_validator("widths")
    @classmethod
    def _ascend(cls, widths: list[int]) -> list[int]:
        if widths[0] < 1 or any(low >= high for low, high in pairwise(widths)):
            raise ValueError(f"widths must ascend from 1 or more, got {widths}")
        return widths

    def axes(self) -> tuple[str, ...]:
        """Return `depth`, counted in exits along the path."""
        return ("depth",)

    def _most_exits(self) -> int:
        groups = len(self.widths)
        return {"cost": groups * self.depth, "width": groups, "depth": self.depth}[self.path]

    def realise(self, axis: str, cap: float) -> int | None:
        """Return the number of exits within `cap`, or None when the path has no exit that far (or none at all)."""
        self._check_axis(axis)
        exits = int(cap)
        return exits if 1 <= exits <= self._most_exits() else None

    def _cell_flops(self, features: int, group: int, layer: int) -> float:
        """Return the price of group `group` (from 1) in layer `layer` (from 1) alone."""
        new = self.widths[group - 1] - (self.widths[group - 2] if group > 1 else 0)
        if layer == 1:
            return linear_flops(features, new) + new
        return linear_flops(self.widths[group - 1], new) + 2 * new

    def cells(self, features: int, exits: int) -> list[list[list[int]]]:
        """Return for exits 1..`exits` the cells [group, layer] that each adds, in order; its own corner comes last.

        What stands before a corner along `cost` is cheaper, so all that the corner contains has been computed.
        """

        def inside(group: int, layer: int) -> list[tuple[int, int]]:
            return [(g, level) for level in range(1, layer + 1) for g in range(1, group + 1)]

        def cost(corner: tuple[int, int]) -> tuple[float, int]:
            return sum(self._cell_flops(features, *cell) for cell in inside(*corner)), corner[0]

        widest = len(self.widths)
        corners = {
            "cost": sorted(inside(widest, self.depth), key=cost),
            "width": [(group, self.depth) for group in range(1, widest + 1)],
            "depth": [(widest, layer) for layer in range(1, self.depth + 1)],
        }[self.path]
        computed: set[tuple[int, int]] = set()
        added = []
        for corner in corners[:exits]:
            fresh = [cell for cell in inside(*corner) if cell not in computed]
            computed |= set(fresh)
            added.append([list(cell) for cell in fresh])
        return added

    def build(self, shape: Shape, exits: int, *, halting: bool, generator: Generator) -> ProgramModel:
        """Return the network up to exit `exits`; what later exits add is not built."""
        from sp_search.models.networks.nested import NestedNetwork

        if exits > self._most_exits():
            raise ValueError(f"nested has {self._most_exits()} exits along its path {self.path}, got exits={exits}")
        features = shape.positions * shape.channels
        arguments: dict[str, Any] = {"features": features, "answers": shape.answers, "classes": shape.classes}
        arguments |= {"widths": self.widths, "cells": self.cells(features, exits), "exits": exits, "halting": halting}
        network = NestedNetwork(**arguments, generator=generator)
        return self.finish(network, arguments, shape, exits, halting=halting)

    def prices(self, shape: Shape, exits: int, *, halting: bool) -> Prices:
        """Return the analytic FLOPs per example; a step is what its exit adds."""
        features = shape.positions * shape.channels
        cells = self.cells(features, exits)
        steps = [sum(self._cell_flops(features, *cell) for cell in added) for added in cells]
        ends = [self.widths[added[-1][0] - 1] for added in cells]
        return Prices(
            start=0.0,
            step_N=tuple(steps),
            halt_N=tuple(linear_flops(width, 1) if halting else 0.0 for width in ends),
            answer_N=tuple(linear_flops(width, shape.answers * shape.classes) for width in ends),
            answers=shape.answers,
            classes=shape.classes,
        )

    def parameters(self, shape: Shape, exits: int, *, halting: bool) -> int:
        """Return the number of parameters up to exit `exits`."""
        features = shape.positions * shape.channels
        units, total = [0, *self.widths], 0
        for added in self.cells(features, exits):
            for group, layer in added:
                fan_in = features if layer == 1 else units[group]
                total += (fan_in + 1) * (units[group] - units[group - 1])
            total += (units[added[-1][0]] + 1) * (shape.answers * shape.classes + halting)
        return total

    def train_defaults(self) -> dict[str, float | int]:
        """Return the recipe measured on digits."""
        return {"steps": 1500, "batch": 64, "learning_rate": 3e-3, "decay_from": 0.5, "decay_to": 0.05}
