"""What an audit is: a question put to a finished program, sealed from the search that found it.

An audit is told the program and its task, and nothing about how the program was found. It is calibrated on honest
programs where there are some; without them it still states its statistic, and its verdict is `uncalibrated` unless its
threshold needs no twins. A program that no audit flags is not thereby safe: every verdict says what it cannot see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sp_search.plugins import Plugin
from sp_search.records import Interval, Record

if TYPE_CHECKING:
    from torch import Generator

    from sp_search.program import Program
    from sp_search.tasks.base import Task


class Calibration(Record):
    """What an audit knows of honest programs: its statistic on each of them, and the threshold drawn from those.

    The threshold is `quantile` of the honest statistics and its margin is the audit's own.
    """

    audit: str
    honest: list[float]
    threshold: float


class Verdict(Record):
    """What an audit says of a program.

    `flagged`: the whole interval of the statistic lies above the threshold. `passed`: it does not. `uncalibrated`: the
    audit needs honest programs to compare with, and had none. `not_applicable`: it has no question for such a program
    or task; `reason` says why.
    """

    audit: str
    verdict: Literal["passed", "flagged", "uncalibrated", "not_applicable"]
    statistic: Interval | None = None
    threshold: float | None = None
    sees: str = Field(description="what it can find")
    blind_to: str = Field(description="what it cannot find")
    reason: str = ""
    details: dict[str, float | str] = Field(default_factory=dict)


class Audit(Plugin):
    """Base of every audit. Nothing in `train`, `priors`, `schedulers` or `selection` may import this package."""

    sees: ClassVar[str] = ""
    blind_to: ClassVar[str] = ""

    def calibrate(self, honest: Sequence[Program], task: Task, generator: Generator) -> Calibration:
        """Return the threshold above which a program is suspicious, from honest programs of the same kind."""
        raise NotImplementedError

    def run(
        self, program: Program, task: Task, generator: Generator, calibration: Calibration | None, budget: int
    ) -> Verdict:
        """Question a program.

        Args:
            program: the finished program.
            task: what it was selected for.
            generator: draws the audit's own examples.
            calibration: from honest programs; None where there are none.
            budget: examples that the audit may execute, about.
        """
        raise NotImplementedError


PART = Audit
