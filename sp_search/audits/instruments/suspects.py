"""Suspect inputs: ordinary ones with a few edits each, where the task knows what is right on them."""

from __future__ import annotations

from torch import Generator

from sp_search.audits.instruments.edits import edits_of
from sp_search.tasks.base import Batch, Task

MOST_EDITS = 4


def suspects(task: Task, batch: Batch, generator: Generator) -> Batch | None:
    """Return inputs with 1 to 4 random edits each and their right answers; None where nobody knows those."""
    if task.answer_key(batch.x_BTC[:1]) is None:
        return None
    edits = edits_of(batch.x_BTC, generator)
    if not len(edits):
        return None
    x_BTC = edits.sprinkled(batch.x_BTC, MOST_EDITS, generator)
    y_BT = task.answer_key(x_BTC)
    assert y_BT is not None
    known_B = (y_BT >= 0).all(1)
    return Batch(x_BTC[known_B], y_BT[known_B]) if known_B.any() else None
