"""The pure search as a Tune scheduler: results become events, actions become Tune's. It decides nothing itself.

A member's trial lives as long as the member. When its level is measured the trial is *idle*: it keeps its actor and
waits for the level to close. Its next assignment, larger or smaller, is handed over by `set_config`, a pause without a
Tune checkpoint and a reset of the same actor. A trial that is cut ends its slice first, which nobody waits for but its
own member. An idle trial gives its actor up as soon as a member without one needs the slot. Choosing a trial costs
O(1), however many members there are.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import ray
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from sp_search.errors import StorageError, StudyError
from sp_search.events import (
    Action,
    Capacity,
    Finish,
    LimitReached,
    MemberLost,
    Park,
    Parked,
    Restored,
    SearchEvent,
    SetBudget,
    Start,
    Stop,
)
from sp_search.records import Assignment
from sp_search.search import Search
from sp_search.store import Store, parked
from sp_search.tune.actor import LevelTrainable, configuration, event_of
from sp_search.tune.lost_actors import NODE, REASON
from sp_search.tune.machines import Machines
from sp_search.tune.nodes import JOIN_PATIENCE_S
from sp_search.tune.places import Places
from sp_search.tune.slots import Pace, Slots, Work

Limit = Callable[[Search], str | None]
Progress = Callable[[Search], None]
Asked = Callable[[Search], list[SearchEvent]]

WATCH_S = 1.0
PATIENCE_S = 30.0


class StopRequested(Exception):
    """Leaves Tune, which ends its trials on the way, because the driver was asked to stop."""


class TuneBudgetScheduler(TrialScheduler):
    """Feeds a search and carries out what it says, on Tune's one thread."""

    _supports_buffered_results = False

    def __init__(
        self,
        search: Search,
        slots: Slots,
        store: Store,
        *,
        limit: Limit,
        progress: Progress,
        asked: Asked,
        interrupted: Callable[[], object],
        deadline_s: float,
        machines: Machines | None = None,
    ) -> None:
        """Drive `search` on `slots` trials side by side.

        Args:
            search: a new or a replayed search.
            slots: who may hold an actor; the searcher starts trials from the same slots.
            store: where the trials keep their states.
            limit: names a limit that the search has reached, if any.
            progress: told after every slice; it must return at once.
            asked: says what people ask of the search; it must return at once.
            interrupted: whether the driver was asked to stop.
            deadline_s: least time without a slice after which a trial counts as lost.
            machines: how many trials fit, and where, as the cluster grows and shrinks; None: `slots`, anywhere.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._search, self._slots, self._store = search, slots, store
        self._limit, self._progress, self._asked, self._interrupted = limit, progress, asked, interrupted
        self._pace = Pace(deadline_s)
        self._places = Places(machines or Machines.fixed(slots.count))
        self._trials: dict[int, Trial] = {}
        self._killed: dict[int, str] = {}
        self._error: Exception | None = None
        self._watched = 0.0

    def begin(self) -> None:
        """Open the search, or take it up again: on other slots perhaps, and after trials that were cut and died."""
        restored = self._search.state.slots > 0
        if self._search.state.slots != self._slots.count:
            self._feed(None, Capacity(slots=self._slots.count))
        for assignment in list(self._search.cut.values()):
            self._feed(None, parked(self._store, assignment))
        if restored:
            self._feed(None, Restored())

    def finished(self) -> bool:
        """Whether the search is over."""
        return self._search.state.finished is not None

    def next_start(self) -> Assignment | None:
        """Return the assignment of the next new trial. Tune waits here, and nowhere else, while it has no trial at all.

        Raises:
            Exception: as `choose_trial_to_run`.
        """
        self._raise_what_stops_us()
        if not self._trials:  # nobody else asks then
            self._heed_limit(None)
            self._heed_machines(None)
        return self._slots.next_start()

    def place(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return a trial's configuration with the machines that it may run on now."""
        return self._places.place(config)

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Remember the trial of a member."""
        self._trials[_member(trial)] = trial

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Go on with a level that is not over; otherwise feed what came of it, and leave the trial idle."""
        member = _member(trial)
        work = self._slots.busy.get(member)
        if work is None or self._trials.get(member) is not trial or result["attempt"] != work.assignment.attempt:
            return str(TrialScheduler.STOP)
        work.alive, work.node = time.monotonic(), result["node"]
        self._pace.note(result["time_this_iter_s"])
        try:
            event = event_of(result)
        except StorageError as error:
            self._error = error
            return str(TrialScheduler.NOOP)
        if event is None:
            work.training_flops = result["training_flops"]
            if not work.leaving:
                self._guarded(lambda: self._progress(self._search))
                return str(TrialScheduler.CONTINUE)
        self._slots.rest(member)
        self._feed(tune_controller, event or self._parked(work))
        self._make_room(tune_controller)
        return str(TrialScheduler.NOOP)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """A worker, a node or a deadline ended the trial: never evidence about a budget."""
        member = _member(trial)
        if self._trials.get(member) is trial:
            del self._trials[member]
            work, reason = self._slots.forget(member), self._killed.pop(member, REASON.get())
            self._slots.count = min(self._slots.count, self._places.shun(NODE.get()))
            if work is not None and work.leaving:
                self._feed(tune_controller, self._parked(work))
            elif work is not None:
                self._places.lose(NODE.get() or work.node)
                attempt = work.assignment.attempt
                self._feed(tune_controller, MemberLost(member=member, attempt=attempt, reason=reason))

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Take no notice: trials end only by our own word."""

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Take no notice: trials end only by our own word."""

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Return a live trial with its next assignment. Tune asks once a step, at least every 0.1 s.

        Raises:
            StopRequested: the driver was asked to stop.
            Exception: what stopped the search, as a ledger that cannot be written.
        """
        self._watch(tune_controller)
        assignment = self._slots.next_handover()
        if assignment is not None:
            tune_controller.pause_trial(self._trials[assignment.member], should_checkpoint=False)
        else:
            self._make_room(tune_controller)
            assignment = self._slots.next_resume()
            if assignment is not None:
                self._replace(self._trials[assignment.member])
        if assignment is None:
            return None
        trial = self._trials[assignment.member]
        trial.set_config({**trial.config, **configuration(assignment)})  # type: ignore[no-untyped-call]
        return trial

    def __getstate__(self) -> dict[str, Any]:
        """Leave the search out of Tune's pickles."""
        return {}

    def _make_room(self, tune_controller: Any) -> None:
        """Let an idle trial give its actor up, if somebody waits for a slot. Tune can hand on one at a time."""
        surplus = self._slots.surplus()
        if surplus is not None:
            self._release(tune_controller, surplus)

    def _release(self, tune_controller: Any, member: int) -> None:
        """Take an idle trial's actor; its state is in the study's checkpoints."""
        self._slots.forget(member)
        tune_controller.pause_trial(self._trials[member], should_checkpoint=False)

    def _guarded(self, call: Callable[[], Any]) -> Any:
        """Keep an error of our own for `choose_trial_to_run`: Tune would turn it into a text here."""
        try:
            return call()
        except Exception as error:
            self._error = self._error or error
            return []

    def _feed(self, tune_controller: Any, event: SearchEvent) -> None:
        events: deque[SearchEvent] = deque([event])
        while events:
            event = events.popleft()
            again = isinstance(event, MemberLost | Restored)
            for action in self._guarded(partial(self._search.feed, event)):
                events.extend(self._carry_out(tune_controller, action, again=again))
        self._guarded(lambda: self._progress(self._search))

    def _carry_out(self, tune_controller: Any, action: Action, *, again: bool) -> list[Parked]:
        """Return what trials that were cut had spent, of those that are over at once."""
        match action:
            case Start() | SetBudget():
                has_trial = action.assignment.member in self._trials
                again = again and self._slots.room() is not None and self._had_begun(action.assignment)
                self._slots.wait(action.assignment, has_trial=has_trial, again=again)
            case Park():
                queued = self._slots.cut(action.member)
                return [] if queued is None else [parked(self._store, queued)]
            case Stop():
                return self._end(tune_controller, action.member)
            case Finish():
                ended = [one for member in list(self._trials) for one in self._end(tune_controller, member)]
                self._slots.clear()
                return ended
        return []

    def _had_begun(self, assignment: Assignment) -> bool:
        return bool(self._guarded(lambda: parked(self._store, assignment).training_flops > 0))

    def _end(self, tune_controller: Any, member: int) -> list[Parked]:
        """Stop a member's trial at once; a slice that it is in the middle of is not waited for."""
        queued = self._slots.cut(member)
        ended = [] if queued is None else [parked(self._store, queued)]
        trial = self._trials.pop(member, None)
        if trial is not None:
            work = self._slots.forget(member)
            if work is not None:
                _kill(trial)
                ended.append(self._parked(work))
            _stop(tune_controller, trial)
        return ended

    def _parked(self, work: Work) -> Parked:
        """Return what an assignment spent: as its last slice said, or one of an earlier attempt."""
        if work.training_flops is None:
            return parked(self._store, work.assignment)
        at = work.assignment
        return Parked(member=at.member, attempt=at.attempt, training_flops=work.training_flops)

    def _raise_what_stops_us(self) -> None:
        error = StopRequested() if self._interrupted() else self._error
        if error is not None:
            for trial in self._trials.values():
                _kill(trial)
            raise error

    def _watch(self, tune_controller: Any) -> None:
        """Look up from the work: a signal, an error of ours, a limit, a trial that makes no progress."""
        self._raise_what_stops_us()
        self._heed_limit(tune_controller)
        for event in [] if self.finished() else self._guarded(lambda: self._asked(self._search)):
            self._feed(
                tune_controller, event.cutting(self._running_flops()) if isinstance(event, LimitReached) else event
            )
        if time.monotonic() - self._watched < WATCH_S:
            return
        self._watched = time.monotonic()
        self._heed_machines(tune_controller)
        for member, work in list(self._slots.busy.items()):
            self._watch_trial(tune_controller, member, work)

    def _heed_limit(self, tune_controller: Any) -> None:
        reached = None if self.finished() else self._guarded(lambda: self._limit(self._search))
        excused = self._places.excuse(failing=reached == "failures")
        if reached and not excused:
            self._feed(tune_controller, LimitReached(limit=reached).cutting(self._running_flops()))

    def _heed_machines(self, tune_controller: Any) -> None:
        """Have as many slots as the cluster has room for now; the ledger hears it, and what went with machines."""
        gone, slots = self._places.look(), self._places.fit.slots
        for said in self._places.news():
            sys.stderr.write(f"{said}; {slots} trials fit side by side\n")
        self._slots.count = slots
        if self._places.none_for_s() > JOIN_PATIENCE_S:
            self._error = StudyError(
                [f"no machine that fits a trial for {JOIN_PATIENCE_S:.0f} s: resume when there is"]
            )
        if not self.finished() and ((slots and slots != self._search.state.slots) or gone):
            heard = slots or self._search.state.slots
            self._feed(tune_controller, Capacity(slots=heard, gone=gone))

    def _replace(self, trial: Trial) -> None:
        """Let a trial without an actor run on the machines that there are now."""
        config = self.place(trial.config)
        if config != trial.config:
            trial.set_config(config)  # type: ignore[no-untyped-call]
            trial.update_resources(LevelTrainable.default_resource_request(config))

    def _begin_elsewhere(self, tune_controller: Any, member: int, work: Work) -> None:
        """Give an assignment that waits for machines which were there once to a new trial, which may run on others."""
        self._slots.forget(member)
        _stop(tune_controller, self._trials.pop(member))
        self._slots.wait(work.assignment, has_trial=False)

    def _running_flops(self) -> list[float]:
        """Return what was spent on the assignments that are not over; those that were cut speak for themselves."""
        spent = []
        for assignment in self._search.live_assignments():
            work = self._slots.busy.get(assignment.member)
            running = work is not None and work.assignment.attempt == assignment.attempt
            ended = self._parked(work) if running and work else parked(self._store, assignment)
            spent.append(ended.training_flops)
        return spent

    def _watch_trial(self, tune_controller: Any, member: int, work: Work) -> None:
        trial = self._trials.get(member)
        if trial is None or trial.temporary_state.ray_actor is None:  # it waits for resources, or for its process
            work.alive = self._watched
            if self._watched - work.begun > PATIENCE_S:  # the cluster may have shrunk: it gets what the idle ones hold
                for idle in list(self._slots.idle):
                    self._release(tune_controller, idle)
                if trial is not None and not work.leaving and self.place(trial.config) != trial.config:
                    self._begin_elsewhere(tune_controller, member, work)
            return
        allowed = self._pace.allowed_s()
        if self._watched - work.alive > allowed and member not in self._killed:
            self._killed[member] = f"no slice in {allowed:.0f} s"
            _kill(trial)


def _member(trial: Trial) -> int:
    return int(trial.config["member"])


def _stop(tune_controller: Any, trial: Trial) -> None:
    """Stop a trial. Tune 2.60 goes on to wait for what a pending one waited for, and keeps no actor to use again."""
    tune_controller.stop_trial(trial)
    if trial in tune_controller._staged_trials:
        tune_controller._unstage_trial_with_resources(trial)


def _kill(trial: Trial) -> None:
    """Kill the trial's actor, whatever it is doing."""
    actor = trial.temporary_state.ray_actor
    if actor is not None:
        ray.kill(actor)
