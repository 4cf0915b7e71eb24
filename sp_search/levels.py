"""Levels as plain data and pure transitions: open one, take reports in, lose and replace, close with a verdict.

A level is open until every lineage it was given is conclusive. *Found* needs one verified program; *failed* needs
`lineages_to_fail` conclusive failures, so a level with fewer is given further lineages. What the machinery lost is
issued again with the same seeds; after `max_retries` its lineages are *undecided* and the next indices take their
place. An infrastructure failure is never evidence that a budget holds no good program.
"""

from __future__ import annotations

from math import ceil
from typing import Literal

from pydantic import Field

from sp_search.records import (
    Action,
    Assignment,
    LevelReport,
    LevelSpace,
    LineageReport,
    MemberFailed,
    MemberLost,
    Park,
    Population,
    Record,
    SetBudget,
    Start,
    Stop,
    derive_seed,
)

SPARE_EXTENSIONS = 2
"""Further lineages beyond those that a failure needs, for a level that loses some to the machinery."""

LevelVerdict = Literal["passed", "failed", "undecided"]


class Terms(Record):
    """What a study asks of its verdicts: milestones to climb, and how much evidence a failure needs."""

    seed: int
    milestones: list[float] = Field(min_length=1)
    lineages_to_fail: int = Field(5, ge=1)
    false_negative: float = Field(0.05, gt=0, lt=1)
    max_retries: int = Field(2, ge=0)


class LevelOutcome(Record):
    """A closed visit: its verdict and aggregates. `found_level` is the least level that the cost found allows."""

    visit: int
    level: int
    cap: float
    milestone: float
    phase: str
    verdict: LevelVerdict
    found_level: int | None
    tried: int
    passed: int
    undecided: int
    pass_rate_high: float = Field(description="upper bound of the pass rate at the study's false-negative rate")
    members: dict[int, list[int]] = Field(description="lineages by member whose weights a later visit may inherit")
    conclusive: list[tuple[int, int]] = Field(
        description="(lineage, member) of every conclusive lineage, in index order"
    )
    passing: list[tuple[int, int]] = Field(description="(lineage, member) of the verified ones, in index order")
    training_flops: float


class OpenMember(Record):
    """One member of the open level. `attempt` fences: a report with an older attempt is stale."""

    attempt: int
    lineages: list[int]
    init_from: int | None
    lost: int = 0
    replaced: int = 0
    done: bool = False


class OpenLevel(Record):
    """The level that is being searched now."""

    visit: int
    level: int
    phase: str
    members: dict[int, OpenMember]
    base: dict[int, list[int]] = Field(description="lineages by member that hold this visit's inheritable weights")
    reports: list[tuple[int, int, bool | None]] = Field(
        default_factory=list, description="(lineage, member, passed or None for undecided)"
    )
    cheapest: float | None = None
    training_flops: float = 0.0
    extensions: int = 0


class SearchState(Record):
    """The whole state of a search, plain JSON."""

    space: LevelSpace
    population: Population
    terms: Terms
    milestone_index: int = 0
    history: list[LevelOutcome] = Field(default_factory=list)
    open: OpenLevel | None = None
    attempts: int = 0
    lineages: dict[int, list[int]] = Field(default_factory=dict, description="the lineages that a member carries now")
    next_lineage: dict[int, int] = Field(default_factory=dict)
    live: list[int] = Field(default_factory=list, description="members with a trial")
    dropped: dict[int, str] = Field(default_factory=dict)
    found: dict[int, int | None] = Field(default_factory=dict, description="C* as a level, by milestone index")
    slots: int = 0
    finished: str | None = None

    @property
    def milestone(self) -> float:
        """The threshold of good performance that is being climbed."""
        return self.terms.milestones[min(self.milestone_index, len(self.terms.milestones) - 1)]


def prefix_verdict(outcomes: list[bool | None], lineages_to_fail: int) -> LevelVerdict:
    """Read outcomes in index order: passed at the first verified program, failed after enough failures.

    `None` (undecided: lost to the machinery) is skipped, and counts for neither side.
    """
    if any(outcomes):
        return "passed"
    return "failed" if sum(outcome is False for outcome in outcomes) >= lineages_to_fail else "undecided"


def pass_rate_bound(passed: int, tried: int, false_negative: float) -> float:
    """Return the upper bound of a level's pass rate after `tried` conclusive lineages of which none passed.

    Zero passes in n have probability (1 - rate)^n, so rates above 1 - false_negative^(1/n) are excluded at that level
    (Clopper and Pearson 1934 at zero successes). With passes it returns 1: a found level needs no upper bound.
    """
    return 1.0 - false_negative ** (1.0 / tried) if tried and not passed else 1.0


def is_current(state: SearchState, event: LevelReport | MemberLost | MemberFailed) -> bool:
    """Whether the event speaks of the attempt that is running now; a late report of a fenced attempt is not."""
    if state.open is None or event.member not in state.open.members:
        return False
    member = state.open.members[event.member]
    return not member.done and member.attempt == event.attempt


def failed_below(state: SearchState) -> int:
    """Return the largest level that failed an easier milestone and was below its C*: it cannot pass a harder one."""
    found = state.found.get(state.milestone_index - 1)
    return -1 if found is None else found - 1


def _with_open(state: SearchState, **update: object) -> SearchState:
    assert state.open is not None
    return state.model_copy(update={"open": state.open.model_copy(update=update)})


def absorb(state: SearchState, event: LevelReport) -> SearchState:
    """Take a judged report into the open level."""
    assert state.open is not None
    level = state.open
    done = {**level.members, event.member: level.members[event.member].model_copy(update={"done": True})}
    costs = [cost for cost in (level.cheapest, event.cheapest_pass) if cost is not None]
    return _with_open(
        state,
        members=done,
        reports=[*level.reports, *(_outcome(event.member, report) for report in event.lineages)],
        cheapest=min(costs, default=None),
        training_flops=level.training_flops + event.training_flops,
    )


def _outcome(member: int, report: LineageReport) -> tuple[int, int, bool | None]:
    return report.lineage, member, report.passed if report.tried else None


def undecide(state: SearchState, member: int) -> SearchState:
    """Record that the member's lineages at the open level could not be decided."""
    assert state.open is not None
    lost = [(lineage, member, None) for lineage in state.open.members[member].lineages]
    return _with_open(state, reports=[*state.open.reports, *lost])


def drop(state: SearchState, member: int, reason: str) -> tuple[SearchState, list[Action]]:
    """Take a member out of the search, its open lineages being undecided already: never failed."""
    assert state.open is not None
    members = {**state.open.members, member: state.open.members[member].model_copy(update={"done": True})}
    state = _with_open(state, members=members)
    live = [other for other in state.live if other != member]
    update = {"dropped": {**state.dropped, member: reason}, "live": live}
    return state.model_copy(update=update), [Stop(member=member, reason=reason)]


def abandon(state: SearchState) -> SearchState:
    """Take what still runs at the open level as undecided."""
    assert state.open is not None
    for number, member in state.open.members.items():
        state = state if member.done else undecide(state, number)
    return state


def unmet(history: list[LevelOutcome]) -> str:
    """Name the end of a search that met no milestone: the largest budget failed, or it could not be decided."""
    return "exhausted" if history and history[-1].verdict == "failed" else "undecided"


def fresh_lineages(state: SearchState, member: int) -> tuple[SearchState, list[int]]:
    """Take the member's next lineage indices."""
    first = state.next_lineage[member]
    fresh = list(range(first, first + state.population.replicas))
    return state.model_copy(update={"next_lineage": {**state.next_lineage, member: first + len(fresh)}}), fresh


def _donor(state: SearchState, member: int, level: int) -> int | None:
    """Return the visit whose weights a member inherits: the nearest passing level at or above, else the nearest below.

    Coming down from a budget that passed reaches the least budget in more lineages than growing to it from below, so a
    level that failed on the way up is taken up again from above, not from its own failure.
    """
    carried = state.lineages[member]
    donors = [outcome for outcome in state.history if outcome.members.get(member) == carried]
    above = [outcome for outcome in donors if outcome.level >= level and outcome.verdict == "passed"]
    below = [outcome for outcome in donors if outcome.level <= level]
    if above:
        return min(above, key=lambda outcome: (outcome.level, -outcome.visit)).visit
    return max(below, key=lambda outcome: (outcome.level, outcome.visit)).visit if below else None


def _assignment(state: SearchState, number: int, member: OpenMember) -> Assignment:
    assert state.open is not None
    listed = next(entry for entry in state.population.members if entry.member == number)
    budget = listed.budgets[state.open.level]
    assert budget is not None
    return Assignment(
        member=number,
        visit=state.open.visit,
        level=state.open.level,
        attempt=member.attempt,
        milestone=state.milestone,
        budget=budget,
        config=listed.config,
        lineages=member.lineages,
        seeds=[derive_seed(state.terms.seed, number, lineage) for lineage in member.lineages],
        init_from=member.init_from,
    )


def assign(
    state: SearchState, members: dict[int, OpenMember], *, restart: bool = False
) -> tuple[SearchState, list[Action]]:
    """Give every member a new attempt: a Start for those without a live trial (or `restart`), else a SetBudget."""
    assert state.open is not None
    attempts, live = state.attempts, list(state.live)
    numbered: dict[int, OpenMember] = {}
    for number, member in members.items():
        attempts += 1
        numbered[number] = member.model_copy(update={"attempt": attempts, "done": False})
    state = _with_open(state, members={**state.open.members, **numbered})
    actions: list[Action] = []
    for number, member in numbered.items():
        assignment = _assignment(state, number, member)
        known = number in live and not restart
        actions.append(SetBudget(assignment=assignment) if known else Start(assignment=assignment))
        if number not in live:
            live.append(number)
    return state.model_copy(update={"attempts": attempts, "live": live}), actions


def open_level(state: SearchState, level: int, phase: str) -> tuple[SearchState, list[Action]]:
    """Open a level for every member whose configuration fits it; the others are parked."""
    fitting = [
        entry.member
        for entry in state.population.members
        if entry.member not in state.dropped and entry.budgets[level] is not None
    ]
    base = {member: state.lineages[member] for member in fitting}
    members = {
        member: OpenMember(attempt=0, lineages=base[member], init_from=_donor(state, member, level))
        for member in fitting
    }
    opened = OpenLevel(visit=len(state.history), level=level, phase=phase, members={}, base=base)
    parked = [member for member in state.live if member not in fitting]
    state = state.model_copy(update={"open": opened, "live": [member for member in state.live if member in fitting]})
    state, actions = assign(state, members)
    return state, [*(Park(member=member) for member in parked), *actions]


def extend(state: SearchState) -> tuple[SearchState, list[Action]] | None:
    """Give a level that neither passed nor failed further lineages, or return None when it is to be closed."""
    assert state.open is not None
    level = state.open
    available = [member for member in level.members if member not in state.dropped]
    verdict = prefix_verdict(
        [row[2] for row in sorted(level.reports, key=lambda r: r[:2])], state.terms.lineages_to_fail
    )
    cohort = sum(len(lineages) for lineages in level.base.values())
    enough = cohort and ceil(state.terms.lineages_to_fail / cohort) + SPARE_EXTENSIONS
    if verdict != "undecided" or level.extensions >= enough or not available:
        return None
    further: dict[int, OpenMember] = {}
    for member in available:
        state, fresh = fresh_lineages(state, member)
        further[member] = OpenMember(attempt=0, lineages=fresh, init_from=None)
    state = _with_open(state, extensions=level.extensions + 1)
    return assign(state, further)


def close_level(state: SearchState) -> SearchState:
    """Turn the open level into an outcome. Lineages are read in index order, so arrival order changes nothing."""
    assert state.open is not None
    level = state.open
    rows = sorted(level.reports, key=lambda row: row[:2])
    verdict = prefix_verdict([row[2] for row in rows], state.terms.lineages_to_fail)
    tried = sum(row[2] is not None for row in rows)
    passed = sum(row[2] is True for row in rows)
    found = None
    if verdict == "passed":
        covering = level.level if level.cheapest is None else state.space.covering(level.cheapest)
        found = min(level.level, covering)
    outcome = LevelOutcome(
        visit=level.visit,
        level=level.level,
        cap=state.space.caps[level.level],
        milestone=state.milestone,
        phase=level.phase,
        verdict=verdict,
        found_level=found,
        tried=tried,
        passed=passed,
        undecided=len(rows) - tried,
        pass_rate_high=pass_rate_bound(passed, tried, state.terms.false_negative),
        members=level.base,
        conclusive=[row[:2] for row in rows if row[2] is not None],
        passing=[row[:2] for row in rows if row[2]],
        training_flops=level.training_flops,
    )
    return state.model_copy(update={"history": [*state.history, outcome], "open": None})


def reissue(state: SearchState) -> tuple[SearchState, list[Action]]:
    """After a restore no trial is alive: start again what was running, under new attempts, with the same seeds."""
    state = state.model_copy(update={"live": []})
    if state.open is None:
        return state, []
    running = {number: member for number, member in state.open.members.items() if not member.done}
    return assign(state, running, restart=True)
