"""Levels as plain data: what a study asks of its verdicts, a visit that is open, one that is closed, a whole search.

A visit opens a level for some lineages of every configuration, and reads them in order: *found* needs one verified
program, and closes the level at once (what still runs is cut, unless the visit wants to hear everybody). *Failed* needs
`lineages_to_fail` conclusive failures of every configuration. `cohorts` says who takes part, `visits` what happens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from sp_search.events import MemberFailed, MemberLost, Proposed
from sp_search.records import Donor, LevelReport, LevelSpace, Population, Record

LevelVerdict = Literal["passed", "failed", "undecided"]
Inheritance = Literal["off", "weights", "clones"]


class Terms(Record):
    """What a study asks of its verdicts: milestones to climb, and how much evidence a failure needs.

    Without `quorum` a level hears every trial that it began, also when its verdict is known already.
    """

    seed: int
    milestones: list[float] = Field(min_length=1)
    lineages_to_fail: int = Field(5, ge=1)
    false_negative: float = Field(0.05, gt=0, lt=1)
    max_retries: int = Field(2, ge=0)
    quorum: bool = True


class Visit(Record):
    """A decision: open this level, in this phase.

    `evidence` is how many conclusive failures of every configuration close the visit, `fresh` how many of them have to
    be of lineages that inherit nothing. `every`: go on after a pass, so that everybody is heard. `cheaper`: ask for
    nothing but proposals that compute less than what passed already.
    """

    level: int
    phase: str
    evidence: int = Field(ge=1)
    fresh: int = Field(0, ge=0)
    every: bool = False
    cheaper: bool = False


@dataclass(frozen=True, slots=True)
class Cohort:
    """Lineages of one member that were trained together: their state is stored under all of their indices.

    A search keeps one for every trial of its life, and a record would be three times as large.
    """

    lineages: list[int]
    passing: list[int] = field(default_factory=list)


class LevelOutcome(Record):
    """A closed visit: its verdict and aggregates. `found_level` is the least level that the cost found allows.

    The verdict is `failed` only with the evidence that a failure needs; a visit that asked for less is `undecided`.
    """

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
    cut: int = Field(0, description="lineages that were still running when the visit was closed")
    pass_rate_high: float = Field(description="upper bound of the pass rate at the study's false-negative rate")
    members: dict[int, Cohort] = Field(description="by member, the lineages whose weights a later visit may inherit")
    conclusive: list[tuple[int, int]] = Field(
        description="(root lineage, member) of every conclusive lineage, in index order; a clone adds none"
    )
    passing: list[tuple[int, int]] = Field(description="(root lineage, member) of the verified ones, in index order")
    fresh: list[tuple[int, int]] = Field(
        [], description="those that inherited nothing, of a visit in which none passed"
    )
    training_flops: float


class OpenMember(Record):
    """One member of the open level. `attempt` fences: a report with an older attempt is stale."""

    attempt: int
    lineages: list[int]
    init_from: Donor | None
    lost: int = 0
    replaced: int = 0
    done: bool = False


class Row(Record):
    """What is known of one lineage at the open level; `passed` None is undecided."""

    member: int
    lineage: int
    root: int
    fresh: bool
    passed: bool | None


class OpenLevel(Record):
    """The visit that is being searched now. `order` lists the members that are not heard yet, as they are to be read.

    `known` are failures of earlier visits of the level that were set aside: nobody is tried twice. Of a population of
    proposals, `wanted` is how many are still to be asked for, `asked` what is not answered yet.
    """

    visit: int
    plan: Visit
    members: dict[int, OpenMember] = Field(default_factory=dict)
    order: list[int] = Field(default_factory=list)
    cohorts: dict[int, Cohort] = Field(default_factory=dict)
    rows: list[Row] = Field(default_factory=list)
    known: list[Row] = Field(default_factory=list)
    cheapest: float | None = None
    training_flops: float = 0.0
    extensions: int = 0
    wanted: int = 0
    asked: list[int] = Field(default_factory=list)
    proposals: dict[int, Proposed] = Field(default_factory=dict)

    @property
    def level(self) -> int:
        """The index of its cap."""
        return self.plan.level

    @property
    def phase(self) -> str:
        """Where the schedule is."""
        return self.plan.phase


class SearchState(Record):
    """The whole state of a search, plain JSON."""

    space: LevelSpace
    population: Population
    terms: Terms
    inherit: Inheritance = "weights"
    milestone_index: int = 0
    history: list[LevelOutcome] = Field(default_factory=list)
    open: OpenLevel | None = None
    attempts: int = 0
    lineages: dict[int, list[int]] = Field(
        default_factory=dict,
        description="the lineages that a member carries: heard of last, but for fresh ones that failed after others",
    )
    next_lineage: dict[int, int] = Field(default_factory=dict)
    roots: dict[int, dict[int, int]] = Field(default_factory=dict, description="by member, the root of every clone")
    next_member: int = 0
    live: list[int] = Field(default_factory=list, description="members with a trial")
    dropped: dict[int, str] = Field(default_factory=dict)
    left: dict[int, int] = Field(
        default_factory=dict, description="by dropped member, the first of the fresh lineages that it left unjudged"
    )
    set_aside: list[int] = Field(
        default_factory=list, description="visits whose failures do not count any more: more is asked than they say"
    )
    gaps: bool = Field(False, description="whether members joined whose prices the ladder was not made of")
    found: dict[int, int | None] = Field(default_factory=dict, description="C* as a level, by milestone index")
    slots: int = 0
    finished: str | None = None

    @property
    def milestone(self) -> float:
        """The threshold of good performance that is being climbed."""
        return self.terms.milestones[min(self.milestone_index, len(self.terms.milestones) - 1)]


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


def counts(state: SearchState, outcome: LevelOutcome) -> bool:
    """Whether a closed visit still says something: a pass always does, a failure unless it was set aside."""
    return bool(outcome.passed) or outcome.visit not in state.set_aside


def failed_below(state: SearchState) -> int:
    """Return the largest level that failed an easier milestone and was below its C*: it cannot pass a harder one."""
    found = state.found.get(state.milestone_index - 1)
    if found is None or any(not counts(state, one) and one.milestone < state.milestone for one in state.history):
        return -1
    return found - 1


def running(state: SearchState) -> list[int]:
    """Return the members of the open level that are not heard yet, in the order in which they are read."""
    return [] if state.open is None else state.open.order


def with_open(state: SearchState, **update: object) -> SearchState:
    """Return the state with fields of its open level changed."""
    assert state.open is not None
    return state.model_copy(update={"open": state.open.model_copy(update=update)})


def configuration(state: SearchState, member: int) -> int:
    """Return the first member that is configured alike: lineages of equal configurations are evidence together."""
    return 0 if state.population.proposals else state.population.alike[member]


def failures(state: SearchState) -> dict[int, dict[tuple[int, int], bool]]:
    """Return by configuration the (member, root) of every conclusive failure, and whether it inherited nothing."""
    assert state.open is not None
    failed: dict[int, dict[tuple[int, int], bool]] = {}
    for row in [*state.open.known, *state.open.rows]:
        if row.passed is False:
            failed.setdefault(configuration(state, row.member), {})[row.member, row.root] = row.fresh
    return failed


def unmet(history: list[LevelOutcome]) -> str:
    """Name the end of a search that met no milestone: the largest budget failed, or it could not be decided."""
    return "exhausted" if history and history[-1].verdict == "failed" else "undecided"
