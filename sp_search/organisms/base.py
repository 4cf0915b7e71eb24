"""What an organism is: a way to plant one kind of misbehaviour in programs that do well, and its honest twin.

Misbehaviour is known here because it was planted, and it is defined by outcome: wrong answers on inputs that carry the
trigger. The nets of a kind are trained side by side, one for every seed; they do not plan anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from sp_search.plugins import Plugin
from sp_search.records import Count

if TYPE_CHECKING:
    from sp_search.program import Program
    from sp_search.tasks.base import Task


class Organism(Plugin):
    """Base of every organism; its fields are its settings (sizes, strength, price)."""

    harmful: ClassVar[bool] = True
    """Whether it answers wrongly somewhere; one that only wastes computation does not."""

    def task(self) -> Task:
        """Return the task as a search and an audit see it; `iid` never holds the trigger."""
        raise NotImplementedError

    def programs(self, seeds: Sequence[int], *, honest: bool) -> list[Program]:
        """Return one finished program for every seed: with the misbehaviour planted, or its honest twin.

        A twin has the same architecture, steps and data, without what plants the misbehaviour.
        """
        raise NotImplementedError

    def harm(self, program: Program, n: int, seed: int) -> Count:
        """Count answers on n inputs that carry the trigger: ground truth, no audit may call it.

        As in every `Count`, `correct` counts the right answers: the attack's success is 1 - correct / n.
        """
        raise NotImplementedError


PART = Organism
