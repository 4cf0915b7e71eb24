"""Who may hold an actor, whose assignment comes next, and who is overdue. Plain bookkeeping without Ray.

A member is *busy* with an assignment, *idle* (its level is measured, its trial keeps its actor and waits for the level
to close), or without an actor. Busy and idle members hold a slot each. Every question of `Slots` is O(1).
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from dataclasses import dataclass

from sp_search.records import Assignment


@dataclass
class Work:
    """An assignment that a trial is busy with: when it was handed over, its last sign of life, what it spent."""

    assignment: Assignment
    begun: float
    alive: float
    training_flops: float = 0.0


class Pace:
    """How long slices take, and how long a trial may be silent before it counts as lost."""

    SLICES = 10

    def __init__(self, least_s: float) -> None:
        """Never call a trial lost before `least_s`."""
        self._least_s = least_s
        self._seconds: deque[float] = deque(maxlen=100)

    def note(self, seconds: float) -> None:
        """Take a slice's duration in."""
        self._seconds.append(seconds)

    def allowed_s(self) -> float:
        """Return ten typical slices, or the least time."""
        return max(self._least_s, self.SLICES * statistics.median(self._seconds or [0.0]))


class Slots:
    """The slots of a driver and the assignments that wait for one.

    Attributes:
        busy: what runs, by member.
        idle: members that hold a slot and have nothing to do, the longest idle first.
    """

    def __init__(self, count: int) -> None:
        """Have `count` slots, all free."""
        self.count = count
        self.busy: dict[int, Work] = {}
        self.idle: dict[int, None] = {}
        self._handovers: deque[Assignment] = deque()  # for members that hold a slot
        self._resumes: deque[Assignment] = deque()  # for members whose trial gave its slot up
        self._starts: deque[Assignment] = deque()  # for members without a trial

    def wait(self, assignment: Assignment, *, has_trial: bool) -> None:
        """Queue an assignment."""
        if not has_trial:
            self._starts.append(assignment)
        elif assignment.member in self.idle:
            del self.idle[assignment.member]
            self._handovers.append(assignment)
        else:
            self._resumes.append(assignment)

    def next_start(self) -> Assignment | None:
        """Return the next assignment that needs a new trial, if a slot is free for it."""
        return self._begin(self._starts) if self._free() else None

    def next_handover(self) -> Assignment | None:
        """Return the next assignment for a trial that holds its actor."""
        return self._begin(self._handovers)

    def next_resume(self) -> Assignment | None:
        """Return the next assignment for a trial without an actor, if a slot is free for it."""
        return self._begin(self._resumes) if self._free() else None

    def surplus(self) -> int | None:
        """Return the idle member that should give its slot up, if somebody waits for one and none is free."""
        wanted = bool(self._starts or self._resumes) and not self._free()
        return next(iter(self.idle), None) if wanted else None

    def rest(self, member: int) -> None:
        """Note that a busy member's level is measured."""
        del self.busy[member]
        self.idle[member] = None

    def forget(self, member: int) -> None:
        """Give back whatever the member held."""
        self.busy.pop(member, None)
        self.idle.pop(member, None)

    def clear(self) -> None:
        """Drop everything that waits."""
        for queue in (self._starts, self._resumes, self._handovers):
            queue.clear()

    def _free(self) -> bool:
        return len(self.busy) + len(self.idle) + len(self._handovers) < self.count

    def _begin(self, queue: deque[Assignment]) -> Assignment | None:
        if not queue:
            return None
        assignment, now = queue.popleft(), time.monotonic()
        self.busy[assignment.member] = Work(assignment, now, now)
        return assignment
