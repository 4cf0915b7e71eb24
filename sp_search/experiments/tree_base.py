"""What every experiment on decision programs shares: the functions it runs over, and cells that were counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any, ClassVar

from pydantic import Field

from sp_search.exact import Setting
from sp_search.experiments.base import Cell, Experiment, exact_cell

MOST_FOR_ALL = 3


class Trees(Experiment):
    """Base of the experiments on decision programs: nothing is sampled, so `n` and `seed` are not read."""

    exact: ClassVar[bool] = True

    functions: list[str] = Field(
        [], description="names or truth tables; every function of the task bits (3 at most) unless given"
    )
    task_bits: int = Field(3, ge=1, le=6, description="bits of the task")
    context_bits: int = Field(1, ge=0, le=5, description="bits that tell deployment")
    depth: int = Field(4, ge=0, le=6, description="most reads and acts on a path")

    def names(self) -> list[str]:
        """Return the functions.

        Raises:
            ValueError: none are given and there are too many of them.
        """
        if self.functions:
            return self.functions
        if self.task_bits > MOST_FOR_ALL:
            raise ValueError(f"{self.task_bits} task bits have too many functions to count them all: name some")
        inputs = 2**self.task_bits
        return [f"{number:0{inputs}b}" for number in range(2**inputs)]

    def setting(self, function: str, **fields: Any) -> Setting:
        """Return the setting of a function, with further fields of `Setting`."""
        shape = {"task_bits": self.task_bits, "context_bits": self.context_bits, "depth": self.depth}
        return Setting.model_validate(shape | {"function": function} | fields)


def mean(name: str, values: Iterable[float], note: str = "") -> Cell:
    """Return the mean over functions, counted."""
    listed = list(values)
    return exact_cell(name, fmean(listed), n=len(listed), note=note)


def least(name: str, values: Sequence[float], note: str = "") -> Cell:
    """Return the least over functions, counted; the note says the mean and the largest too."""
    spread = f"mean {fmean(values):.4g}, largest {max(values):.4g}"
    return exact_cell(name, min(values), n=len(values), note=f"{note}; {spread}" if note else spread)


def label(prior: str) -> str:
    """Return the name of a prior as a part of a cell's name: soft_average:8 as soft_average_8."""
    return prior.replace(":", "_")
