"""What a budget scheduler is: a pure state machine over events. No Ray, no torch, no clock, no randomness.

`advance(state, event) -> state, actions`. A part adds one pure decision, `next_visit`: which level to open after the
levels seen so far. What opening, losing and closing a level means is the same for all, and lives in `levels`.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from pydantic import Field

from sp_search.cohorts import replace_lineages
from sp_search.events import (
    Action,
    Capacity,
    Extended,
    Finish,
    LimitReached,
    MemberAdded,
    MemberFailed,
    MemberLost,
    MemberStopped,
    PauseAsked,
    Proposed,
    Restored,
    Retried,
    SearchEvent,
)
from sp_search.interventions import add_member, extend_search, retry, stop_member
from sp_search.levels import (
    Inheritance,
    LevelOutcome,
    SearchState,
    Terms,
    Visit,
    counts,
    failed_below,
    is_current,
    running,
    unmet,
)
from sp_search.plugins import Plugin
from sp_search.records import BudgetKind, LevelReport, LevelSpace, Population, Record
from sp_search.visits import (
    absorb,
    answer,
    ask,
    assign,
    close_level,
    decided,
    drop,
    extend,
    open_level,
    reissue,
    retire,
    undecide,
)

MOST_LEVELS = 10_000
"""Levels that a ladder may have."""


class View(NamedTuple):
    """What a scheduler decides from.

    Attributes:
        history: the milestone's closed visits that count, oldest first.
        space: the ladder.
        floor: largest level that already failed an easier milestone (-1 if none).
        evidence: conclusive failures of every configuration that make a failure: what a verdict needs, and at least all
            lineages that a population trains together.
        seed: of the study, for a schedule that draws lots.
    """

    history: list[LevelOutcome]
    space: LevelSpace
    floor: int
    evidence: int
    seed: int

    @classmethod
    def of(cls, state: SearchState) -> View:
        """Return what is to be seen of a search between two visits."""
        milestone = state.milestone
        history = [one for one in state.history if one.milestone == milestone and counts(state, one)]
        evidence = max(state.terms.lineages_to_fail, state.population.replicas)
        return cls(history, state.space, failed_below(state), evidence, state.terms.seed)

    @property
    def top(self) -> int:
        """The largest level."""
        return len(self.space.caps) - 1

    @property
    def least_found(self) -> int | None:
        """The least level that a verified program keeps, or None."""
        found = [outcome.found_level for outcome in self.history if outcome.found_level is not None]
        return min(found, default=None)


class Resolved(Record):
    """A decision: the milestone is settled. `level` is C*, or None when the largest budget failed."""

    level: int | None


class BudgetScheduler(Plugin):
    """Base of every budget scheduler: which budget moves (`axis`, `budget`) over which ladder of caps.

    The ladder runs from `start` to `stop`: by `resolution` in rollouts, by `factor` in width, whose levels are then the
    prices of the members at these widths; along depth it has every price of the members, and under a mean budget
    `resolution` divides what lies between two exits.
    """

    first_find: ClassVar[bool] = False
    """Whether it ends at the first program that passes, and never looks below it."""

    axis: str = Field("rollouts", description="what realises a budget in the model: rollouts, depth, width")
    budget: BudgetKind = Field("max", description="max caps every input, mean caps the average executed compute")
    start: float = Field(1.0, gt=0, description="least rollouts or width of the ladder")
    stop: float = Field(
        16.0, gt=0, description="largest rollouts or width of the ladder (rollouts of a mean budget: `exits` at most)"
    )
    resolution: float = Field(
        1.0, gt=0, description="distance between neighbouring caps, in rollouts; of a mean budget along depth, in exits"
    )
    factor: float = Field(1.5, gt=1, description="ratio of neighbouring widths (axis width)")
    exits: int = Field(
        8, ge=1, description="rollouts of a program under a mean budget; rollouts, or exits at most, along axis width"
    )

    inherit: Inheritance = Field(
        "weights",
        description="what a lineage takes to its next level: nothing, its weights, or those of a lineage that passed",
    )

    def controls(self) -> list[dict[str, float]]:
        """Return the numbers that the prior is given at every level, strict first, where levels differ by a control."""
        return []

    def next_visit(self, view: View) -> Visit | Resolved:
        """Decide from the closed visits of one milestone."""
        raise NotImplementedError

    def initial(self, space: LevelSpace, population: Population, terms: Terms) -> SearchState:
        """Return the state before the first event; the search opens its first level at `Capacity`."""
        return SearchState(space=space, population=population, terms=terms, inherit=self.inherit)

    def advance(self, state: SearchState, event: SearchEvent) -> tuple[SearchState, list[Action]]:
        """Return the state after `event` and what the driver is to do now. Pure: same history, same answer."""
        if state.finished is not None and not isinstance(event, MemberAdded | Retried | Extended):
            return state, []
        match event:
            case Capacity():
                state = state.model_copy(update={"slots": event.slots})
                return self._settle(state) if state.open is None or state.population.proposals else (state, [])
            case LevelReport():
                return self._heard(*absorb_and_retire(state, event)) if is_current(state, event) else (state, [])
            case MemberLost():
                return self._lost(state, event) if is_current(state, event) else (state, [])
            case MemberFailed():
                if not is_current(state, event):
                    return state, []
                return self._heard(*drop(undecide(state, event.member), event.member, event.reason))
            case Proposed():
                return self._heard(*answer(state, event))
            case Restored():
                return reissue(state)
            case MemberStopped():
                return self._heard(*stop_member(state, event))
            case MemberAdded():
                return self._heard(add_member(state, event), [])
            case Retried():
                return self._heard(retry(state, event), [])
            case Extended():
                return self._heard(extend_search(state, event), [])
            case PauseAsked():
                return state, []
            case LimitReached():
                state = state if state.open is None else close_level(state)[0]
                return state.model_copy(update={"finished": event.limit}), [Finish(reason=event.limit)]
            case _:
                raise ValueError(f"a scheduler takes no {type(event).__name__} event: the search judges it first")

    def _lost(self, state: SearchState, event: MemberLost) -> tuple[SearchState, list[Action]]:
        """Issue a lost member again: same seeds first, then the next indices, then give it up."""
        assert state.open is not None
        member = state.open.members[event.member]
        if member.lost < state.terms.max_retries:
            retried = member.model_copy(update={"lost": member.lost + 1})
            return assign(state, {event.member: retried}, restart=True)
        state = undecide(state, event.member)
        if member.replaced:
            return self._heard(*drop(state, event.member, f"lost {2 * (member.lost + 1)} times: {event.reason}"))
        state, replacement = replace_lineages(state, event.member)
        return assign(state, {event.member: replacement}, restart=True)

    def _heard(self, state: SearchState, actions: list[Action]) -> tuple[SearchState, list[Action]]:
        """Go on after something was heard: whatever follows from it comes behind `actions`."""
        state, more = self._settle(state)
        return state, actions + more

    def _settle(self, state: SearchState) -> tuple[SearchState, list[Action]]:
        """Close the open level when its verdict is known, and open the next one until something runs or all is over."""
        actions: list[Action] = []
        if not state.slots:  # asked of a study whose driver ended before it knew how many trials fit
            return state, actions
        while state.finished is None:
            if state.open is not None:
                if not decided(state):
                    state, more = self._more(state)
                    actions += more
                    if running(state) or (state.open is not None and state.open.asked):
                        return state, actions
                state, more = close_level(state)
                actions += more
            if state.population.members and len(state.dropped) == len(state.population.members):
                return state.model_copy(update={"finished": "no_members"}), [*actions, Finish(reason="no_members")]
            state, more = self._decide(state)
            actions += more
        return state, actions

    def _more(self, state: SearchState) -> tuple[SearchState, list[Action]]:
        """Ask for further proposals, or give a level that everybody has answered the evidence that it lacks."""
        if state.population.proposals:
            return ask(state)
        extended = None if running(state) else extend(state)
        return (state, []) if extended is None else extended

    def _decide(self, state: SearchState) -> tuple[SearchState, list[Action]]:
        view = View.of(state)
        decision = self.next_visit(view)
        if isinstance(decision, Visit):
            return open_level(state, decision)
        state = state.model_copy(update={"found": {**state.found, state.milestone_index: decision.level}})
        if decision.level is None or state.milestone_index + 1 == len(state.terms.milestones):
            reason = "resolved" if decision.level is not None else unmet(view.history)
            return state.model_copy(update={"finished": reason}), [Finish(reason=reason)]
        return state.model_copy(update={"milestone_index": state.milestone_index + 1}), []


def absorb_and_retire(state: SearchState, event: LevelReport) -> tuple[SearchState, list[Action]]:
    """Take a report in; a proposal's trial is over with it."""
    state = absorb(state, event)
    return retire(state, event.member) if state.population.proposals else (state, [])


PART = BudgetScheduler
