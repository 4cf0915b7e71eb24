"""Every scheduler under whatever may happen, in any order: reports, losses, failures, crashes, restores, a limit, and
what people ask of it: to stop a member, to add one, to try again, to go on.

Hypothesis plays the cluster. A second search takes the same events with its state read back from JSON before each one,
and calm runs (nothing lost for good) have to end as if every report had come in order.
"""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sp_search.drive.simulated import World
from sp_search.events import (
    Capacity,
    Extended,
    Finish,
    LimitReached,
    MemberAdded,
    MemberFailed,
    MemberLost,
    MemberStopped,
    Park,
    Parked,
    Restored,
    Retried,
    SetBudget,
    Start,
    Stop,
)
from sp_search.levels import SearchState, Terms
from sp_search.plugins import discover
from sp_search.records import Assignment, Budget, LevelSpace, Member, Population, derive_seed
from sp_search.search import Search

ENOUGH = 5000
"""Reports after which a search that has not ended never will: 12 levels, 2 milestones, few lineages."""


class Grades:
    """Lineages that pass the first milestone from one level on and the second from another, each with a chance."""

    def __init__(self, levels: int, easy: int, hard: int, percent: int) -> None:
        self.levels = [2.0 ** (level / 2) for level in range(levels)]
        self.easy, self.hard, self.percent = 2.0 ** (easy / 2), 2.0 ** (hard / 2), percent

    def cost(self, budget: float) -> float:
        return budget

    def passes(self, budget: float, seed: int) -> bool:
        return self.accuracy(budget, seed) > 0.9

    def accuracy(self, budget: float, seed: int) -> float:
        lucky = derive_seed(seed, budget) % 100 < self.percent
        return 0.0 if not lucky or budget < self.easy else 0.7 if budget < self.hard else 0.99


class Cluster(RuleBasedStateMachine):
    """What runs, what was cut and has not answered yet, and what was answered, by attempt."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.scheduler = discover("schedulers")[kind]()

    @initialize(
        levels=st.integers(1, 12),
        easy=st.integers(0, 12),
        harder=st.integers(0, 4),
        percent=st.sampled_from([0, 30, 70, 100]),
        smallest=st.lists(st.integers(0, 3), min_size=0, max_size=3),
        replicas=st.integers(1, 2),
        to_fail=st.integers(1, 4),
        quorum=st.booleans(),
        calm=st.booleans(),
    )
    def begin(
        self,
        levels: int,
        easy: int,
        harder: int,
        percent: int,
        smallest: list[int],
        replicas: int,
        to_fail: int,
        quorum: bool,
        calm: bool,
    ) -> None:
        oracle = Grades(levels, easy, easy + harder, percent)
        self.world, self.calm = World(oracle, 0), calm
        self.space = LevelSpace(kind="max", measure="flops", axis="rollouts", caps=oracle.levels)
        budgets = [Budget(kind="max", measure="flops", cap=cap) for cap in oracle.levels]
        listed = [
            Member(member=index, config={"width": low}, budgets=[None] * low + budgets[low:])
            for index, low in enumerate([0, *(min(low, levels) for low in smallest)])
        ]
        self.population = Population(members=listed, replicas=replicas)
        self.members, self.milestones = listed, [0.5, 0.9]
        self.terms = Terms(seed=1, milestones=[0.5, 0.9], lineages_to_fail=to_fail, max_retries=1, quorum=quorum)
        self.ledger: list[dict[str, object]] = []
        self.search, self.twin = self.new_search(self.ledger), self.new_search([])
        self.running: dict[int, Assignment] = {}
        self.cut: dict[int, Assignment] = {}
        self.answered: list[Assignment] = []
        self.feed(Capacity(slots=3))

    def new_search(self, ledger: list[dict[str, object]]) -> Search:
        def append(entry: dict[str, object]) -> None:
            ledger.append({"seq": len(ledger), **entry})

        return Search(self.scheduler, self.space, self.population, self.terms, 0.99, append)

    def feed(self, event: object) -> None:
        actions = self.search.feed(event)
        self.twin.state = SearchState.model_validate_json(self.twin.state.model_dump_json())
        assert self.twin.feed(event) == actions
        assert self.twin.state == self.search.state
        for action in actions:
            match action:
                case Start() | SetBudget():
                    self.accept(action.assignment)
                case Park() | Stop():
                    gone = [attempt for attempt, own in self.running.items() if own.member == action.member]
                    self.cut |= {attempt: self.running.pop(attempt) for attempt in gone}
                case Finish():
                    self.running.clear()

    def accept(self, assignment: Assignment) -> None:
        budget = self.members[assignment.member].budgets[assignment.level]
        assert assignment.budget == budget, "trained at a budget that is not its own at that level"
        assert all(own.member != assignment.member for own in self.running.values()), "two trials of one member"
        self.running[assignment.attempt] = assignment

    def answer(self, which: int) -> Assignment:
        assignment = self.running.pop(sorted(self.running)[which % len(self.running)])
        self.answered.append(assignment)
        return assignment

    def going_on(self) -> bool:
        return self.search.state.finished is None

    @precondition(going_on)
    @rule(which=st.integers(0, 11))
    def hear(self, which: int) -> None:
        self.feed(self.world.measure(self.answer(which)))

    @precondition(going_on)
    @rule(which=st.integers(0, 11))
    def lose(self, which: int) -> None:
        lost = self.running[sorted(self.running)[which % len(self.running)]]
        opened = self.search.state.open
        assert opened is not None
        if not self.calm or opened.members[lost.member].lost < self.terms.max_retries:
            self.answer(which)
            self.feed(MemberLost(member=lost.member, attempt=lost.attempt, reason="node"))

    @precondition(lambda self: self.going_on() and not self.calm)
    @rule(which=st.integers(0, 11))
    def fail(self, which: int) -> None:
        failed = self.answer(which)
        self.feed(MemberFailed(member=failed.member, attempt=failed.attempt, reason="its code raised"))

    @precondition(lambda self: self.cut)
    @rule(measured=st.booleans())
    def hear_of_what_was_cut(self, measured: bool) -> None:
        attempt, own = self.cut.popitem()
        self.answered.append(own)
        parked = Parked(member=own.member, attempt=attempt, training_flops=1.0)
        self.feed(self.world.measure(own) if measured else parked)

    @precondition(lambda self: self.answered)
    @rule(which=st.integers(0, 50))
    def hear_again(self, which: int) -> None:
        before, lines = self.search.state, len(self.ledger)
        self.feed(self.world.measure(self.answered[which % len(self.answered)]))
        assert (self.search.state, len(self.ledger)) == (before, lines)

    @rule(slots=st.integers(1, 5))
    def resize(self, slots: int) -> None:
        self.feed(Capacity(slots=slots))

    @rule()
    def die_and_come_back(self) -> None:
        restored = self.new_search(self.ledger)
        lines = list(self.ledger)
        restored.replay(lines)
        assert restored.state == self.search.state
        assert self.ledger == lines, "a replay writes nothing"
        self.search = restored
        before = {(own.member, own.visit, *own.lineages) for own in self.running.values()}
        self.running.clear()
        self.cut.clear()
        self.feed(Restored())
        assert {(own.member, own.visit, *own.lineages) for own in self.running.values()} == before

    @precondition(lambda self: self.going_on() and not self.calm and len(self.answered) > 4)
    @rule()
    def reach_a_limit(self) -> None:
        self.feed(LimitReached(limit="seconds"))
        assert not self.going_on()

    @precondition(lambda self: self.going_on() and not self.calm and self.members)
    @rule(which=st.integers(0, 5))
    def stop_a_member(self, which: int) -> None:
        member = which % len(self.members)
        self.feed(MemberStopped(member=member, by="ada"))
        assert member in self.search.state.dropped
        assert all(own.member != member for own in self.running.values())

    @precondition(lambda self: not self.calm and len(self.members) < 6)
    @rule(low=st.integers(0, 3))
    def add_a_member(self, low: int) -> None:
        known = self.members[0].budgets
        budgets = [None] * min(low, len(known)) + list(known[low:])
        added = Member(member=len(self.members), config={"width": 100 + low}, budgets=budgets)
        self.members = [*self.members, added]
        passes = self.passes()
        self.feed(MemberAdded(added=added, by="ada"))
        assert self.passes() == passes
        assert self.going_on() or not any(budgets) or self.search.state.found

    @precondition(lambda self: not self.calm and self.search.state.dropped)
    @rule()
    def try_again(self) -> None:
        passes, again = self.passes(), sorted(self.search.state.dropped)
        self.feed(Retried(members=again, by="ada"))
        assert self.passes() == passes
        assert not self.search.state.dropped

    @precondition(lambda self: not self.calm and len(self.milestones) < 4)
    @rule(milestone=st.booleans(), more=st.integers(0, 2))
    def ask_for_more(self, milestone: bool, more: int) -> None:
        state, passes = self.search.state, self.passes()
        self.milestones = [*self.milestones, self.milestones[-1] + 0.03] if milestone else self.milestones
        replicas = state.population.replicas + more
        self.feed(Extended(settings={}, milestones=self.milestones, replicas=replicas, by="ada"))
        assert self.passes()[: len(passes)] == passes
        if state.finished == "seconds" or (state.finished == "resolved" and milestone):
            said = self.search.state  # a limit may have closed a visit that had passed: that settles its milestone
            assert self.going_on() or len(said.history) > len(state.history) or said.found != state.found

    def passes(self) -> list[object]:
        return [one for one in self.search.state.history if one.passed]

    @invariant()
    def nobody_is_tried_twice_at_a_level_of_a_milestone_without_inheriting(self) -> None:
        judged = (
            [one for one in self.search.state.open.rows if one.fresh and one.passed is not None]
            if self.search.state.open
            else []
        )
        known = self.search.state.open.known if self.search.state.open else []
        assert not {(one.member, one.root) for one in judged} & {(one.member, one.root) for one in known if one.fresh}

    @invariant()
    def something_runs_or_the_search_is_over(self) -> None:
        if self.going_on():
            assert self.running
            assert {own.attempt for own in self.search.live_assignments()} == set(self.running)

    @invariant()
    def every_lineage_counts_once_a_visit_and_a_settled_milestone_has_the_least_level_that_passed(self) -> None:
        for outcome in self.search.state.history:
            assert len(set(outcome.conclusive)) == len(outcome.conclusive) == outcome.tried
            assert set(outcome.passing) <= set(outcome.conclusive)
        for index, level in self.search.state.found.items():
            visits = self.search.outcomes(self.milestones[index])
            assert level == min((one.found_level for one in visits if one.found_level is not None), default=None)

    def teardown(self) -> None:
        if not hasattr(self, "search"):
            return
        self.finish(lambda: 7 * len(self.answered))
        if self.calm:
            seen = self.search.state
            self.search, self.twin = self.new_search([]), self.new_search([])
            self.running, self.cut = {}, {}
            self.feed(Capacity(slots=3))
            self.finish(lambda: 0)
            in_order = self.search.state
            assert (seen.history, seen.found, seen.finished) == (in_order.history, in_order.found, in_order.finished)

    def finish(self, choose: object) -> None:
        heard = 0
        while self.going_on():
            self.hear(choose())
            heard += 1
            assert heard < ENOUGH, "the search does not end"


@pytest.mark.parametrize("kind", sorted(discover("schedulers")))
def test_a_scheduler_survives_whatever_happens_in_any_order(kind: str) -> None:
    run_state_machine_as_test(
        lambda: Cluster(kind),
        settings=settings(  # no shrinking: it would outlast the time limit of a test
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            max_examples=15,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
