"""Judgement: bounds that hold, looks that are paid for, and a choice that never rewards surplus accuracy."""

from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from sp_search.records import Assignment, Budget, Count, LineageMeasurement, Measured, Sample, Selection
from sp_search.selection import (
    accuracy_interval,
    accuracy_low,
    alpha_of_look,
    cheapest,
    judge,
    largest_certifiable,
    mean_high,
    mean_interval,
)

MAX_BUDGET = Budget(kind="max", measure="rollouts", cap=4, axis={"rollouts": 4})


def sample(mean: float, variance: float = 1.0, n: int = 8192, low: float = 1.0, high: float = 8.0) -> Sample:
    return Sample(mean=mean, variance=variance, p95=high, largest=high, n=n, possible_low=low, possible_high=high)


def lineage(
    index: int = 0, *, correct: int = 100, n: int = 100, exact: bool = False, **fields: object
) -> LineageMeasurement:
    values = {
        "lineage": index,
        "seed": index,
        "ended": "reached",
        "train_steps": 1,
        "gates": {"iid": Count(correct=correct, n=n, exact=exact)},
        "max_available_flops": 100.0,
        "parameters": 10,
        "serial_depth": 1,
    }
    return LineageMeasurement.model_validate({**values, **fields})


def assignment(milestone: float = 0.9, budget: Budget = MAX_BUDGET, lineages: int = 1) -> Assignment:
    indices = list(range(lineages))
    return Assignment(
        member=0,
        visit=0,
        level=0,
        attempt=1,
        milestone=milestone,
        budget=budget,
        config={},
        lineages=indices,
        seeds=indices,
    )


def measured(*lineages: LineageMeasurement) -> Measured:
    return Measured(
        member=0, visit=0, level=0, attempt=1, lineages=list(lineages), training_flops=1.0, verification_flops=1.0
    )


def test_the_looks_of_a_whole_study_spend_no_more_than_alpha() -> None:
    assert sum(alpha_of_look(0.99, look) for look in range(1, 100_000)) < 0.01
    assert isclose(sum(alpha_of_look(0.99, look) for look in range(1, 100_000)), 0.01, rel_tol=1e-4)


@given(correct=st.integers(0, 50), n=st.integers(1, 50))
def test_accuracy_interval_is_clopper_pearson(correct: int, n: int) -> None:
    correct = min(correct, n)
    ours = accuracy_interval(Count(correct=correct, n=n), 0.05)
    theirs = binomtest(correct, n).proportion_ci(0.95, "exact")
    assert ours.low == pytest.approx(theirs.low, abs=1e-9)
    assert ours.high == pytest.approx(theirs.high, abs=1e-9)


def test_the_lower_bound_errs_no_more_often_than_it_says() -> None:
    truth, n, alpha = 0.9, 200, 0.05
    wrong = sum(binom.pmf(k, n, truth) for k in range(n + 1) if accuracy_low(Count(correct=k, n=n), alpha) > truth)
    assert 0.0 < wrong <= alpha


def test_an_enumerated_accuracy_has_no_interval_and_spends_no_look() -> None:
    report, looks = judge(measured(lineage(correct=90, exact=True)), assignment(0.9), 0.99, looks=3)
    assert report.lineages[0].passed
    assert looks == 3


def test_each_sampled_verification_is_a_look_in_index_order() -> None:
    rows = [lineage(0), lineage(1, gates={}, ended="exhausted"), lineage(2)]
    report, looks = judge(measured(*rows), assignment(0.9, lineages=3), 0.99, looks=0)
    assert looks == 2
    assert [row.passed for row in report.lineages] == [True, False, True]


def test_what_passes_at_the_first_look_can_fail_at_a_late_one() -> None:
    row = lineage(correct=98, n=100)
    assert judge(measured(row), assignment(0.9), 0.99, looks=0)[0].lineages[0].passed
    assert not judge(measured(row), assignment(0.9), 0.99, looks=50)[0].lineages[0].passed


def test_every_gate_must_pass() -> None:
    gates = {"iid": Count(correct=100, n=100), "shifted": Count(correct=50, n=100)}
    assert not judge(measured(lineage(gates=gates)), assignment(0.9), 0.99, looks=0)[0].lineages[0].passed


@pytest.mark.parametrize(
    ("correct", "n", "passes", "tried"), [(1000, 1000, True, True), (990, 1000, False, True), (90, 90, False, False)]
)
def test_a_check_is_a_test_with_a_threshold_of_its_own(correct: int, n: int, passes: bool, tried: bool) -> None:
    stable = {"stable": {"count": {"correct": correct, "n": n}, "least": 0.99}}
    report, looks = judge(measured(lineage(exact=True, checks=stable)), assignment(), 0.99, 0)
    assert (report.lineages[0].passed, report.lineages[0].tried, looks) == (passes, tried, 1)


@pytest.mark.parametrize(("mean", "passes"), [(3.5, True), (3.99, False), (4.5, False)])
def test_a_mean_budget_is_kept_only_when_the_upper_bound_of_the_mean_fits(mean: float, passes: bool) -> None:
    budget = Budget(kind="mean", measure="rollouts", cap=4, axis={"rollouts": 8})
    row = lineage(compute={"rollouts": sample(mean)})
    report, _ = judge(measured(row), assignment(0.9, budget), 0.99, looks=0)
    assert report.lineages[0].passed is passes
    assert not passes or mean < (report.cheapest_pass or 0) <= 4


def test_the_bound_of_a_constant_is_the_constant() -> None:
    assert mean_high(sample(5.0, variance=0.0, low=5.0, high=5.0), 1e-6) == 5.0


@given(mean=st.floats(1, 8), variance=st.floats(0, 10), n=st.integers(1, 10_000))
def test_a_mean_lies_in_its_interval_and_the_interval_in_the_possible_range(
    mean: float, variance: float, n: int
) -> None:
    interval = mean_interval(sample(mean, variance, n), 0.01)
    assert 1.0 <= interval.low <= mean <= interval.high <= 8.0


def test_the_largest_certifiable_milestone_is_what_an_errorless_run_certifies() -> None:
    best = largest_certifiable(360, 0.99)
    assert accuracy_low(Count(correct=360, n=360), alpha_of_look(0.99, 1)) == pytest.approx(best)
    assert 0.98 < best < 0.99
    assert largest_certifiable(None, 0.99) == 1.0


def candidate(flops: float, correct: int, member: int = 0) -> tuple[Selection, LineageMeasurement]:
    selection = Selection(milestone=0.9, member=member, visit=0, level=0, lineage=0, look=1, budget=MAX_BUDGET, cost=4)
    return selection, lineage(correct=correct, max_available_flops=flops)


def test_the_cheapest_verified_program_is_chosen_however_accurate_a_dearer_one_is() -> None:
    chosen = cheapest([candidate(200.0, 100), candidate(100.0, 95, member=1)])
    assert chosen is not None
    assert chosen[0].member == 1
    assert cheapest([]) is None
