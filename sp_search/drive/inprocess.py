"""Drives a search in this process: one trial after another, a slice at a time, each slice stored before the next.

It is the reference for the other drivers, the debugger's way in, and what runs where Ray is not wanted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from sp_search.errors import Interrupted, StorageError, describe
from sp_search.events import (
    Action,
    Capacity,
    Finish,
    LimitReached,
    MemberFailed,
    Park,
    Parked,
    Restored,
    SearchEvent,
    SetBudget,
    Start,
    Stop,
)
from sp_search.records import Assignment, LevelRunner, Measured, RunnerState
from sp_search.search import Search
from sp_search.store import Store, Stored, begin_state, parked, spent_flops

Limit = Callable[[Search], str | None]
Progress = Callable[[Search], None]
Asked = Callable[[Search], list[SearchEvent]]


def run_inprocess(
    search: Search,
    runner: LevelRunner,
    store: Store,
    *,
    limit: Limit = lambda search: None,
    progress: Progress = lambda search: None,
    asked: Asked = lambda search: [],
) -> None:
    """Run `search` to its end, or until `limit` names a limit; a replayed search takes up where it was.

    Between slices `asked` says what people ask of it.

    What a member's own code raises becomes `MemberFailed`. `StorageError` and `Interrupted` pass through, and the
    ledger then resumes.
    """
    queue: deque[Assignment] = deque()

    def heed(running: Assignment) -> None:
        for event in asked(search):
            if isinstance(event, LimitReached):
                event = event.cutting([parked(store, running).training_flops])
            _carry_out(search.feed(event), queue)

    _carry_out(search.feed(Restored() if search.state.slots else Capacity(slots=1)), queue)
    while queue and search.state.finished is None:
        event = _run_level(search, runner, store, queue.popleft(), limit, progress, heed)
        _carry_out(search.feed(event), queue)
        progress(search)


def _run_level(
    search: Search,
    runner: LevelRunner,
    store: Store,
    assignment: Assignment,
    limit: Limit,
    progress: Progress,
    heed: Callable[[Assignment], None],
) -> Measured | MemberFailed | LimitReached | Parked:
    state: RunnerState | None = None
    measured: Measured | None = None
    while measured is None:
        heed(assignment)
        if assignment.attempt in search.cut or search.state.finished is not None:
            return parked(store, assignment)  # somebody stopped it
        reached = limit(search)
        if reached is not None:
            return LimitReached(limit=reached).cutting([parked(store, assignment).training_flops])
        try:
            state = state or begin_state(runner, store, assignment)
            state, measured = runner.step(assignment, state)
        except (Interrupted, StorageError):
            raise
        except Exception as error:  # a member's own code may raise anything; the ledger and the report carry it
            return MemberFailed(
                member=assignment.member,
                attempt=assignment.attempt,
                reason=describe(error),
                training_flops=spent_flops(state),
            )
        store.save(Stored(assignment, state, finished=measured is not None))
        progress(search)
    # A slice that was stored by an earlier attempt carries that attempt's number.
    return measured.model_copy(update={"attempt": assignment.attempt})


def _carry_out(actions: list[Action], queue: deque[Assignment]) -> None:
    for action in actions:
        match action:
            case Start() | SetBudget():
                queue.append(action.assignment)
            case Stop() | Park():
                for queued in [one for one in queue if one.member == action.member]:
                    queue.remove(queued)
            case Finish():
                queue.clear()
