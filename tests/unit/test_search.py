"""What a search makes of events that come late, out of order, or at its end; and what it may claim then."""

import pytest

from sp_search.drive import simulate
from sp_search.drive.world import World
from sp_search.events import Capacity, LimitReached, MemberFailed, Propose, Proposed, SetBudget, Start
from sp_search.levels import Terms
from sp_search.minimum import statistical_minimum
from sp_search.plan import plan_study
from sp_search.records import Assignment, Budget, BudgetKind, LevelReport, LevelSpace, Measure, Member, Population
from sp_search.result import build_result, level_rows
from sp_search.running import search_of
from sp_search.schedulers.annealing import Annealing
from sp_search.schedulers.base import BudgetScheduler
from sp_search.schedulers.rollout_growth import RolloutGrowth
from sp_search.search import Search
from sp_search.study import study_of


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

    def __init__(
        self,
        least: float,
        members: int,
        scheduler: BudgetScheduler,
        terms: Terms,
        measure: Measure = "flops",
        caps: tuple[float, ...] = Threshold.levels,
    ) -> None:
        self.world = World(Threshold(least), 0)
        budgets = [Budget(kind=scheduler.budget, measure=measure, cap=cap) for cap in caps]
        listed = [Member(member=index, config={"width": index}, budgets=list(budgets)) for index in range(members)]
        space = LevelSpace(kind=scheduler.budget, measure=measure, axis="rollouts", caps=list(caps))
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

    def to_the_end(self) -> Search:
        while self.search.state.open is not None:
            self.end(*self.search.state.open.order)
        return self.search


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
    played.to_the_end()
    assert [outcome.verdict for outcome in played.search.state.history] == ["undecided", "undecided", "passed"]
    assert {outcome.pass_rate_high for outcome in played.search.state.history} == {1.0}
    assert statistical_minimum(played.search, 1.0).basis == "none"


def test_provisional_failures_of_several_configurations_do_not_add_up_to_a_failed_level() -> None:
    played = Played(4, 2, Annealing(tries=1), Terms(seed=0, milestones=[1.0], lineages_to_fail=2))
    rows = level_rows(played.to_the_end(), 1.0)
    assert [(row["verdict"], row["lineages"]) for row in rows[:2]] == [("undecided", 2), ("undecided", 2)]
    assert rows[0]["high"] == 0.95, "each configuration failed in one lineage"
    assert [row["verdict"] for row in rows[2:]] == ["failed", "passed"]


@pytest.mark.parametrize(
    ("measure", "kind", "caps", "low", "safe_low"),
    [
        ("flops", "max", (1.0, 2.0, 3.0, 4.0), 4.0, 4.0),
        ("rollouts", "max", (1.0, 2.0, 3.0, 4.0), 4.0, 4.0),
        ("rollouts", "max", (1.0, 3.0, 5.0), 4.0, 2.0),  # two rollouts were never tried
        ("rollouts", "max", (2.0, 3.0, 4.0), 4.0, None),  # nor here one
        ("rollouts", "mean", (1.0, 2.0, 3.0, 4.0), 3.0, None),  # a mean can be anything
    ],
)
def test_what_no_assumption_excludes_ends_at_the_first_budget_that_was_not_tried(
    measure: Measure, kind: BudgetKind, caps: tuple[float, ...], low: float, safe_low: float | None
) -> None:
    played = Played(4, 1, RolloutGrowth(budget=kind), Terms(seed=0, milestones=[1.0]), measure, caps)
    minimum = statistical_minimum(played.to_the_end(), 1.0)
    assert (minimum.low, minimum.safe_low) == (low, safe_low)


def test_what_failed_an_easier_milestone_excludes_budgets_at_a_harder_one() -> None:
    search = Played(3, 1, RolloutGrowth(), Terms(seed=0, milestones=[0.5, 1.0])).to_the_end()
    assert [outcome.level for outcome in search.outcomes(1.0)] == [2], "it passed where the search arrived"
    minimum = statistical_minimum(search, 1.0)
    assert (minimum.low, minimum.safe_low, minimum.high, minimum.basis) == (3, 3, 3, "statistical")
    assert minimum.text.startswith("budget 2 failed at milestone 0.5 in 5 lineages")


def test_a_bound_that_the_task_proves_is_safe_also_where_failures_reach_further() -> None:
    study = study_of(
        {
            "name": "prefix",
            "task": {"kind": "prefix_sums", "bits": 11},
            "model": {"kind": "recall_conv", "width": 4},
            "scheduler": {"kind": "rollout_growth", "start": 5, "stop": 8},
            "population": {"replicas": 1},
        }
    )
    search, plan, world = search_of(study, plan_study(study), None), plan_study(study), World(Threshold(7), 0)
    search.feed(Capacity(slots=1))
    while search.state.finished is None:
        search.feed(world.measure(search.live_assignments()[0]))
    minimum = build_result(study, plan, search, {}, 0.0)["minimum"]
    assert (minimum["low"], minimum["safe_low"], minimum["high"], minimum["basis"]) == (7, 5, 7, "statistical")


class Least:
    """Proposes the smallest size there is, which never passes."""

    def propose(self, request: Propose) -> Proposed:
        budget = Budget(kind="max", measure="flops", cap=1.0)
        return Proposed(member=request.member, visit=request.visit, config={"size": 1}, budget=budget)

    def accepted(self, proposed: Proposed) -> None:
        pass

    def judged(self, report: LevelReport) -> None:
        pass

    def ended(self, member: int, reason: str) -> None:
        pass


def test_proposals_that_failed_exclude_no_program_that_was_not_proposed() -> None:
    result = simulate(Annealing(), Threshold(2), workers=2, seed=0, members=8, proposer=Least())
    assert {outcome.verdict for outcome in result.levels} == {"failed"}
    assert (result.found_budget, result.minimum.low, result.minimum.basis) == (None, None, "none")
