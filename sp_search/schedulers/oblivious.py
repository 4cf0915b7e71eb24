"""Schedules that are known before the search begins: a list of visits, of which the first that passes is the answer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import ClassVar

from sp_search.levels import Visit
from sp_search.schedulers.base import BudgetScheduler, Resolved, View


def rungs(view: View, ratio: float, offset: float = 0.0) -> list[int]:
    """Return levels whose caps grow by `ratio`, where the ladder has them, up to its top.

    Args:
        view: of the search; levels that failed an easier milestone are left out.
        ratio: greater than 1.
        offset: of the first level above the ladder's least, in powers of `ratio` (0..1).
    """
    caps, first = view.space.caps, min(view.floor + 1, view.top)
    chosen = [max(first, view.space.at_most(caps[first] * ratio**offset) or 0)]
    while chosen[-1] < view.top:
        chosen.append(max(chosen[-1] + 1, view.space.at_most(caps[chosen[-1]] * ratio) or 0))
    return chosen


class Oblivious(BudgetScheduler):
    """Make the visits of the list in turn. They do not depend on what was seen, so failing all is `Resolved(None)`."""

    first_find: ClassVar = True

    def visits(self, view: View) -> Iterator[Visit]:
        """Yield the visits of a search in which nothing passes."""
        raise NotImplementedError

    def next_visit(self, view: View) -> Visit | Resolved:
        """Take the first verified program, or the list's next visit."""
        if view.least_found is not None:
            return Resolved(level=view.least_found)
        planned = next(islice(self.visits(view), len(view.history), None), None)
        return Resolved(level=None) if planned is None else planned
