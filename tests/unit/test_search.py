"""What a search makes of events that come late, out of order, or at its end; and what it may claim then."""

from sp_search.drive.world import World
from sp_search.levels import Terms
from sp_search.records import (
    Assignment,
    Budget,
    Capacity,
    LevelSpace,
    LimitReached,
    Member,
    MemberFailed,
    Population,
    SetBudget,
    Start,
)
from sp_search.result import level_rows
from sp_search.schedulers.annealing import Annealing
from sp_search.schedulers.base import BudgetScheduler
from sp_search.schedulers.rollout_growth import RolloutGrowth
from sp_search.search import Search, statistical_minimum


class Threshold:
    """Every budget from `least` passes."""

    levels = (1.0, 2.0, 3.0, 4.0)

    def __init__(self, least: float) -> None:
        self.least = least

    def cost(self, budget: float) -> float:
        return budget

    def passes(self, budget: float, seed: int) -> bool:
        return budget >= self.least


class Played:
    """A search whose trials end as the test says; `asked` is what its members were last asked."""

    def __init__(self, least: float, members: int, scheduler: BudgetScheduler, terms: Terms) -> None:
        oracle = Threshold(least)
        self.world = World(oracle, 0)
        budgets = [Budget(kind="max", measure="flops", cap=cap) for cap in oracle.levels]
        listed = [Member(member=index, config={"width": index}, budgets=list(budgets)) for index in range(members)]
        space = LevelSpace(kind="max", measure="flops", axis="rollouts", caps=list(oracle.levels))
        self.search = Search(scheduler, space, Population(members=listed, replicas=1), terms, 0.99)
        self.asked: dict[int, Assignment] = {}
        self.feed(Capacity(slots=members))

    def feed(self, event: object) -> None:
        for action in self.search.feed(event):  # type: ignore[arg-type]
            if isinstance(action, Start | SetBudget):
                self.asked[action.assignment.member] = action.assignment

    def end(self, *members: int) -> None:
        for member in members:
            self.feed(self.world.measure(self.asked[member]))


def test_a_limit_judges_what_was_held_and_opens_no_further_level() -> None:
    played = Played(1, 4, RolloutGrowth(), Terms(seed=0, milestones=[1.0], lineages_to_fail=4))
    played.end(2, 3)
    played.feed(LimitReached(limit="seconds", training_flops=2.0))
    last = played.search.state.history[-1]
    assert (played.search.state.finished, last.verdict, last.passed) == ("seconds", "passed", 2)
    assert len(played.search.state.history) == 1


def test_what_comes_after_the_end_is_stale_as_the_limit_has_counted_it() -> None:
    played = Played(1, 2, RolloutGrowth(), Terms(seed=0, milestones=[1.0]))
    played.feed(LimitReached(limit="seconds", training_flops=2.0))
    played.end(0, 1)
    played.feed(LimitReached(limit="seconds", training_flops=2.0))
    assert played.search.spent["training"] == 2.0


def test_a_level_that_a_member_left_unheard_is_undecided_and_no_budget_is_claimed_to_fail() -> None:
    played = Played(3, 2, RolloutGrowth(), Terms(seed=0, milestones=[1.0], lineages_to_fail=2))
    played.feed(MemberFailed(member=1, attempt=played.asked[1].attempt, reason="its code raised"))
    while played.search.state.finished is None:
        played.end(0)
    assert [outcome.verdict for outcome in played.search.state.history] == ["undecided", "undecided", "passed"]
    assert {outcome.pass_rate_high for outcome in played.search.state.history} == {1.0}
    assert statistical_minimum(played.search, 1.0).basis == "none"


def test_provisional_failures_of_several_configurations_do_not_add_up_to_a_failed_level() -> None:
    played = Played(4, 2, Annealing(tries=1), Terms(seed=0, milestones=[1.0], lineages_to_fail=2))
    while played.search.state.finished is None:
        played.end(*played.search.state.open.order)  # type: ignore[union-attr]
    rows = level_rows(played.search, 1.0)
    assert [(row["verdict"], row["lineages"]) for row in rows[:2]] == [("undecided", 2), ("undecided", 2)]
    assert rows[0]["high"] == 0.95, "each configuration failed in one lineage"
    assert [row["verdict"] for row in rows[2:]] == ["failed", "passed"]
