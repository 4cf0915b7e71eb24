"""What a search could take: the study's own schedule, carried out in worlds in which some budgets pass and some do not.

Where the answer lies is not known, so it lies everywhere: at every part of the ladder or nowhere, the same for all
lineages or different for each. What the task proves to fail fails. No lineage is trained; each is priced, from its
first possible end to its last. The least of the worlds' least and the most of their most are what is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from statistics import NormalDist, median
from typing import TYPE_CHECKING, NamedTuple

from sp_search.assembly import parts_of
from sp_search.events import Action, Capacity, LimitReached, Park, Propose, Proposed, SetBudget, Start, Stop
from sp_search.plan import Plan, proposal_space, trial_bill
from sp_search.records import Assignment, Count, LevelReport, LineageMeasurement, Measured, Sample, derive_seed
from sp_search.search import Search
from sp_search.spans import Span, total

if TYPE_CHECKING:
    from sp_search.proposals import ProposalSpace
    from sp_search.study import Study
    from sp_search.train.trial_bill import TrialBill

ANSWERS = 9
"""Places of the ladder at which an answer is imagined, beside nowhere."""
SPREADS = (0.0, 0.5, 2.0)
"""By how many levels (a standard deviation) lineages differ in what they need."""
MOST_TRIALS = 4_000
"""Of all worlds together: a plan has to be there in seconds."""


class Trial(NamedTuple):
    """A trial of an imagined search: by lineage whether it passed, or None where its level closed before it ended."""

    assignment: Assignment
    passed: tuple[bool, ...] | None


class Imagined(NamedTuple):
    """One imagined search."""

    trials: list[Trial]
    visits: list[int]


class Foreseen(NamedTuple):
    """What a search could take; `middle` is the median over the imagined searches of the middle of each."""

    searches: int
    trials: Span
    training_flops: Span
    training_middle: float
    verification_flops: Span


class Prices:
    """Prices a study's trials, each kind of them once."""

    def __init__(self, study: Study) -> None:
        """Price the trials of `study`."""
        self._study = study
        self._known: dict[str, TrialBill] = {}

    def of(self, assignment: Assignment) -> TrialBill:
        """Return the bill of each of an assignment's lineages."""
        fresh, axis = assignment.init_from is None, assignment.budget.axis
        key = repr((assignment.config, axis, fresh))
        if key not in self._known:
            own = parts_of(self._study.model, self._study.prior, assignment.config)
            self._known[key] = trial_bill(self._study, own, axis, fresh=fresh)
        return self._known[key]

    def training(self, trial: Trial) -> Span:
        """Return what a trial's training costs; one that was cut may not have begun, or be about to end."""
        bill = self.of(trial.assignment)
        if trial.passed is None:
            most = max(bill.training(passed=passed).most for passed in (False, True))
            return Span(0.0, most * len(trial.assignment.lineages))
        return total(bill.training(passed=passed) for passed in trial.passed)

    def verification(self, trial: Trial) -> Span:
        """Return what a trial's verification costs."""
        bill = self.of(trial.assignment)
        if trial.passed is None:
            return Span(0.0, bill.verification(passed=True).most * len(trial.assignment.lineages))
        return total(bill.verification(passed=passed) for passed in trial.passed)


def foresee(study: Study, searches: list[Imagined], prices: Prices) -> Foreseen:
    """Return what the imagined searches cost together with the study's limits."""
    training = [total(map(prices.training, one.trials)) for one in searches]
    verified = [total(map(prices.verification, one.trials)) for one in searches]
    count = [Span(sum(trial.passed is not None for trial in one.trials), len(one.trials)) for one in searches]
    limit = study.limits.search_flops
    if limit is not None:  # the trials that reach it are heard to their end
        last = max(prices.training(trial).most for one in searches for trial in one.trials)
        training = [Span(min(one.least, limit), min(one.most, limit + last)) for one in training]
    middle = median((one.least + one.most) / 2 for one in training)
    return Foreseen(len(searches), ends(count), ends(training), middle, ends(verified))


def ends(spans: list[Span]) -> Span:
    """Return the least and the most of several."""
    return Span(min(one.least for one in spans), max(one.most for one in spans))


def imagine(study: Study, plan: Plan) -> list[Imagined]:
    """Return searches of the study in worlds that differ in where the answer lies and in how alike lineages are."""
    found: list[Imagined] = []
    levels, trials = len(plan.space.caps), 0
    places = [round(index * (levels - 1) / (ANSWERS - 1)) for index in range(ANSWERS)]
    answers: list[float] = [*dict.fromkeys(places), inf]
    space = None if study.search is None else proposal_space(study, study.search)
    for spread in SPREADS:
        for number, answer in enumerate(answers):
            if trials > MOST_TRIALS:
                return found
            seed = derive_seed(study.seed, "foresight", spread, number)
            found.append(_searched(study, plan, _World(study, plan, answer, spread, seed), space))
            trials += len(found[-1].trials)
    return found


class _World:
    """Says which lineages pass at which level: from their own need on, which lies about that of the world."""

    def __init__(self, study: Study, plan: Plan, answer: float, spread: float, seed: int) -> None:
        self.study, self.plan, self.spread, self.seed = study, plan, spread, seed
        self.answers, last = {}, answer
        for milestone in plan.terms.milestones:  # a harder one needs no less
            self.answers[milestone] = last
            last += _lot(seed, "harder", milestone) * (len(plan.space.caps) - last) / 2 if last < inf else 0.0

    def measured(self, assignment: Assignment) -> tuple[Measured, tuple[bool, ...]]:
        """Return what a trial measures, and which of its lineages pass."""
        passed = tuple(self._passes(assignment, lineage) for lineage in assignment.lineages)
        lineages = [
            LineageMeasurement(
                lineage=lineage, seed=seed, ended="reached" if good else "exhausted", train_steps=1,
                gates={"imagined": Count(correct=1, n=1, exact=True)} if good else {},
                compute=self._compute(assignment), max_available_flops=0.0, parameters=0, serial_depth=0,
            )
            for lineage, seed, good in zip(assignment.lineages, assignment.seeds, passed, strict=True)
        ]  # fmt: skip
        found = Measured(
            member=assignment.member, visit=assignment.visit, level=assignment.level, attempt=assignment.attempt,
            lineages=lineages, training_flops=0.0, verification_flops=0.0,
        )  # fmt: skip
        return found, passed

    def _passes(self, assignment: Assignment, lineage: int) -> bool:
        if assignment.level < _proven_to_fail(self.study, self.plan, assignment):
            return False
        own = _normal(self.seed, assignment.member, lineage)
        luck = _normal(self.seed, assignment.member, lineage, assignment.visit) / 2
        return assignment.level >= self.answers[assignment.milestone] + self.spread * (own + luck)

    def _compute(self, assignment: Assignment) -> dict[str, Sample]:
        """Return what a program spends under a mean budget: its cap, or some of what the next smaller ones leave."""
        budget = assignment.budget
        if budget.kind == "max" or assignment.controls:
            return {} if budget.kind == "max" else {budget.measure: _always(budget.cap)}
        below = [cap for cap in self.plan.space.caps if cap < budget.cap]
        share = _lot(self.seed, assignment.member, assignment.visit) if self.spread else 0.0
        return {budget.measure: _always(budget.cap - share * (budget.cap - (below[-1] if below else 0.0)))}


def _always(compute: float) -> Sample:
    return Sample(
        mean=compute, variance=0.0, p95=compute, largest=compute, n=1, possible_low=compute, possible_high=compute,
        exact=True,
    )  # fmt: skip


def _proven_to_fail(study: Study, plan: Plan, assignment: Assignment) -> int:
    """Return the first level that the task does not prove to fail for a member (`Task.least_rollouts_for`)."""
    own = parts_of(study.model, study.prior, assignment.config)
    reach = own.model.reach()
    if plan.space.measure != "rollouts" or plan.space.kind != "max" or own.prior.rule().reads != "nothing":
        return 0
    if reach is None:
        return 0
    least = max(study.task.least_rollouts_for(gate, reach, assignment.milestone) for gate in study.selection.gates)
    return next((level for level, cap in enumerate(plan.space.caps) if cap >= least), len(plan.space.caps))


class _Chance:
    """Proposes points of a space by lot, from an imagined search's seed."""

    def __init__(self, space: ProposalSpace, seed: int) -> None:
        self.space, self.seed = space, seed

    def propose(self, request: Propose) -> Proposed:
        lots = {name: _lot(self.seed, request.member, name) for name in ("cap", *self.space.shares, *self.space.fields)}
        chosen = {name: _chosen(self.space, name, lots[name]) for name in self.space.fields}
        made = self.space.realise(lots | chosen, request.cap)
        if made is None:
            return Proposed(member=request.member, visit=request.visit)
        return Proposed(member=request.member, visit=request.visit, config=made.config, budget=made.budget)

    def accepted(self, proposed: Proposed) -> None:
        pass

    def judged(self, report: LevelReport) -> None:
        pass

    def ended(self, member: int, reason: str) -> None:
        pass


def _chosen(space: ProposalSpace, name: str, lot: float) -> object:
    dimension = space.fields[name]
    if dimension.low is None or dimension.high is None:
        return dimension.choices[int(lot * len(dimension.choices))]
    value = dimension.low + lot * (dimension.high - dimension.low)
    return round(value) if space.counts(name) else value


def _lot(*purpose: object) -> float:
    """Return a number from 0 to 1 that follows from what it is for."""
    return (derive_seed(0, *purpose) + 0.5) / 2**63


def _normal(*purpose: object) -> float:
    return NormalDist().inv_cdf(min(_lot(*purpose), 1 - 1e-12))


def _searched(study: Study, plan: Plan, world: _World, space: ProposalSpace | None) -> Imagined:
    """Return one search, one trial after another; what a level's verdict leaves waiting was cut."""
    proposer = None if space is None else _Chance(space, world.seed)
    search = Search(
        study.scheduler, plan.space, plan.population, plan.terms, study.selection.confidence, proposer=proposer
    )
    waiting: dict[int, Assignment] = {}
    asked: dict[int, Trial] = {}

    def take(actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Start() | SetBudget():
                    waiting[action.assignment.member] = action.assignment
                    asked[action.assignment.attempt] = Trial(action.assignment, None)
                case Park() | Stop():
                    waiting.pop(action.member, None)

    take(search.feed(Capacity(slots=plan.population.proposals or 1)))
    for assignment in _each(waiting, asked):
        if study.limits.trials is not None and search.trials >= study.limits.trials:
            take(search.feed(LimitReached(limit="trials")))
            break
        measured, passed = world.measured(assignment)
        asked[assignment.attempt] = Trial(assignment, passed)
        take(search.feed(measured))
        if search.state.finished is not None:
            break
    return Imagined(list(asked.values()), [outcome.level for outcome in search.state.history])


def _each(waiting: dict[int, Assignment], asked: dict[int, Trial]) -> Iterator[Assignment]:
    """Yield the assignment that has waited longest, until none waits or too many trials were asked for."""
    while waiting and len(asked) <= MOST_TRIALS:
        yield waiting.pop(next(iter(waiting)))
