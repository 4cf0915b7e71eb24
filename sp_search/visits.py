"""What happens in a visit, as pure transitions: open a level, take reports in, lose and replace, close with a verdict.

A visit that lacks the evidence of a failure is given fresh lineages. What the machinery lost is issued again with the
same seeds; after `max_retries` its lineages are *undecided* and the next indices take their place. An infrastructure
failure is never evidence that a budget holds no good program.
"""

from __future__ import annotations

from sp_search.cohorts import fitting, fresh_cohort, next_cohorts
from sp_search.events import Action, Park, Propose, Proposed, SetBudget, Start, Stop
from sp_search.levels import (
    Cohort,
    LevelOutcome,
    LevelVerdict,
    OpenLevel,
    OpenMember,
    Row,
    SearchState,
    Visit,
    configuration,
    counts,
    failures,
    pass_rate_bound,
    with_open,
)
from sp_search.records import Assignment, Budget, LevelReport, derive_seed

SPARE_EXTENSIONS = 2
"""Further rounds of fresh lineages, for a level that loses some to the machinery."""


def _heard(state: SearchState, member: int, rows: list[Row], **update: object) -> SearchState:
    """Mark a member of the open level as heard, with what is known of its lineages."""
    level = state.open
    assert level is not None
    members = {**level.members, member: level.members[member].model_copy(update={"done": True})}
    order = [other for other in level.order if other != member]
    return with_open(state, members=members, order=order, rows=level.rows + rows, **update)


def _rows(state: SearchState, member: int, passed: dict[int, bool | None]) -> list[Row]:
    assert state.open is not None
    roots, fresh = state.roots.get(member, {}), state.open.members[member].init_from is None
    return [
        Row(member=member, lineage=lineage, root=roots.get(lineage, lineage), fresh=fresh, passed=outcome)
        for lineage, outcome in passed.items()
    ]


def absorb(state: SearchState, event: LevelReport) -> SearchState:
    """Take a judged report into the open level."""
    level = state.open
    assert level is not None
    costs = [cost for cost in (level.cheapest, event.cheapest_pass) if cost is not None]
    passed = {report.lineage: report.passed if report.tried else None for report in event.lineages}
    cohort = Cohort(lineages=list(passed), passing=[lineage for lineage, outcome in passed.items() if outcome])
    known = level.cohorts.get(event.member)
    better = known is None or (bool(cohort.passing) and not known.passing)
    return _heard(
        state,
        event.member,
        _rows(state, event.member, passed),
        cohorts={**level.cohorts, event.member: cohort} if better else level.cohorts,
        cheapest=min(costs, default=None),
        training_flops=level.training_flops + event.training_flops,
    )


def undecide(state: SearchState, member: int) -> SearchState:
    """Record that the member's lineages at the open level could not be decided."""
    assert state.open is not None
    lost = dict.fromkeys(state.open.members[member].lineages, None)
    return with_open(state, rows=state.open.rows + _rows(state, member, lost))


def drop(state: SearchState, member: int, reason: str) -> tuple[SearchState, list[Action]]:
    """Take a member out of the search, its open lineages being undecided already: never failed."""
    state = _heard(state, member, [])
    assert state.open is not None
    live = [other for other in state.live if other != member]
    dropped = state.dropped if state.population.proposals else {**state.dropped, member: reason}
    mine = state.open.members[member]
    left = {**state.left, member: mine.lineages[0]} if mine.init_from is None else state.left
    state = state.model_copy(update={"dropped": dropped, "left": left, "live": live})
    return state, [Stop(member=member, reason=reason)]


def retire(state: SearchState, member: int) -> tuple[SearchState, list[Action]]:
    """End the trial of a proposal that was heard."""
    live = [other for other in state.live if other != member]
    return state.model_copy(update={"live": live}), [Stop(member=member, reason="measured")]


def _assignment(state: SearchState, number: int, member: OpenMember) -> Assignment:
    level = state.open
    assert level is not None
    config, budget = _asked(state, number)
    return Assignment(
        member=number,
        visit=level.visit,
        level=level.level,
        attempt=member.attempt,
        milestone=state.milestone,
        budget=budget,
        config=config,
        lineages=member.lineages,
        seeds=[derive_seed(state.terms.seed, number, lineage) for lineage in member.lineages],
        init_from=member.init_from,
        controls=state.space.controls[level.level] if state.space.controls else {},
    )


def _asked(state: SearchState, number: int) -> tuple[dict[str, object], Budget]:
    """Return a member's configuration and its budget at the open level."""
    level = state.open
    assert level is not None
    if state.population.proposals:
        config, budget = level.proposals[number].config, level.proposals[number].budget
    else:
        listed = state.population.members[number]
        config, budget = listed.config, listed.budgets[level.level]
    assert budget is not None
    return config, budget


def assign(
    state: SearchState, members: dict[int, OpenMember], *, restart: bool = False
) -> tuple[SearchState, list[Action]]:
    """Give every member a new attempt: a Start for those without a live trial (or `restart`), else a SetBudget."""
    assert state.open is not None
    attempts, live = state.attempts, dict.fromkeys(state.live)
    numbered: dict[int, OpenMember] = {}
    for number, member in members.items():
        attempts += 1
        numbered[number] = member.model_copy(update={"attempt": attempts, "done": False})
    order = state.open.order + [number for number in numbered if number not in state.open.order]
    state = with_open(state, members={**state.open.members, **numbered}, order=order)
    actions: list[Action] = []
    for number, member in numbered.items():
        assignment = _assignment(state, number, member)
        known = number in live and not restart
        actions.append(SetBudget(assignment=assignment) if known else Start(assignment=assignment))
        live[number] = None
    return state.model_copy(update={"attempts": attempts, "live": list(live)}), actions


def open_level(state: SearchState, visit: Visit) -> tuple[SearchState, list[Action]]:
    """Open a level for as many lineages of every configuration that fits it as the visit asks for; park the others."""
    known = _known(state, visit.level)
    state = state.model_copy(update={"open": OpenLevel(visit=len(state.history), plan=visit, known=known)})
    if state.population.proposals:
        return ask(with_open(state, wanted=state.population.proposals))
    carried = visit.evidence - visit.fresh
    count = carried if carried > 0 else visit.evidence
    lacking = _lacking(state)
    missing = {group: min(count, max(0, lacks)) for group, lacks in lacking.items()}
    state, members = next_cohorts(state, missing, fresh=carried <= 0)
    parked = [member for member in state.live if member not in members]
    live = [member for member in state.live if member in members]
    state, actions = assign(state.model_copy(update={"live": live}), members)
    return state, [*(Park(member=member) for member in parked), *actions]


def _known(state: SearchState, level: int) -> list[Row]:
    """Return the failures at a level, and the milestone, of visits that were set aside."""
    return [
        Row(member=member, lineage=root, root=root, fresh=(root, member) in one.fresh, passed=False)
        for one in state.history
        if one.level == level and one.milestone == state.milestone and not counts(state, one)
        for root, member in one.conclusive
    ]


def _lacking(state: SearchState) -> dict[int, int]:
    """Return by configuration that fits how many failures the open level lacks, fresh ones among them."""
    level, failed, lacking = state.open, failures(state), {}
    assert level is not None
    for member in fitting(state):
        own = failed.get(configuration(state, member), {})
        missing = max(level.plan.evidence - len(own), level.plan.fresh - sum(own.values()))
        lacking[configuration(state, member)] = missing
    return lacking


def ask(state: SearchState) -> tuple[SearchState, list[Action]]:
    """Ask for as many proposals as can run now."""
    level = state.open
    assert level is not None
    count = min(level.wanted, state.slots - len(level.order) - len(level.asked))
    numbers = list(range(state.next_member, state.next_member + max(0, count)))
    state = with_open(state, wanted=level.wanted - len(numbers), asked=level.asked + numbers)
    state = state.model_copy(update={"next_member": state.next_member + len(numbers)})
    return state, [_propose(state, number) for number in numbers]


def _propose(state: SearchState, number: int) -> Propose:
    level = state.open
    assert level is not None
    cap = state.space.caps[level.level]
    if level.plan.cheaper and level.cheapest is not None:
        cap = min(cap, level.cheapest * (1 - 1e-9))
    return Propose(member=number, visit=level.visit, level=level.level, cap=cap, milestone=state.milestone)


def answer(state: SearchState, event: Proposed) -> tuple[SearchState, list[Action]]:
    """Take a proposal in. Where nothing fits, nothing more is asked for at this visit."""
    level = state.open
    if level is None or event.member not in level.asked:
        return state, []
    asked = [number for number in level.asked if number != event.member]
    if event.budget is None:
        return with_open(state, asked=asked, wanted=0), []
    state = with_open(state, asked=asked, proposals={**level.proposals, event.member: event})
    state, member = fresh_cohort(state, event.member, state.population.replicas)
    return assign(state, {event.member: member})


def extend(state: SearchState) -> tuple[SearchState, list[Action]] | None:
    """Give a level that lacks evidence fresh lineages, or return None when it is to be closed."""
    level = state.open
    assert level is not None
    if state.population.proposals or any(row.passed for row in level.rows):
        return None
    missing = _lacking(state)
    rounds = -(-(level.plan.evidence + level.plan.fresh) // state.population.replicas) + SPARE_EXTENSIONS
    if max(missing.values(), default=0) <= 0 or level.extensions >= rounds:
        return None
    state, members = next_cohorts(state, missing, fresh=True)
    return assign(with_open(state, extensions=level.extensions + 1), members)


def decided(state: SearchState) -> bool:
    """Whether the open level has a verdict although trials of it still run."""
    level = state.open
    assert level is not None
    return state.terms.quorum and not level.plan.every and level.cheapest is not None


def close_level(state: SearchState) -> tuple[SearchState, list[Action]]:
    """Turn the open level into an outcome, and cut what still runs. The order of arrival changes nothing."""
    level = state.open
    assert level is not None
    rows = sorted([*level.known, *level.rows], key=lambda row: (row.root, row.member, row.lineage))
    conclusive = list(dict.fromkeys((row.root, row.member) for row in rows if row.passed is not None))
    passed = {(row.root, row.member) for row in rows if row.passed}
    passing = [pair for pair in conclusive if pair in passed]
    unaided = set() if passing else {(row.root, row.member) for row in rows if row.fresh and row.passed is False}
    found = None
    if passing:
        priced = level.cheapest is not None and not state.space.controls
        found = min(level.level, state.space.covering(level.cheapest) if priced else level.level)  # type: ignore[arg-type]
    # Validation would copy every pair, and double what a long search holds.
    outcome = LevelOutcome.model_construct(
        visit=level.visit,
        level=level.level,
        cap=state.space.caps[level.level],
        milestone=state.milestone,
        phase=level.phase,
        verdict="passed" if passing else _failed_or_undecided(state),
        found_level=found,
        tried=len(conclusive),
        passed=len(passing),
        undecided=sum(row.passed is None for row in rows),
        cut=sum(len(level.members[member].lineages) for member in level.order),
        pass_rate_high=pass_rate_bound(len(passing), _least_failures(state), state.terms.false_negative),
        members={} if state.population.proposals else level.cohorts,
        conclusive=conclusive,
        passing=passing,
        fresh=[pair for pair in conclusive if pair in unaided],
        training_flops=level.training_flops,
    )
    spare = {(row.member, row.lineage) for row in level.rows if row.fresh and not level.members[row.member].replaced}
    carried = {
        member: cohort.lineages
        for member, cohort in level.cohorts.items()
        if cohort.passing or member not in state.lineages or (member, cohort.lineages[0]) not in spare
    }
    cut = [member for member in level.order if member in state.live]
    state = state.model_copy(update={"history": [*state.history, outcome], "open": None})
    if not state.population.proposals:
        return state.model_copy(update={"lineages": {**state.lineages, **carried}}), [Park(member=m) for m in cut]
    live = [member for member in state.live if member not in cut]
    return state.model_copy(update={"live": live}), [Stop(member=member, reason="cut") for member in cut]


def _failed_or_undecided(state: SearchState) -> LevelVerdict:
    level = state.open
    assert level is not None
    heard = not (level.wanted or level.asked or level.order)
    return "failed" if heard and _least_failures(state) >= state.terms.lineages_to_fail else "undecided"


def _least_failures(state: SearchState) -> int:
    """Return the failures of the configuration that has fewest, of all that fit: also those whose members left."""
    level, failed = state.open, failures(state)
    assert level is not None
    if state.population.proposals:
        return len(failed.get(0, ()))
    groups = {configuration(state, one.member) for one in state.population.members if one.budgets[level.level]}
    return min((len(failed.get(group, ())) for group in groups), default=0)


def reissue(state: SearchState) -> tuple[SearchState, list[Action]]:
    """After a restore no trial is alive: start again what was running, under new attempts, with the same seeds."""
    state = state.model_copy(update={"live": []})
    if state.open is None:
        return state, []
    asked: list[Action] = [_propose(state, number) for number in state.open.asked]
    again = {number: state.open.members[number] for number in state.open.order}
    state, actions = assign(state, again, restart=True)
    return state, [*asked, *actions]
