"""The baselines against what is proven of them: what they pay, and by which sequences they are known."""

import math
from statistics import fmean

import pytest

from sp_search.drive import SimulationResult, simulate
from sp_search.levels import Terms
from sp_search.schedulers.base import BudgetScheduler
from sp_search.schedulers.doubling import Doubling
from sp_search.schedulers.doubling_bisect import DoublingBisect
from sp_search.schedulers.grid import Grid
from sp_search.schedulers.levin import Levin
from sp_search.schedulers.log_bisect import LogBisect
from sp_search.schedulers.luby import Luby, turn


class Sure:
    """Every lineage passes from `least` on, which need not be a level, and costs its cap."""

    def __init__(self, levels: list[float], least: float) -> None:
        self.levels, self.least = levels, least

    def cost(self, budget: float) -> float:
        return budget

    def passes(self, budget: float, seed: int) -> bool:
        return budget >= self.least


def search(part: BudgetScheduler, oracle: Sure, seed: int = 0, lineages_to_fail: int = 1) -> SimulationResult:
    terms = Terms(seed=seed, milestones=[1.0], lineages_to_fail=lineages_to_fail)
    return simulate(part, oracle, workers=1, seed=seed, members=1, terms=terms)


def powers(base: float, count: int) -> list[float]:
    return [base**exponent for exponent in range(count)]


def ratios(part: BudgetScheduler, levels: list[float], low: float, high: float, oracles: int = 300) -> list[float]:
    """Return what searches pay, over the least budget, which is spread evenly over the logarithm from low to high."""
    leasts = [low * (high / low) ** ((index + 0.5) / oracles) for index in range(oracles)]
    return [search(part, Sure(levels, least), seed).search_cost / least for seed, least in enumerate(leasts)]


def caps_of(result: SimulationResult) -> list[float]:
    return [outcome.cap for outcome in result.levels]


def test_doubling_pays_at_most_four_times_the_least_budget() -> None:
    paid = ratios(Doubling(), powers(2, 18), 2**6, 2**16)
    assert 3.95 < max(paid) < 4.0
    assert fmean(paid) == pytest.approx(2 / math.log(2), rel=0.01)


def test_doubling_from_a_random_start_pays_e_times_the_least_budget_on_average() -> None:
    paid = ratios(Doubling(randomised=True), powers(math.exp(1 / 8), 90), math.e**4, math.e**9)
    assert fmean(paid) == pytest.approx(math.e, rel=0.02)
    assert max(paid) < math.e**2 / (math.e - 1)


def test_a_random_start_follows_from_the_seed_of_the_study() -> None:
    oracle = Sure(powers(math.exp(1 / 8), 60), 100.0)
    first = [caps_of(search(Doubling(randomised=True), oracle, seed)) for seed in range(20)]
    assert first == [caps_of(search(Doubling(randomised=True), oracle, seed)) for seed in range(20)]
    assert len({tuple(caps) for caps in first}) > 4


def test_bisecting_the_last_doubling_costs_some_least_budgets_more_and_bisecting_the_range_costs_its_root() -> None:
    levels = powers(2 ** (1 / 16), 16 * 12 + 1)
    after = ratios(DoublingBisect(tolerance=0.2), levels, 1, 2**10, oracles=100)
    assert fmean(after) == pytest.approx(4.86, rel=0.05)
    assert max(after) < 6.7
    plain = ratios(LogBisect(tolerance=0.2), levels, 1, 2**10, oracles=100)
    assert max(plain) > 2**6
    assert fmean(plain) > 2 * fmean(after)


@pytest.mark.parametrize("part", [LogBisect(), DoublingBisect()])
@pytest.mark.parametrize("least", [1, 2, 37, 64, 99, 100])
def test_bisection_finds_the_least_level_in_a_logarithmic_number_of_visits(part: BudgetScheduler, least: int) -> None:
    result = search(part, Sure([float(level) for level in range(1, 101)], least))
    assert result.found_budget == least
    assert len(result.levels) <= 2 * (math.ceil(math.log2(100)) + 1)


@pytest.mark.parametrize("part", [LogBisect(tolerance=0.1), DoublingBisect(tolerance=0.1)])
@pytest.mark.parametrize("least", [1, 10, 95, 500])
def test_a_tolerance_bounds_by_how_much_the_answer_exceeds_the_least_level(part: BudgetScheduler, least: int) -> None:
    levels = [float(level) for level in range(1, 1001)]
    found = search(part, Sure(levels, least)).found_budget
    assert found is not None
    assert least <= found <= 1.1 * least
    assert len(search(part, Sure(levels, least)).levels) <= len(
        search(part.model_copy(update={"tolerance": 0.0}), Sure(levels, least)).levels
    )


def test_a_grid_is_even_in_the_logarithm_and_a_short_ladder_is_its_own_grid() -> None:
    never = float("inf")
    assert caps_of(search(Grid(points=5), Sure(powers(2, 9), never))) == [1, 4, 16, 64, 256]
    assert caps_of(search(Grid(points=5), Sure([1.0, 2.0, 3.0], never))) == [1, 2, 3]
    assert caps_of(search(Grid(points=5), Sure(powers(2, 9), 5))) == [1, 4, 16]


def test_levin_doubles_the_time_from_phase_to_phase_and_shares_it_by_prior_weight() -> None:
    result = search(Levin(), Sure(powers(2, 4), float("inf")), lineages_to_fail=100)
    assert [(outcome.phase, outcome.cap, outcome.tried) for outcome in result.levels] == [
        ("phase_1", 1, 1),
        ("phase_2", 1, 2),
        ("phase_3", 1, 4), ("phase_3", 2, 1),
        ("phase_4", 1, 8), ("phase_4", 2, 2),
        ("phase_5", 1, 16), ("phase_5", 2, 4), ("phase_5", 4, 1),
        ("phase_6", 1, 32), ("phase_6", 2, 8), ("phase_6", 4, 2),
        ("phase_7", 1, 64), ("phase_7", 2, 16), ("phase_7", 4, 4), ("phase_7", 8, 100),
    ]  # fmt: skip


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_levin_pays_at_most_2_to_the_length_plus_2_times_the_least_budget(length: int) -> None:
    oracle = Sure(powers(2, 6), 2 ** (length - 1))
    assert search(Levin(), oracle, lineages_to_fail=10_000).search_cost <= 2 ** (length + 2) * oracle.least


def test_levin_with_equal_weights_gives_every_level_the_same_time() -> None:
    result = search(Levin(bits=0), Sure(powers(2, 5), float("inf")), lineages_to_fail=100)
    third = [outcome.cap * outcome.tried for outcome in result.levels if outcome.phase == "phase_3"]
    assert third == [8, 8, 8, 8]


def test_luby_restarts_by_its_sequence() -> None:
    result = search(Luby(), Sure(powers(2, 5), float("inf")), lineages_to_fail=100)
    until_8 = [1, 1, 2, 1, 1, 2, 4, 1, 1, 2, 1, 1, 2, 4, 8]
    assert caps_of(result) == [*until_8, *until_8, 16]
    assert [outcome.tried for outcome in result.levels] == [1] * 30 + [100]


@pytest.mark.parametrize("exponent", range(5))
def test_luby_pays_a_logarithm_more_than_the_least_budget(exponent: int) -> None:
    result = search(Luby(), Sure(powers(2, 6), 2**exponent), lineages_to_fail=100)
    assert result.search_cost == (exponent + 1) * 2**exponent


def test_places_in_lubys_sequence_are_all_taken_once() -> None:
    places = sorted(turn(exponent, nth) for exponent in range(10) for nth in range(1, 2 ** (10 - exponent)))
    assert places[:1023] == list(range(1, 1024))


def test_levels_that_failed_often_enough_are_left_out_by_levin_and_luby() -> None:
    never = float("inf")
    assert caps_of(search(Luby(), Sure(powers(2, 5), never), lineages_to_fail=2)) == [1, 1, 2, 2, 4, 4, 8, 8, 16]
    assert caps_of(search(Levin(), Sure(powers(2, 4), never), lineages_to_fail=2)) == [1, 1, 2, 2, 4, 4, 8]
