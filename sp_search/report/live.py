"""The live line: phase, budget, best so far, trials, time. One moving line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, NamedTuple, TextIO

from sp_search.levels import LevelOutcome
from sp_search.report.words import PHASES, amount, level_words
from sp_search.schedulers.base import Resolved, View

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

    from sp_search.search import Search

REFRESH_PER_SECOND = 4
MOST_VISITS_AHEAD = 200
EVERY_S = 30.0
"""Off a terminal, the longest that a level which goes on stays silent."""


class Progress(NamedTuple):
    """Where a search stands; `visits_left` assumes that the best budget so far is the answer."""

    visit: int
    phase: str
    budget: str
    best: str
    done: int
    failed: int
    visits_left: int | None


class LiveLine:
    """Shows a search on `stream`. `update` is cheap: it only notes where the search stands."""

    def __init__(self, stream: TextIO | None = None, every_s: float = EVERY_S) -> None:
        """Begin the clock; nothing is shown before the first update."""
        self.every_s, self._said = every_s, 0.0
        self.stream = sys.stderr if stream is None else stream
        self.began = time.monotonic()
        self.progress: Progress | None = None
        self.first_visit = 0
        self._live: Live | None = None

    def update(self, search: Search) -> None:
        """Note where the search stands. Off a terminal, print a line at a new level, and now and then within one."""
        if search.state.open is None:
            return
        level, before = search.state.open, self.progress
        if before is not None and before.visit == level.visit:
            self.progress = before._replace(done=_done(search), failed=search.broken)
            if not self.stream.isatty() and time.monotonic() - self._said >= self.every_s:
                self._say()
            return
        self.first_visit = level.visit if before is None else self.first_visit
        self.progress = progress_of(search)
        if not self.stream.isatty():
            self._say()
        elif self._live is None:
            self._live = self._start()

    def _say(self) -> None:
        self._said = time.monotonic()
        self.stream.write(self.line() + "\n")
        self.stream.flush()

    def close(self) -> None:
        """Take the moving line away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def line(self) -> str:
        """Return the line of this moment."""
        now = self.progress
        if now is None:
            return ""
        elapsed = time.monotonic() - self.began
        words = [f"{now.phase}: {now.budget}", f"best {now.best}", f"{now.done} trials done, {now.failed} failed"]
        words.append(clock(elapsed))
        closed = now.visit - self.first_visit
        if now.visits_left is not None and closed:
            words.append(f"about {clock(elapsed / closed * now.visits_left)} left")
        return " · ".join(words)

    def _start(self) -> Live:
        from rich.console import Console
        from rich.live import Live

        live = Live(
            console=Console(file=self.stream),
            get_renderable=self._text,
            refresh_per_second=REFRESH_PER_SECOND,
            transient=True,
            redirect_stdout=False,  # results go to stdout as they are
        )
        live.start()
        return live

    def _text(self) -> Text:
        from rich.text import Text

        return Text(self.line(), no_wrap=True, overflow="ellipsis")


def progress_of(search: Search) -> Progress:
    """Return where a search with an open level stands."""
    state = search.state
    assert state.open is not None
    best = search.selection(state.milestone)
    measure = state.space.measure
    return Progress(
        visit=state.open.visit,
        phase=PHASES.get(state.open.phase, state.open.phase),
        budget=level_words(state.space, state.open.level),
        best="none yet" if best is None else amount(best[0].budget.cap, measure),
        done=_done(search),
        failed=search.broken,
        visits_left=visits_left(search),
    )


def visits_left(search: Search) -> int | None:
    """Return how many levels the milestone still takes if the best so far is the answer; None before a first pass.

    The scheduler's own decision is asked again and again, over a history that goes on as expected.
    """
    state = search.state
    assert state.open is not None
    view = View.of(state)
    answer = view.least_found
    if answer is None:
        return None
    level, phase = state.open.level, state.open.phase
    for ahead in range(1, MOST_VISITS_AHEAD):
        expected = _expected(view.history[-1], level, phase, answer)
        view = view._replace(history=[*view.history, expected])
        decision = search.scheduler.next_visit(view)
        if isinstance(decision, Resolved):
            return ahead
        level, phase = decision.level, decision.phase
    return None


def _expected(last: LevelOutcome, level: int, phase: str, answer: int) -> LevelOutcome:
    passes = level >= answer
    verdict = "passed" if passes else "failed"
    found = level if passes else None
    return last.model_copy(update={"level": level, "phase": phase, "verdict": verdict, "found_level": found})


def _done(search: Search) -> int:
    closed = sum(len({member for _, member in outcome.conclusive}) for outcome in search.state.history)
    level = search.state.open
    return closed if level is None else closed + len(level.members) - len(search.live_assignments())


def clock(seconds: float) -> str:
    """Return `1:05` or `2:03:10`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
