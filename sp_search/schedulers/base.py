"""What a budget scheduler is: a pure state machine over events. No Ray, no torch, no clock, no randomness.

`advance(state, event) -> state, actions`. A part adds one pure decision, `next_visit`: which level to open after the
levels seen so far. What opening, losing and closing a level means is the same for all, and lives in `levels`.
"""

from __future__ import annotations

from pydantic import Field

from sp_search.levels import (
    LevelOutcome,
    OpenMember,
    SearchState,
    Terms,
    abandon,
    absorb,
    assign,
    close_level,
    drop,
    extend,
    failed_below,
    fresh_lineages,
    is_current,
    open_level,
    reissue,
    undecide,
    unmet,
)
from sp_search.plugins import Plugin
from sp_search.records import (
    Action,
    BudgetKind,
    Capacity,
    Finish,
    LevelReport,
    LevelSpace,
    LimitReached,
    MemberFailed,
    MemberLost,
    Population,
    Record,
    Restored,
    SearchEvent,
)


class Visit(Record):
    """A decision: open this level, in this phase."""

    level: int
    phase: str


class Resolved(Record):
    """A decision: the milestone is settled. `level` is C*, or None when the largest budget failed."""

    level: int | None


class BudgetScheduler(Plugin):
    """Base of every budget scheduler: which budget moves (`axis`, `budget`) over which ladder of caps.

    The ladder runs from `start` to `stop`: by `resolution` in rollouts, by `factor` in width, whose levels are then the
    prices of the members at these widths; along depth it has every price of the members.
    """

    axis: str = Field("rollouts", description="what realises a budget in the model: rollouts, depth, width")
    budget: BudgetKind = Field("max", description="max caps every input, mean caps the average executed compute")
    start: float = Field(1.0, gt=0, description="least rollouts or width of the ladder")
    stop: float = Field(
        16.0, gt=0, description="largest rollouts or width of the ladder (rollouts of a mean budget: `exits` at most)"
    )
    resolution: float = Field(1.0, gt=0, description="distance between neighbouring caps (axis rollouts)")
    factor: float = Field(1.5, gt=1, description="ratio of neighbouring widths (axis width)")
    exits: int = Field(
        8, ge=1, description="rollouts of a program under a mean budget; rollouts, or exits at most, along axis width"
    )

    def next_visit(self, history: list[LevelOutcome], space: LevelSpace, floor: int) -> Visit | Resolved:
        """Decide from the closed visits of one milestone.

        Args:
            history: the milestone's closed visits, oldest first.
            space: the ladder.
            floor: largest level that already failed an easier milestone (-1 if none).
        """
        raise NotImplementedError

    def initial(self, space: LevelSpace, population: Population, terms: Terms) -> SearchState:
        """Return the state before the first event; the search opens its first level at `Capacity`."""
        replicas = list(range(population.replicas))
        members = [member.member for member in population.members]
        return SearchState(
            space=space,
            population=population,
            terms=terms,
            lineages=dict.fromkeys(members, replicas),
            next_lineage=dict.fromkeys(members, population.replicas),
        )

    def advance(self, state: SearchState, event: SearchEvent) -> tuple[SearchState, list[Action]]:
        """Return the state after `event` and what the driver is to do now. Pure: same history, same answer."""
        if state.finished is not None:
            return state, []
        match event:
            case Capacity():
                state = state.model_copy(update={"slots": event.slots})
                return self._settle(state) if state.open is None else (state, [])
            case LevelReport():
                return self._settle(absorb(state, event)) if is_current(state, event) else (state, [])
            case MemberLost():
                return self._lost(state, event) if is_current(state, event) else (state, [])
            case MemberFailed():
                if not is_current(state, event):
                    return state, []
                state, actions = drop(undecide(state, event.member), event.member, event.reason)
                state, more = self._settle(state)
                return state, actions + more
            case Restored():
                return reissue(state)
            case LimitReached():
                state = state if state.open is None else close_level(abandon(state))
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
            state, actions = drop(state, event.member, f"lost {2 * (member.lost + 1)} times: {event.reason}")
            state, more = self._settle(state)
            return state, actions + more
        state, fresh = fresh_lineages(state, event.member)
        replacement = OpenMember(attempt=0, lineages=fresh, init_from=None, replaced=1)
        assert state.open is not None
        base = {**state.open.base, event.member: fresh}
        state = state.model_copy(
            update={
                "open": state.open.model_copy(update={"base": base}),
                "lineages": {**state.lineages, event.member: fresh},
            }
        )
        return assign(state, {event.member: replacement}, restart=True)

    def _settle(self, state: SearchState) -> tuple[SearchState, list[Action]]:
        """Close the open level when all is in, and open the next one until something runs or the search is over."""
        actions: list[Action] = []
        while state.finished is None:
            if state.open is not None:
                if any(not member.done for member in state.open.members.values()):
                    return state, actions
                extended = extend(state)
                if extended is not None:
                    return extended[0], actions + extended[1]
                state = close_level(state)
            if not [member for member in state.lineages if member not in state.dropped]:
                return state.model_copy(update={"finished": "no_members"}), [*actions, Finish(reason="no_members")]
            state, more = self._decide(state)
            actions += more
        return state, actions

    def _decide(self, state: SearchState) -> tuple[SearchState, list[Action]]:
        history = [outcome for outcome in state.history if outcome.milestone == state.milestone]
        decision = self.next_visit(history, state.space, failed_below(state))
        if isinstance(decision, Visit):
            return open_level(state, decision.level, decision.phase)
        state = state.model_copy(update={"found": {**state.found, state.milestone_index: decision.level}})
        if decision.level is None or state.milestone_index + 1 == len(state.terms.milestones):
            reason = "resolved" if decision.level is not None else unmet(history)
            return state.model_copy(update={"finished": reason}), [Finish(reason=reason)]
        return state.model_copy(update={"milestone_index": state.milestone_index + 1}), []


PART = BudgetScheduler
