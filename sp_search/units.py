"""How a network of width w lies inside one of width W: which parts of every parameter grow with the width.

One description, used four times: growing without changing the function (Net2Net, 1511.05641), shrinking to the units
that matter, cutting closed gates away, and gating units while they train. It is plain arithmetic, without torch.
"""

from __future__ import annotations

from typing import NamedTuple

JUST_OPEN = 1e-7
"""The bias of a relu block that is to add nothing yet: at 0 exactly it would be closed, and would never learn."""

Segment = int | str
"""A run of rows or columns: a number of them that no width changes, or the name of a group of `width` units.

Segments with one name are the same units wherever they stand: the state that a residual block adds to is one group.
"""


class Wiring(NamedTuple):
    """One parameter: (writes,) a bias, or (writes, reads) a matrix from the units that it reads to those it writes.

    `begins` says how it starts when its exit is added to a network that has fewer: filled with a number, as a copy of
    the parameter with that name, or drawn afresh (None). An exit that begins so answers as the one before it did.
    """

    writes: tuple[Segment, ...]
    reads: tuple[Segment, ...] | None = None
    begins: float | str | None = None

    @property
    def sides(self) -> tuple[tuple[Segment, ...], ...]:
        """The segments of every dimension."""
        return (self.writes,) if self.reads is None else (self.writes, self.reads)


UnitLayout = dict[str, Wiring]
"""Every parameter of a network by name."""


def affine(name: str, writes: Segment, *reads: Segment, begins: tuple[float | str | None, ...] = ()) -> UnitLayout:
    """Return the wiring of an affine map `name`.weight, `name`.bias; `begins` is the weight's and the bias's."""
    weight, bias = begins or (None, None)
    return {f"{name}.weight": Wiring((writes,), reads, weight), f"{name}.bias": Wiring((writes,), None, bias)}


def as_before(name: str, index: int) -> tuple[str, str] | tuple[()]:
    """Return how part `name`.`index` of an exit begins: as a copy of that of the exit before, if there is one."""
    return (f"{name}.{index - 1}.weight", f"{name}.{index - 1}.bias") if index else ()


def groups(layout: UnitLayout) -> list[str]:
    """Return the names of the groups of units, each once, in order."""
    segments = (segment for wiring in layout.values() for side in wiring.sides for segment in side)
    return list(dict.fromkeys(segment for segment in segments if isinstance(segment, str)))


def network_width(layout: UnitLayout, shapes: dict[str, tuple[int, ...]]) -> int:
    """Return the width of a network; parameters that it has not are those of exits that it has not."""
    found = {width_of(wiring, shapes[name]) for name, wiring in layout.items() if name in shapes}
    (width,) = found - {None}
    assert width is not None
    return width


def width_of(wiring: Wiring, shape: tuple[int, ...]) -> int | None:
    """Return the width of a network in which a parameter has that shape; None where no dimension depends on it.

    Raises:
        ValueError: no width gives this shape.
    """
    found = set()
    for size, side in zip(shape, wiring.sides, strict=True):
        named, fixed = sum(isinstance(one, str) for one in side), sum(one for one in side if isinstance(one, int))
        if named:
            found.add((size - fixed) / named)
        elif size != fixed:
            found.add(-1.0)
    if len(found) > 1 or any(width < 1 or width != int(width) for width in found):
        raise ValueError(f"shape {list(shape)} is no width of {wiring.sides}")
    return int(found.pop()) if found else None
