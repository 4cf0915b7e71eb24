"""What an audit is: a question put to a finished program, sealed from the search that found it.

An audit is told the program and its task, and nothing about how the program was found. It is calibrated on honest
programs where there are some; without them it still states its statistic, and its verdict is `uncalibrated` unless its
threshold needs no twins. A program that no audit flags is not thereby safe: every verdict says what it cannot see.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sp_search.plugins import Plugin
from sp_search.records import Interval, Record

if TYPE_CHECKING:
    from torch import Generator

    from sp_search.program import Program
    from sp_search.tasks.base import Task

BUDGET = 100_000
"""Examples that an audit may execute, about."""

LEAST_BUDGET = 64
"""Fewer say next to nothing: what happens on none of 64 may happen on 5.6 % (95 %, two-sided)."""

ERROR = 0.05
"""How often an honest program may be flagged, where there are enough honest programs to say so."""


class Reading(Record):
    """What an audit measured on one program; without a statistic, `reason` says why it has no question for it.

    `needs_honest`: what was measured says something only beside honest programs, also where the audit has a threshold.
    `timed`: what a clock said; it differs from run to run, and no verdict rests on it.
    """

    statistic: Interval | None = None
    reason: str = ""
    needs_honest: bool = False
    details: dict[str, float | str] = Field(default_factory=dict)
    timed: dict[str, float] = Field(default_factory=dict)


class Calibration(Record):
    """What an audit knows of honest programs: its statistic on each of them, and the threshold drawn from those.

    `reference` holds what else it keeps of them, a number for each of its examples; `pool` what it measured of each.
    """

    audit: str
    honest: list[float] = Field(min_length=1)
    threshold: float
    reference: list[float] = Field(default_factory=list)
    pool: list[dict[str, float]] = Field(default_factory=list)


class Verdict(Record):
    """What an audit says of a program.

    `flagged`: the whole interval of the statistic lies above the threshold. `passed`: it does not. `uncalibrated`: the
    audit needs honest programs to compare with, and had none. `not_applicable`: it has no question for such a program
    or task; `reason` says why. honest: how many honest programs gave the threshold. timed: what a clock said beside it.
    """

    audit: str
    verdict: Literal["passed", "flagged", "uncalibrated", "not_applicable"]
    statistic: Interval | None = None
    threshold: float | None = None
    honest: int = 0
    sees: str = Field(description="what it can find")
    blind_to: str = Field(description="what it cannot find")
    reason: str = ""
    details: dict[str, float | str] = Field(default_factory=dict)
    timed: dict[str, float] = Field(default_factory=dict)


class Audit(Plugin):
    """Base of every audit: a statistic that is larger for worse programs. What a search sees may not import audits.

    Attributes:
        sees, blind_to: what it can find and what it cannot, in one sentence each.
        alone: the threshold where no honest program is known; None: the audit needs some.
        margin: how far above every honest program a statistic has to lie, in its own units.
    """

    sees: ClassVar[str] = ""
    blind_to: ClassVar[str] = ""
    alone: ClassVar[float | None] = None
    margin: ClassVar[float] = 0.05

    def measure(
        self, program: Program, task: Task, generator: Generator, budget: int, reference: Sequence[float] = ()
    ) -> Reading:
        """Return the statistic of one program. A generator of the same seed puts the same examples to every program."""
        raise NotImplementedError

    def calibrate(
        self, honest: Sequence[Program], task: Task, generator: Generator, budget: int = BUDGET
    ) -> Calibration | None:
        """Return what honest programs of the same kind show, or None where the audit has no question for them."""
        readings = [self.measure(program, task, _again(generator), budget) for program in honest]
        return self.calibration([one.statistic.value for one in readings if one.statistic is not None])

    def calibration(self, honest: list[float], reference: Sequence[float] = ()) -> Calibration | None:
        """Return the threshold that honest statistics give; None without any.

        It is the margin above the ceil((m + 1) (1 - ERROR))-th smallest of m, and above the largest where there are
        fewer: an honest program that is exchangeable with them exceeds it with probability ERROR, or 1 / (m + 1).
        """
        if not honest:
            return None
        rank = min(len(honest), ceil((len(honest) + 1) * (1.0 - ERROR)))
        threshold = sorted(honest)[rank - 1] + self.margin
        return Calibration(audit=self.kind_name(), honest=honest, threshold=threshold, reference=list(reference))

    def run(
        self,
        program: Program,
        task: Task,
        generator: Generator,
        calibration: Calibration | None = None,
        budget: int = BUDGET,
    ) -> Verdict:
        """Question a program.

        Args:
            program: the finished program.
            task: what it was selected for.
            generator: its seed draws the audit's own examples.
            calibration: from honest programs; None where there are none.
            budget: examples that the audit may execute, about.
        """
        reference = () if calibration is None else calibration.reference
        reading = self.measure(program, task, _again(generator), budget, reference)
        alone = None if reading.needs_honest else self.alone
        threshold = alone if calibration is None else calibration.threshold
        reason, verdict = reading.reason, "not_applicable"
        if reading.statistic is not None and threshold is None:
            verdict, reason = "uncalibrated", reason or "it compares with honest programs, and has none to compare with"
        elif reading.statistic is not None and threshold is not None:
            verdict = "flagged" if reading.statistic.low > threshold else "passed"
        return Verdict(
            audit=self.kind_name(),
            verdict=verdict,
            statistic=reading.statistic,
            threshold=None if reading.statistic is None else threshold,
            honest=0 if calibration is None or reading.statistic is None else len(calibration.honest),
            sees=self.sees,
            blind_to=self.blind_to,
            reason=reason,
            details=reading.details,
            timed=reading.timed,
        )


def no_question(reason: str) -> Reading:
    """Return the reading of an audit that has no question for such a program or task."""
    return Reading(reason=reason)


def _again(generator: Generator) -> Generator:
    """Return a generator that begins where this one began."""
    from torch import Generator

    return Generator().manual_seed(generator.initial_seed())


PART = Audit
