"""The searcher: Tune's only way to begin a trial. It hands over what the search has decided and decides nothing.

A member of the study's list and one that a proposer invented arrive here alike: as an assignment of the search.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from sp_search.records import Assignment
from sp_search.tune.actor import configuration


class AssignmentSearcher(Searcher):
    """Answers Tune's request for a trial with the next assignment that needs a new one."""

    def __init__(
        self,
        next_start: Callable[[], Assignment | None],
        finished: Callable[[], bool],
        place: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    ) -> None:
        """Ask `next_start` for every trial until `finished`; `place` says in its configuration where it may run."""
        super().__init__()
        self._next_start, self._finished, self._place = next_start, finished, place

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Accept the fixed part of the trials' configuration; there is no space to search here."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """Return the configuration of a queued start; None makes Tune ask again, and FINISHED lets it end."""
        if self._finished():
            return Searcher.FINISHED
        assignment = self._next_start()
        return None if assignment is None else self._place(configuration(assignment))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Take no notice: the scheduler hears of it."""

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the ledger is the truth, and nothing of Tune's own state is ever restored."""

    def restore(self, checkpoint_path: str) -> None:
        """Refuse: a study goes on by replaying its ledger.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("resume a study from its ledger: sp-search resume DIR")

    def __getstate__(self) -> dict[str, Any]:
        """Leave the search out of Tune's pickles."""
        return {}
