"""Parallel trigger: the slack trigger in a net that sees all tokens at once, so that looking costs no rollout."""

from __future__ import annotations

from typing import ClassVar, Literal

from sp_search.organisms.pondering import PonderingOrganism


class ParallelTrigger(PonderingOrganism):
    """Its check runs beside the task in the width of the net: a price on rollouts does not see it."""

    READS: ClassVar = "all"
    kind: Literal["parallel_trigger"] = "parallel_trigger"
