"""The schedulers in virtual time: what they visit, what they find, and that no crash changes the answer."""

import json
import time
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sp_search.drive import SimulationResult, simulate
from sp_search.drive.cluster import Stragglers
from sp_search.levels import SearchState, Terms
from sp_search.plugins import discover
from sp_search.records import derive_seed
from sp_search.schedulers.annealing import Annealing
from sp_search.schedulers.base import BudgetScheduler
from sp_search.schedulers.fixed import Fixed
from sp_search.schedulers.oblivious import Oblivious
from sp_search.schedulers.rollout_growth import RolloutGrowth

SCHEDULERS = sorted(discover("schedulers"))


class Threshold:
    """Every budget from `least` passes, in a share `rate` of the lineages."""

    def __init__(self, least: float, top: int = 16, rate: float = 1.0) -> None:
        self.levels = [float(level) for level in range(1, top + 1)]
        self.least, self.rate = least, rate

    def cost(self, budget: float) -> float:
        return budget

    def passes(self, budget: float, seed: int) -> bool:
        return budget >= self.least and derive_seed(seed, budget) % 1000 < 1000 * self.rate


def visited(result: SimulationResult) -> list[tuple[float, str, str]]:
    return [(outcome.level + 1, outcome.phase, outcome.verdict) for outcome in result.levels]


def scheduler(kind: str) -> BudgetScheduler:
    return discover("schedulers")[kind]()  # type: ignore[return-value]


def test_annealing_goes_up_fast_down_slowly_up_slower_and_confirms_the_failure_below() -> None:
    result = simulate(Annealing(up=2.0), Threshold(23, 64), workers=2, seed=0)
    assert visited(result) == [
        (1, "up_fast", "undecided"),
        (2, "up_fast", "undecided"),
        (4, "up_fast", "undecided"),
        (8, "up_fast", "undecided"),
        (16, "up_fast", "undecided"),
        (32, "up_fast", "passed"),
        (22, "down_slow", "undecided"),
        (26, "up_slower", "passed"),
        (23, "down_slow", "passed"),
        (22, "confirm", "failed"),
    ]
    assert result.found_budget == 23
    assert (result.minimum.low, result.minimum.high, result.minimum.basis) == (23, 23, "statistical")
    assert result.minimum.safe_low is None, "no level was failed in full from the least upwards"


def test_growth_climbs_until_the_first_pass() -> None:
    result = simulate(RolloutGrowth(), Threshold(3), workers=2, seed=0)
    assert visited(result) == [(1, "growing", "failed"), (2, "growing", "failed"), (3, "growing", "passed")]


def test_growth_that_descends_finds_below_what_failed_on_the_way_up() -> None:
    """A level that needs weights from above: it fails in its first visit and passes in a later one."""

    class FromAbove(Threshold):
        visits: ClassVar[dict[float, int]] = {}

        def passes(self, budget: float, seed: int) -> bool:
            self.visits[budget] = self.visits.get(budget, 0) + 1
            return budget >= 4 or (budget == 3 and self.visits[budget] > 5)

    result = simulate(RolloutGrowth(descend=True), FromAbove(3), workers=1, seed=0)
    assert [(level, phase) for level, phase, _ in visited(result)][3:] == [
        (4, "growing"), (3, "descending"), (2, "descending"),
    ]  # fmt: skip
    assert result.found_budget == 3


@given(least=st.integers(1, 20), top=st.integers(1, 20), stride=st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_growth_by_strides_that_descends_still_finds_the_least_level(least: int, top: int, stride: int) -> None:
    result = simulate(RolloutGrowth(stride=stride, descend=True), Threshold(least, top), workers=2, seed=0)
    assert result.found_budget == (least if least <= top else None)


@pytest.mark.parametrize("kind", SCHEDULERS)
@given(least=st.integers(1, 40), top=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_every_scheduler_finds_a_level_of_a_sure_threshold_and_says_how_far_the_least_may_lie_below(
    kind: str, least: int, top: int
) -> None:
    result = simulate(scheduler(kind), Threshold(least, top), workers=3, seed=0)
    if least > top:
        assert result.found_budget is None
    else:
        minimum = result.minimum
        assert (minimum.safe_low or 0) <= (minimum.low or 0) <= least or minimum.low is None
        assert least <= (result.found_budget or 0) <= top
        assert minimum.high == result.found_budget


@pytest.mark.parametrize("kind", [kind for kind in SCHEDULERS if not isinstance(scheduler(kind), Fixed | Oblivious)])
@given(least=st.integers(1, 40), top=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_every_scheduler_that_goes_by_what_failed_finds_the_least_level_of_a_sure_threshold(
    kind: str, least: int, top: int
) -> None:
    result = simulate(scheduler(kind), Threshold(least, top), workers=3, seed=0)
    assert result.found_budget == (least if least <= top else None)
    if least <= top and not scheduler(kind).controls():
        assert result.minimum.low == (least if least > 1 else None), "the level below it failed in full"


@pytest.mark.parametrize("kind", sorted({"doubling", "levin", "luby"} & set(SCHEDULERS)))
@given(least=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_schedules_that_double_find_less_than_twice_the_least_level_of_a_sure_threshold(kind: str, least: int) -> None:
    result = simulate(scheduler(kind), Threshold(least, 64), workers=3, seed=0)
    assert result.found_budget is not None
    assert least <= result.found_budget < 2 * least


@pytest.mark.parametrize("kind", SCHEDULERS)
@given(rate=st.sampled_from([0.0, 0.3, 0.6]), to_fail=st.integers(1, 6), members=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_a_level_fails_by_enough_lineages_of_every_configuration_and_is_undecided_by_fewer(
    kind: str, rate: float, to_fail: int, members: int
) -> None:
    configs = [{"width": width} for width in range(members)]
    terms = Terms(seed=0, milestones=[1.0], lineages_to_fail=to_fail)
    for outcome in simulate(
        scheduler(kind), Threshold(4, 12, rate), workers=2, seed=0, terms=terms, members=configs
    ).levels:
        heard = [sum(member == own for _, own in outcome.conclusive) for member in range(members)]
        if outcome.verdict == "failed":
            assert min(heard) >= to_fail
            assert outcome.pass_rate_high == pytest.approx(1 - 0.05 ** (1 / min(heard)))
        elif outcome.verdict == "undecided":
            assert min(heard) < to_fail


@pytest.mark.parametrize("kind", SCHEDULERS)
@pytest.mark.parametrize(("milestone", "found"), [(1.0, None), (0.9, 4.0)])
def test_every_scheduler_ends_when_no_lineage_can_ever_be_certified(
    kind: str, milestone: float, found: float | None
) -> None:
    """Of 8,192 right answers none certifies a milestone of 1: every lineage stays undecided, for ever."""

    class AlmostSure(Threshold):
        def accuracy(self, budget: float, seed: int) -> float:
            return 1.0 if budget >= self.least else 0.5

    terms = Terms(seed=0, milestones=[milestone])
    result = simulate(scheduler(kind), AlmostSure(4, 8), workers=2, seed=0, terms=terms)
    if found is None:
        assert result.found_budget is None
        assert {outcome.verdict for outcome in result.levels} == {"undecided"}
        assert all(outcome.undecided for outcome in result.levels)
    else:
        assert (result.found_budget or 0) >= found


def test_under_a_mean_budget_a_program_costs_what_it_computes_and_a_control_finds_the_least_of_them() -> None:
    from sp_search.schedulers.penalty_annealing import PenaltyAnnealing

    mean = simulate(Annealing(budget="mean"), Threshold(5), workers=1, seed=0)
    assert (mean.found_budget, mean.minimum.low) == (5, 4), "between 4 and 5 every mean is possible"
    control = simulate(PenaltyAnnealing(), Threshold(5), workers=1, seed=0)
    assert (control.found_budget, control.minimum.basis) == (5, "none")


@pytest.mark.parametrize("kind", SCHEDULERS)
@given(rate=st.sampled_from([0.0, 0.3, 0.6, 0.9]), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_every_scheduler_ends_on_noise_and_never_names_a_budget_below_the_truth(
    kind: str, rate: float, seed: int
) -> None:
    result = simulate(scheduler(kind), Threshold(4, 12, rate), workers=2, seed=seed)
    assert result.found_budget is None or result.found_budget >= 4
    assert len(result.levels) < 50


@pytest.mark.parametrize("kind", SCHEDULERS)
@pytest.mark.parametrize(("workers", "share"), [(1, 0.0), (3, 0.3), (5, 0.3)])
def test_the_number_of_workers_and_the_order_of_arrival_change_no_decision(
    kind: str, workers: int, share: float
) -> None:
    reference = simulate(scheduler(kind), Threshold(7, rate=0.5), workers=64, seed=3)
    straggling = Stragglers(share=share)
    result = simulate(scheduler(kind), Threshold(7, rate=0.5), workers=workers, seed=3, stragglers=straggling)
    assert result.levels == reference.levels


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_losses_of_the_machinery_are_retried_and_never_count_as_failures_of_a_budget(kind: str) -> None:
    oracle = Threshold(5)
    reference = simulate(scheduler(kind), oracle, workers=2, seed=0)
    for attempt in range(1, 12):
        lossy = simulate(scheduler(kind), oracle, workers=2, seed=0, lose=frozenset({attempt}))
        assert lossy.found_budget == reference.found_budget
        assert [outcome.verdict for outcome in lossy.levels] == [outcome.verdict for outcome in reference.levels]


def test_a_lineage_that_stays_lost_is_undecided_and_the_next_index_takes_its_place() -> None:
    result = simulate(
        Annealing(),
        Threshold(1),
        workers=1,
        seed=0,
        members=1,
        lose=frozenset({1, 2, 3}),
        terms=Terms(seed=0, milestones=[1.0]),
    )
    first = result.levels[0]
    assert (first.undecided, first.passed, first.passing) == (1, 1, [(1, 0)])


def test_a_member_that_only_gets_lost_is_stopped_and_the_search_ends_without_a_verdict() -> None:
    result = simulate(Annealing(), Threshold(1), workers=1, seed=0, members=1, lose=frozenset(range(1, 100)))
    assert result.found_budget is None
    assert all(outcome.verdict == "undecided" for outcome in result.levels)


def test_a_failure_needs_enough_lineages_and_prints_what_pass_rate_it_excludes() -> None:
    result = simulate(RolloutGrowth(), Threshold(2), workers=1, seed=0, members=2)
    failed = result.levels[0]
    assert (failed.verdict, failed.tried) == ("failed", 5)
    assert failed.pass_rate_high == pytest.approx(1 - 0.05 ** (1 / 5))


def test_milestones_are_climbed_one_after_another_from_where_the_last_was_found() -> None:
    terms = Terms(seed=0, milestones=[0.5, 1.0])
    result = simulate(Annealing(), Threshold(3), workers=1, seed=0, terms=terms)
    second = [outcome for outcome in result.levels if outcome.milestone == 1.0]
    assert [outcome.level + 1 for outcome in second] == [3]


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_state_survives_a_round_trip_through_json(kind: str) -> None:
    part = scheduler(kind)
    from sp_search.events import Capacity
    from sp_search.records import Budget, LevelSpace, Member, Population

    space = LevelSpace(kind="max", measure="rollouts", axis="rollouts", caps=[1, 2])
    budgets = [Budget(kind="max", measure="rollouts", cap=cap) for cap in space.caps]
    population = Population(members=[Member(member=0, config={}, budgets=list(budgets))], replicas=2)
    state, _ = part.advance(part.initial(space, population, Terms(seed=0, milestones=[1.0])), Capacity(slots=1))
    assert SearchState.model_validate(json.loads(state.model_dump_json())) == state


def test_ten_thousand_trials_are_simulated_in_ten_seconds() -> None:
    started = time.process_time()
    terms = Terms(seed=0, milestones=[1.0], lineages_to_fail=100)
    result = simulate(RolloutGrowth(), Threshold(100, 100), workers=100, seed=0, members=100, terms=terms)
    assert result.trials == 10_000
    assert sum(outcome.tried + outcome.cut for outcome in result.levels) == 10_000
    assert time.process_time() - started < 10
