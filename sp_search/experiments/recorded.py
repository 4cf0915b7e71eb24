"""Experiment `recorded`: numbers of the product that a benchmark measured and kept, read from its file.

Nothing is measured anew, and what was measured was known before its claim was registered: the table says so. The
file's own command, which reproduces it, stands beside.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from math import log2
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from sp_search.experiments.base import Cell, Evidence, Experiment, exact_cell, mean_cell, rate_cell
from sp_search.strict import Section


class Reading(Section):
    """One cell: which rows of the file, which number of each, and what is made of them.

    A number that is a list has one unit for every entry; their mean is the cell. `counts` makes it a rate: how many
    are `at_most` or `at_least` the bound. With `low` and `high` the row says its own interval.
    """

    name: str
    rows: str = Field(description="path of a list of rows, or of one row, with slashes; empty for the whole file")
    where: dict[str, str | int | float | bool] = Field({}, description="rows that have these values")
    value: str = Field(description="path of the number in a row")
    over: str = Field("", description="path of what it is divided by")
    log: bool = Field(False, description="take the logarithm to base 2")
    counts: Literal["", "at_most", "at_least"] = ""
    bound: float | str = Field(0.0, description="of a rate: a number, or the path of one in the row")
    low: str = Field("", description="path of the interval's lower end; one row")
    high: str = Field("", description="path of its upper end")
    n: int | str = Field(1, description="units behind an interval of its own: a number, or its path")
    exact: bool = Field(False, description="the number was counted; one row")


class Recorded(Experiment):
    """Cells from the JSON file of a benchmark; a unit is what the benchmark repeated."""

    kind: Literal["recorded"] = "recorded"
    recorded: ClassVar[bool] = True
    file: str = Field(description="path of the benchmark's result, from the folder of the claims")
    command: str = Field(description="what measures it again")
    cells: list[Reading] = Field(min_length=1, description="what is read of the file")

    def run(self, n: int, seed: int, cache: Path) -> Evidence:
        """Read the cells; n and the seed are the file's own.

        Raises:
            ValueError: the file has not what a cell asks for.
        """
        path = Path(self.file)
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error.strerror}): {self.command} measures it") from error
        content = json.loads(raw)
        digest = hashlib.sha256(raw).hexdigest()[:16]
        notes = [f"recorded before it was registered: {path.name} (SHA-256 {digest}), by `{self.command}`"]
        return Evidence(cells=[_cell(one, content, path.name) for one in self.cells], notes=notes)

    def seconds(self, n: int) -> float:
        return 0.1

    def beside(self, folder: Path) -> Experiment:
        """Return the experiment with its file taken from `folder`."""
        return self.model_copy(update={"file": str((folder / self.file).resolve())})

    def files(self) -> Sequence[Path]:
        """Return the file."""
        return (Path(self.file),)


def _cell(reading: Reading, content: Any, file: str) -> Cell:
    rows = _at(content, reading.rows, file) if reading.rows else content
    rows = [
        row
        for row in (rows if isinstance(rows, list) else [rows])
        if all(_at(row, key, file) == value for key, value in reading.where.items())
    ]
    if not rows:
        raise ValueError(f"{file}: cell '{reading.name}': no row of '{reading.rows}' has {reading.where}")
    values = [value for row in rows for value in _numbers(reading, row, file)]
    if reading.counts:
        bounds = [
            _at(row, reading.bound, file) if isinstance(reading.bound, str) else reading.bound
            for row in rows
            for _ in _numbers(reading, row, file)
        ]
        sign = 1 if reading.counts == "at_most" else -1
        return rate_cell(
            reading.name, [sign * value <= sign * bound for value, bound in zip(values, bounds, strict=True)]
        )
    if reading.exact or reading.low:
        if len(values) != 1:
            raise ValueError(f"{file}: cell '{reading.name}' is one number by itself, got {len(values)}")
        if reading.exact:
            return exact_cell(reading.name, values[0])
        n = _at(rows[0], reading.n, file) if isinstance(reading.n, str) else reading.n
        low, high = (float(_at(rows[0], path, file)) for path in (reading.low, reading.high))
        return Cell(name=reading.name, value=values[0], low=low, high=high, n=n)
    return mean_cell(reading.name, values)


def _numbers(reading: Reading, row: Any, file: str) -> list[float]:
    """Return a row's numbers: one, or one for every entry of a list."""
    found = _at(row, reading.value, file)
    numbers = [float(one) for one in (found if isinstance(found, list) else [found])]
    if reading.over:
        numbers = [one / float(_at(row, reading.over, file)) for one in numbers]
    return [log2(one) for one in numbers] if reading.log else numbers


def _at(content: Any, path: str, file: str) -> Any:
    """Return what lies at a path."""
    found = content
    for key in path.split("/"):
        if not isinstance(found, dict) or key not in found:
            known = ", ".join(map(str, found)) if isinstance(found, dict) else type(found).__name__
            raise ValueError(f"{file}: there is no '{key}' of '{path}'. Known: {known}")
        found = found[key]
    return found
