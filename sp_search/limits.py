"""What ends a study early, and what crashes made it pay twice; both are read from the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sp_search.assembly import parts_of
from sp_search.plan import training_flops
from sp_search.records import Assignment
from sp_search.search import Search
from sp_search.study import Study


def limit_of(study: Callable[[], Study], entries: list[dict[str, Any]]) -> Callable[[Search], str | None]:
    """Return the function that names the limit which a search has reached, if any. Earlier sessions' time counts.

    Args:
        study: returns the study as it stands: its limits may be extended meanwhile.
        entries: the ledger's, so far.
    """
    before = session_seconds(entries)
    started = time.monotonic()

    def reached(search: Search) -> str | None:
        limits = study().limits
        if limits.failures is not None and search.broken - search.forgiven > limits.failures:
            return "failures"
        if limits.seconds is not None and before + time.monotonic() - started > limits.seconds:
            return "seconds"
        if limits.search_flops is not None and sum(search.spent.values()) > limits.search_flops:
            return "search_flops"
        return None if limits.trials is None or search.trials < limits.trials else "trials"

    return reached


def room_of(study: Callable[[], Study]) -> Callable[[Search], int | None]:
    """Return the function that says how many trials may run or begin beside those that are over; None: any number."""

    def room(search: Search) -> int | None:
        most = study().limits.trials
        return None if most is None else most - search.trials

    return room


def session_seconds(entries: list[dict[str, Any]]) -> float:
    """Return how long earlier drivers worked on the study, from its ledger; the pauses between them do not count."""
    total, previous = 0.0, None
    for entry in entries:
        restarted = entry.get("reopened") or entry.get("event", {}).get("event") == "restored"
        if previous is not None and not restarted:
            total += max(0.0, entry["time"] - previous)
        previous = entry["time"]
    return total


def repeated_flops(study: Study, entries: list[dict[str, Any]]) -> float:
    """Return an upper bound of the training paid twice: the level of every trial that was lost or restored.

    How much of it was stored is not in the ledger: on Ray short slices are not (`tune.actor.STORE_S`).
    """
    repeated = 0.0
    for entry in entries:
        if entry.get("event", {}).get("event") not in ("restored", "member_lost"):
            continue
        for action in entry["actions"]:
            if "assignment" in action:
                at = Assignment.model_validate(action["assignment"])
                own = parts_of(study.model, study.prior, at.config)
                repeated += training_flops(study, own, at.budget.axis) * len(at.lineages)
    return repeated
