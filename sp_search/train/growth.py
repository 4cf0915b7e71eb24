"""What a lineage takes along to a level of another width or depth: weights and Adam moments, up and down.

Growing keeps the function (Net2Net, 1511.05641). `zero`: new units read at random and nothing that was there reads them
yet. `split`: new units copy old ones, and all copies share what was read of the original. New exits begin as their
wiring says. Shrinking keeps the units of the largest saliency in every group, or the first ones (nested slices).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Generator, Tensor

from sp_search.train.population import Layout, Population
from sp_search.units import Segment, UnitLayout, Wiring, groups, network_width

if TYPE_CHECKING:
    from sp_search.records import RunnerState
    from sp_search.train.settings import TrainSettings

Weights = dict[str, Tensor]
"""The parameters of one network by name."""

Units = dict[str, Tensor]
"""For every group, which old unit each new one is (W numbers); -1: none."""


class Origin(NamedTuple):
    """Where each number of a parameter comes from, in the parameter's shape.

    source: position in the old parameter, flattened, or -1. scale: of what comes from there. drawn: what comes from
    nowhere keeps its freshly drawn value; else it is 0.
    """

    source: Tensor
    scale: Tensor
    drawn: Tensor

    def take(self, old: Tensor, otherwise: Tensor) -> Tensor:
        """Return the old numbers in their new places, unscaled, and `otherwise` in the rest."""
        return torch.where(self.source >= 0, old.flatten()[self.source.clamp(min=0)], otherwise)


def inherit(
    layout: Layout,
    fresh: Population,
    lineages: list[int],
    sources: list[int],
    inherited: RunnerState,
    units: UnitLayout | None,
    settings: TrainSettings,
    generator_of: Callable[[int], Generator],
) -> Population:
    """Return `fresh` with what its lineages had before.

    Args:
        layout: of the new network.
        fresh: its freshly drawn weights.
        lineages: of the rows.
        sources: for each of them, the lineage whose weights it takes; one that `inherited` does not know stays fresh.
        inherited: where the lineages ended.
        units: how a width lies inside another; None: parameters are taken along where their shape is the same.
        settings: how it grows and shrinks.
        generator_of: a lineage's own generator, for what is drawn while growing.
    """
    before = inherited.meta["lineages"]
    names, shapes = zip(*inherited.meta["parameters"], strict=True)
    layout_before = Layout(names, tuple(tuple(shape) for shape in shapes))
    resized = (layout_before.names, layout_before.shapes) != (layout.names, layout.shapes)
    arrays = {key: array.clone() for key, array in fresh.arrays().items()}
    old = {key: layout_before.split(inherited.arrays[key]) for key in arrays}
    new = {key: layout.split(array) for key, array in arrays.items()}
    for row, (lineage, source) in enumerate(zip(lineages, sources, strict=True)):
        if source not in before:
            continue
        had = {key: {name: part[before.index(source)] for name, part in parts.items()} for key, parts in old.items()}
        drawn = {name: part[row] for name, part in new["weights_RP"].items()}
        generator = generator_of(lineage)
        origins = origins_of(units or {}, had["weights_RP"], drawn, settings, generator)
        for name, weight in resize(units or {}, had["weights_RP"], drawn, origins).items():
            new["weights_RP"][name][row] = weight
        if resized and settings.growth_noise:
            _disturb({name: part[row] for name, part in new["weights_RP"].items()}, settings.growth_noise, generator)
        if resized and settings.growth_optimiser == "reset":
            continue
        for key in arrays.keys() - {"weights_RP"}:
            for name, origin in origins.items():
                new[key][name][row] = origin.take(had[key][name], new[key][name][row])
    return Population(**arrays)


def origins_of(
    layout: UnitLayout, old: Weights, fresh: Weights, settings: TrainSettings, generator: Generator
) -> dict[str, Origin]:
    """Return where the numbers of every parameter that the old network also had come from."""
    units = _units(layout, old, fresh, settings, generator)
    before = _width(layout, old) if layout else 0
    origins = {}
    for name in fresh.keys() & old.keys():
        if name in layout:
            origins[name] = _origin(layout[name], units, before)
        elif old[name].shape == fresh[name].shape:
            every = torch.arange(old[name].numel()).reshape(old[name].shape)
            origins[name] = Origin(every, torch.ones(every.shape), torch.zeros(every.shape, dtype=torch.bool))
    return origins


def resize(layout: UnitLayout, old: Weights, fresh: Weights, origins: dict[str, Origin]) -> Weights:
    """Return the weights of the new network; a parameter without an origin begins as its wiring says."""
    weights: Weights = {}
    for name, drawn in fresh.items():
        if name in origins:
            origin = origins[name]
            weights[name] = origin.scale * origin.take(old[name], torch.where(origin.drawn, drawn, 0.0))
        else:
            begins = layout[name].begins if name in layout else None
            copied = weights[begins] if isinstance(begins, str) else drawn.clone()
            weights[name] = torch.full_like(drawn, begins) if isinstance(begins, float) else copied
    return weights


def prune(layout: UnitLayout, weights: Weights, kept: list[int]) -> Weights:
    """Return the weights of the network that has only the units `kept`, of every group alike."""
    units, before = dict.fromkeys(groups(layout), torch.tensor(kept)), _width(layout, weights)
    taken = {name: _origin(wiring, units, before) for name, wiring in layout.items()}
    return {name: weights[name].flatten()[origin.source] for name, origin in taken.items()}


def saliency(layout: UnitLayout, weights: Weights) -> Units:
    """Return for every group how much each unit matters: norm of what it reads times norm of what reads it.

    The first stands for its activation, which weights alone do not tell.
    """
    width = _width(layout, weights)
    squares = {group: torch.zeros(2, width) for group in groups(layout)}
    for name, wiring in ((name, wiring) for name, wiring in layout.items() if name in weights):
        for dimension, side in enumerate(wiring.sides):
            square = weights[name].square().movedim(dimension, 0).reshape(weights[name].shape[dimension], -1).sum(1)
            for segment, part in zip(side, torch.split(square, [_size(one, width) for one in side]), strict=True):
                if isinstance(segment, str):
                    squares[segment][dimension] += part
    return {group: (read * used).sqrt() for group, (read, used) in squares.items()}


def _units(layout: UnitLayout, old: Weights, fresh: Weights, settings: TrainSettings, generator: Generator) -> Units:
    """Choose the old unit of every new one, by group."""
    if not layout:
        return {}
    before, now, names = _width(layout, old), _width(layout, fresh), groups(layout)
    if now < before and settings.shrink == "saliency":
        return {group: score.topk(now).indices.sort().values for group, score in saliency(layout, old).items()}
    first, added = torch.arange(min(before, now)), max(now - before, 0)
    if settings.growth == "zero":
        return dict.fromkeys(names, torch.cat([first, torch.full((added,), -1)]))
    return {group: torch.cat([first, torch.randint(before, (added,), generator=generator)]) for group in names}


def _origin(wiring: Wiring, units: Units, before: int) -> Origin:
    """Return where the numbers of a parameter come from; copies of a unit share what is read of it."""
    row, _ = _places(wiring.writes, units, before)
    if wiring.reads is None:
        return Origin(row, torch.ones(row.shape), row < 0)
    column, share = _places(wiring.reads, units, before)
    reads = sum(_size(segment, before) for segment in wiring.reads)
    source = torch.where((row[:, None] >= 0) & (column >= 0), row[:, None] * reads + column, -1)
    # A new unit reads all at random, and what was there does not read new units yet.
    drawn = (row[:, None] < 0).expand(source.shape)
    return Origin(source, torch.where(drawn, 1.0, share), drawn)


def _places(side: tuple[Segment, ...], units: Units, before: int) -> tuple[Tensor, Tensor]:
    """Return the old row or column of every new one (-1: none), and the share of it that is read."""
    places, shares, start = [], [], 0
    for segment in side:
        own = torch.arange(segment) if isinstance(segment, int) else units[segment]
        copies = torch.ones(len(own)) if isinstance(segment, int) else (own[:, None] == own).sum(1)
        places.append(torch.where(own >= 0, own + start, -1))
        shares.append(1.0 / copies)
        start += _size(segment, before)
    return torch.cat(places), torch.cat(shares)


def _size(segment: Segment, width: int) -> int:
    return segment if isinstance(segment, int) else width


def _width(layout: UnitLayout, weights: Weights) -> int:
    return network_width(layout, {name: tuple(weight.shape) for name, weight in weights.items()})


def _disturb(weights: Weights, noise: float, generator: Generator) -> None:
    """Add noise in place, in shares of every parameter's root mean square."""
    for weight in weights.values():
        weight += noise * weight.square().mean().sqrt() * torch.randn(weight.shape, generator=generator)
