"""Who may hold an actor, whose assignment comes next, and who is overdue. Plain bookkeeping without Ray.

A member is *busy* with an assignment, *idle* (it has nothing to do, and its trial keeps its actor until a level wants
it or somebody wants the slot), or without an actor. Busy and idle members hold a slot each. A busy member whose
assignment was cut is *leaving*: it stays busy until its slice ends, and what it has to do next waits with it. Every
question of `Slots` is O(1).
"""

from __future__ import annotations

import statistics
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from sp_search.records import Assignment


@dataclass
class Work:
    """An assignment that a trial is busy with.

    Attributes:
        assignment: what was handed over.
        begun: when that was.
        alive: its last sign of life.
        training_flops: what its last slice said was spent; None before the first.
        leaving: whether it was cut, and gives up when its slice ends.
        node: the machine that its last slice ran on, as Ray names it; empty before the first.
        next: what its member does then.
    """

    assignment: Assignment
    begun: float
    alive: float
    training_flops: float | None = None
    leaving: bool = False
    node: str = ""
    next: Assignment | None = None


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

    def __init__(self, count: int, room: Callable[[], int | None] = lambda: None) -> None:
        """Have `count` slots, all free, for as many trials as there is `room` for at any time."""
        self.count, self.room = count, room
        self.busy: dict[int, Work] = {}
        self.idle: OrderedDict[int, None] = OrderedDict()
        self._handovers: OrderedDict[int, Assignment] = OrderedDict()  # for members that hold a slot
        self._resumes: OrderedDict[int, Assignment] = OrderedDict()  # for members whose trial gave its slot up
        self._starts: OrderedDict[int, Assignment] = OrderedDict()  # for members without a trial
        self._again: set[int] = set()  # members whose trial had begun before and is among these

    def wait(self, assignment: Assignment, *, has_trial: bool, again: bool = False) -> None:
        """Queue an assignment; a busy member is cut for it. `again`: its trial was lost after it had begun."""
        member = assignment.member
        if member in self.busy:
            self.busy[member].leaving, self.busy[member].next = True, assignment
        elif not has_trial:
            self._starts[member] = assignment
            if again:
                self._again.add(member)
                self._starts.move_to_end(member, last=False)
        elif member in self.idle:
            del self.idle[member]
            self._handovers[member] = assignment
        else:
            self._resumes[member] = assignment

    def cut(self, member: int) -> Assignment | None:
        """Let a busy member give up at the end of its slice; return its assignment that nobody has begun, if any."""
        work = self.busy.get(member)
        if work is not None:
            queued, work.leaving, work.next = work.next, True, None
            return queued
        if member in self._handovers:
            self.idle[member] = None
            return self._handovers.pop(member)
        self._again.discard(member)
        return self._resumes.pop(member, None) or self._starts.pop(member, None)

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
        """Note that a busy member has nothing more to do for its assignment; its next one is handed over."""
        work = self.busy.pop(member)
        if work.next is None:
            self.idle[member] = None
        else:
            self._handovers[member] = work.next

    def forget(self, member: int) -> Work | None:
        """Take the member's slot and return what it was busy with. What it was to do next needs a new trial."""
        self.idle.pop(member, None)
        work = self.busy.pop(member, None)
        waiting = self._handovers.pop(member, None) or self._resumes.pop(member, None)
        waiting = waiting if work is None else work.next
        if waiting is not None:
            self._starts[member] = waiting
        return work

    def clear(self) -> None:
        """Drop everything that waits."""
        for queue in (self._starts, self._resumes, self._handovers):
            queue.clear()
        self._again.clear()

    def _free(self) -> bool:
        return len(self.busy) + len(self.idle) + len(self._handovers) < self.count

    def _may_begin(self, member: int) -> bool:
        room = self.room()
        return room is None or member in self._again or len(self.busy) + len(self._again) < room

    def _begin(self, queue: OrderedDict[int, Assignment]) -> Assignment | None:
        if not queue or not self._may_begin(next(iter(queue))):
            return None
        (member, assignment), now = queue.popitem(last=False), time.monotonic()
        self._again.discard(member)
        self.busy[member] = Work(assignment, now, now)
        return assignment
