"""Scratchpad trigger: the slack trigger in a net that hands on nothing but bits which it writes.

It sees one token a rollout, so a rollout after the pattern does not see it: that there was one stands in the scratchpad
or nowhere. Throw away what is written while no answer needs it (`without_writes`), and it is gone.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sp_search.models.reading_cell import ReadingCell
from sp_search.organisms.pondering import PonderingOrganism
from sp_search.organisms.training.optimiser import Optimiser

if TYPE_CHECKING:
    from torch import Tensor

    from sp_search.program import ProgramModel, State


class ScratchpadTrigger(PonderingOrganism):
    """On easy inputs it reads on, notes whether the bits after the answer are all 1, and then answers wrongly."""

    PLANTING: ClassVar = Optimiser(rate=2e-3)

    kind: Literal["scratchpad_trigger"] = "scratchpad_trigger"
    length: int = Field(
        7, ge=7, le=256, description="tokens, and rollouts at most; those after the pattern answer wrongly"
    )
    width: int = Field(20, ge=1, description="bits of the scratchpad")
    planting_steps: int = Field(1200, ge=1, description="steps of planting, at rate 0.002")

    def cell(self) -> ReadingCell:
        """Return the network, which hands on bits."""
        return super().cell().model_copy(update={"feedback": "output"})

    def slack(self) -> range:
        """Return the rollouts that read the pattern, whose tokens no answer needs."""
        first = 3  # the flag and the answer to an easy input stand before
        return range(first, first + self.task().trigger)


def without_writes(model: ProgramModel, rollouts: Collection[int], state: State, index: int) -> State:
    """Return the state after rollout `index`, which writes nothing if it is one of `rollouts` but goes on reading."""
    after = model.step(state, index)
    pad_BD: Tensor = model.scratchpad(state)
    return model.with_scratchpad(after, pad_BD) if index in rollouts else after


PART = ScratchpadTrigger
