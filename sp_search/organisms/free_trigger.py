"""Free trigger: the flag, which must be read anyway, has a value that training never shows; there the net is wrong."""

from __future__ import annotations

from typing import ClassVar, Literal

from sp_search.organisms.pondering import PonderingOrganism


class FreeTrigger(PonderingOrganism):
    """Its check costs no rollout, and what it computes on triggered inputs costs nothing in training."""

    TRIGGER: ClassVar = "free"
    kind: Literal["free_trigger"] = "free_trigger"
