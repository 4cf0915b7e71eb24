"""Proposal 3 of the post: a penalty on late exits, strict at first and then looser until performance is satisfactory.

The strength is a control, not a budget: what a program computes under it is measured afterwards.
"""

from __future__ import annotations

from math import log
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from sp_search.schedulers.base import MOST_LEVELS
from sp_search.schedulers.growing import Growing


class PenaltyAnnealing(Growing):
    """Divide the strength of prior `exit_penalty` by `ratio` until a program passes, weights carried along."""

    kind: Literal["penalty_annealing"] = "penalty_annealing"
    budget: Literal["mean"] = Field("mean", description="a penalty moves the mean of executed compute")
    strictest: float = Field(1.0, gt=0, description="strength of the penalty at first")
    loosest: float = Field(0.001, gt=0, description="strength of the penalty at last")
    ratio: float = Field(2.0, gt=1, description="ratio of neighbouring strengths")

    @field_validator("loosest")
    @classmethod
    def _below_the_strictest(cls, loosest: float, info: ValidationInfo) -> float:
        strictest = info.data.get("strictest")
        if strictest is not None and loosest > strictest:
            raise ValueError(
                f"got {loosest:g}, above strictest ({strictest:g}): the penalty is loosened, never tightened"
            )
        return loosest

    @field_validator("ratio")
    @classmethod
    def _of_a_ladder_that_ends(cls, ratio: float, info: ValidationInfo) -> float:
        strictest, loosest = info.data.get("strictest"), info.data.get("loosest")
        if strictest and loosest and log(strictest / loosest) / log(ratio) > MOST_LEVELS:
            raise ValueError(f"got {ratio}: from {strictest:g} to {loosest:g} are more than {MOST_LEVELS:,} levels")
        return ratio

    def controls(self) -> list[dict[str, float]]:
        """Return the strength at every level, strict first."""
        strengths = [self.strictest]
        while strengths[-1] > self.loosest:
            strengths.append(max(self.loosest, strengths[-1] / self.ratio))
        return [{"strength": strength} for strength in strengths]
