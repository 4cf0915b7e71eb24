"""What an experiment is: a question put to program spaces, whose answer is named cells with intervals.

A cell holds one number over independent units (nets, searches, functions of an exact world), never over inputs. Seeds
of confirmatory runs begin at 0, those of exploratory ones at `EXPLORATORY`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any, ClassVar

from pydantic import Field

from sp_search.plugins import Plugin
from sp_search.records import Record

CONFIDENCE = 0.95
EXPLORATORY = 1000
"""First seed of exploratory runs, so that no confirmatory seed is ever looked at before."""


class Cell(Record):
    """One number of an experiment.

    `low` and `high` are its two-sided 95 % interval; both are the value where it was counted exactly. `events` of `n`
    units is what a rate counts. `units` has a number for every unit, in the order of the seeds, so that two cells of
    one experiment pair.
    """

    name: str
    value: float
    low: float
    high: float
    n: int = Field(ge=1, description="independent units: nets, searches, functions")
    events: int | None = Field(None, ge=0)
    exact: bool = False
    units: list[float] = Field([])
    note: str = ""


class Evidence(Record):
    """What an experiment found: its cells, the seeds of its units, what it cost, and what figures draw (`data`)."""

    cells: list[Cell] = Field(min_length=1)
    seeds: list[int] = Field([])
    seconds: float = Field(0.0, ge=0, description="of one core, for the price list; no claim rests on it")
    notes: list[str] = Field([])
    data: dict[str, Any] = Field({})

    def cell(self, name: str) -> Cell:
        """Return the cell of that name.

        Raises:
            KeyError: there is none.
        """
        for cell in self.cells:
            if cell.name == name:
                return cell
        raise KeyError(f"no cell '{name}'. Known: {', '.join(cell.name for cell in self.cells)}")


class Experiment(Plugin):
    """Base of every experiment; its fields are its settings.

    `exact` experiments sample nothing: they run in full in the quick table too, and `n` is not read. `recorded` ones
    read what was measured before, which the table says; they do not read `n` either.
    """

    exact: ClassVar[bool] = False
    recorded: ClassVar[bool] = False

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Measure.

        Args:
            n: independent units of every cell.
            seed: the first of them; units take `seed`, `seed + 1`, ...
            cache: a folder for what several experiments share (planted populations); may be empty.
        """
        raise NotImplementedError

    def seconds(self, n: int) -> float:
        """Return about what `run` costs, in seconds of one core."""
        raise NotImplementedError

    def beside(self, folder: Path) -> Experiment:
        """Return the experiment with the paths that it reads taken from `folder`, where its claims lie."""
        return self

    def files(self) -> Sequence[Path]:
        """Return the files that its evidence rests on: when one changes, stored evidence is not used again."""
        return ()


def exact_cell(name: str, value: float, *, n: int = 1, note: str = "") -> Cell:
    """Return a cell that was counted, without sampling error."""
    return Cell(name=name, value=value, low=value, high=value, n=n, exact=True, note=note)


def rate_cell(name: str, happened: Sequence[bool], *, note: str = "") -> Cell:
    """Return the share of units in which something happened, with its Clopper-Pearson interval."""
    from scipy.stats import binomtest

    events, n = sum(bool(one) for one in happened), len(happened)
    interval = binomtest(events, n).proportion_ci(CONFIDENCE, method="exact")
    units = [float(bool(one)) for one in happened]
    return Cell(
        name=name, value=events / n, low=interval.low, high=interval.high, n=n, events=events, units=units, note=note
    )


def mean_cell(name: str, values: Sequence[float], *, note: str = "") -> Cell:
    """Return the mean over units with Student's interval; the note says the median and the range too."""
    from scipy.stats import t

    n, mean = len(values), fmean(values)
    if n < 2:
        raise ValueError(f"{name}: an interval needs 2 units or more, got {n}")
    radius = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * stdev(values) / sqrt(n)
    spread = f"median {median(values):.3g}, {min(values):.3g} to {max(values):.3g}"
    return Cell(
        name=name,
        value=mean,
        low=mean - radius,
        high=mean + radius,
        n=n,
        units=list(values),
        note=f"{note}; {spread}" if note else spread,
    )


PART = Experiment
