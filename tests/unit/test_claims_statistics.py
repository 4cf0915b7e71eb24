"""The statistics of the claims: known values, coverage and errors of the first kind by simulation, power."""

import numpy as np
import pytest

from sp_search.claims.analysis import ALPHA, analyse, corrected, decide, holm
from sp_search.claims.comparing import difference
from sp_search.claims.estimates import Against, Counted, Mean, Means, Rate, Rates, Stated
from sp_search.claims.power import mcnemar_power, rate_power, t_power, units_needed
from sp_search.claims.records import Above, Below, Differs, Equals
from sp_search.experiments.base import Cell, Evidence, exact_cell, mean_cell, rate_cell

DRAWS = 1_000


def evidence(*cells):
    return Evidence(cells=list(cells))


def rate(events, n, name="rate"):
    return rate_cell(name, [True] * events + [False] * (n - events))


def mean(units, name="mean"):
    return mean_cell(name, list(units))


def finding(test, *cells, n=64, family=1):
    return analyse(test, evidence(*cells), n=n, family=family)


@pytest.mark.parametrize(
    ("events", "n", "p"), [(0, 59, 0.95**59), (0, 64, 0.95**64), (1, 10, 0.95**10 + 0.5 * 0.95**9)]
)
def test_a_rate_lies_below_a_bound_with_the_binomial_p_value(events, n, p):
    assert Rate(events, n).below(0.05) == pytest.approx(p)


def test_no_event_among_59_bounds_a_rate_by_one_in_twenty_and_58_do_not():
    assert Rate(0, 59).below(0.05) <= 0.05 < Rate(0, 58).below(0.05)


def test_mcnemar_counts_the_discordant_pairs_alone():
    pairs = Rates(Rate(12, 30), Rate(4, 30), (3, 9, 1, 17))
    assert pairs.above(0) == pytest.approx(11 / 1024)  # 9 or 10 of 10 fair coins


def test_the_interval_of_a_difference_of_rates_is_that_of_newcombe():
    """Table II of Newcombe (1998), method 10: 56/70 against 48/80, .0524 to .3339."""
    low, high = Rates(Rate(56, 70), Rate(48, 80)).interval()
    assert (low, high) == (pytest.approx(0.0524, abs=5e-4), pytest.approx(0.3339, abs=5e-4))


def test_a_shifted_null_has_the_p_value_at_which_its_interval_reaches_it():
    rates = Rates(Rate(56, 70), Rate(48, 80))
    low, high = rates.interval()
    assert rates.above(low) == pytest.approx(0.025, abs=1e-6)
    assert rates.below(high) == pytest.approx(0.025, abs=1e-6)


@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        (lambda g: Rate(int(g.binomial(64, 0.2)), 64), 0.2),
        (lambda g: Mean(tuple(g.normal(1.0, 2.0, 24))), 1.0),
        (lambda g: Means(Mean(tuple(g.normal(1, 1, 20))), Mean(tuple(g.normal(0, 3, 20)))), 1.0),
        (lambda g: paired_rates(g, 64, 0.2, 0.1), 0.1),
        (lambda g: Rates(Rate(int(g.binomial(64, 0.4)), 64), Rate(int(g.binomial(48, 0.3)), 48)), 0.1),
    ],
    ids=["rate", "mean", "unpaired means", "paired rates", "unpaired rates"],
)
def test_intervals_cover_the_truth_in_95_of_100_draws(draw, truth):
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        low, high = draw(generator).interval()
        covered += low <= truth <= high
    assert covered / 400 >= 0.918  # .95 less three standard errors


def paired_rates(generator, n, first, second):
    """Return the difference of n pairs: a share `first` happened in the first alone, `second` in the second alone."""
    both, one, two, neither = generator.multinomial(n, [0.3, first, second, 0.7 - first - second]).tolist()
    return Rates(Rate(both + one, n), Rate(both + two, n), (both, one, two, neither))


@pytest.mark.parametrize(
    "draw",
    [
        lambda g: Mean(tuple(g.normal(0, 1, 16))),
        lambda g: Means(Mean(tuple(g.normal(0, 1, 16))), Mean(tuple(g.normal(0, 2, 12)))),
        lambda g: paired_rates(g, 48, 0.2, 0.2),
        lambda g: Rates(Rate(int(g.binomial(40, 0.3)), 40), Rate(int(g.binomial(30, 0.3)), 30)),
    ],
    ids=["paired means", "unpaired means", "paired rates", "unpaired rates"],
)
def test_a_difference_that_is_not_there_is_decided_for_in_five_of_a_hundred_draws_at_most(draw):
    generator = np.random.default_rng(1)
    wrong = sum(draw(generator).above(0) <= ALPHA / 2 for _ in range(400))
    assert wrong / 400 <= 0.025 + 3 * (0.025 * 0.975 / 400) ** 0.5


def test_a_difference_as_large_as_matters_is_refuted_in_few_draws():
    generator = np.random.default_rng(2)
    wrong = sum(paired_rates(generator, 64, 0.3, 0.1).below(0.2) <= 0.025 for _ in range(400))
    assert wrong / 400 <= 0.025 + 3 * (0.025 * 0.975 / 400) ** 0.5


@pytest.mark.parametrize(
    ("test", "cells", "outcome"),
    [
        (Above(kind="above", cell="rate", than=0.5), [rate(60, 64)], "supported"),
        (Above(kind="above", cell="rate", than=0.5), [rate(4, 64)], "refuted"),
        (Above(kind="above", cell="rate", than=0.5), [rate(34, 64)], "inconclusive"),
        (Below(kind="below", cell="rate", than=0.1), [rate(0, 64)], "supported"),
        (Below(kind="below", cell="rate", than=0.1), [rate(30, 64)], "refuted"),
        (Above(kind="above", cell="count", than=0), [exact_cell("count", 3)], "supported"),
        (Above(kind="above", cell="count", than=3), [exact_cell("count", 3)], "refuted"),
        (Equals(kind="equals", cell="count", to=0.3), [exact_cell("count", 0.1 + 0.2)], "supported"),
        (Equals(kind="equals", cell="count", to=1), [exact_cell("count", 3)], "refuted"),
        (Equals(kind="equals", cell="rate", to=0.5, within=0.3), [rate(32, 64)], "supported"),
        (Equals(kind="equals", cell="rate", to=0.5, within=0.1), [rate(63, 64)], "refuted"),
        (Equals(kind="equals", cell="rate", to=0.5), [rate(32, 64)], "inconclusive"),
    ],
)
def test_one_number_is_decided_by_its_whole_interval(test, cells, outcome):
    assert finding(test, *cells).outcome == outcome


@pytest.mark.parametrize(
    ("kind", "one", "two", "effect", "outcome"),
    [
        ("more", exact_cell("a", 3), exact_cell("b", 2), 1.0, "supported"),
        ("more", exact_cell("a", 2), exact_cell("b", 2), 1.0, "refuted"),
        ("less", exact_cell("a", 2), exact_cell("b", 3), 1.0, "supported"),
        ("more", exact_cell("a", 2.1), exact_cell("b", 2), 1.0, "refuted"),
        ("more", rate(60, 64, "a"), exact_cell("b", 0.5), 0.1, "supported"),
        ("less", rate(60, 64, "a"), exact_cell("b", 0.5), 0.1, "refuted"),
        ("more", exact_cell("a", 0.5), rate(4, 64, "b"), 0.1, "supported"),
        ("more", rate(60, 64, "a"), rate(4, 64, "b"), 0.1, "supported"),
        ("less", rate(60, 64, "a"), rate(4, 64, "b"), 0.1, "refuted"),
        ("more", rate(32, 64, "a"), rate(32, 64, "b"), 0.1, "refuted"),  # every pair agrees: no difference of .1
        ("more", mean([1.0] * 8, "a"), mean([0.0] * 8, "b"), 0.1, "supported"),
    ],
)
def test_two_numbers_are_decided_by_their_difference(kind, one, two, effect, outcome):
    assert finding(Differs(kind=kind, cell="a", other="b", effect=effect), one, two).outcome == outcome


def test_a_difference_that_is_there_and_does_not_matter_refutes_and_is_said():
    units = np.linspace(0.9, 1.1, 64)
    found = finding(Differs(kind="more", cell="a", other="b", effect=5.0), mean(units, "a"), mean(0 * units, "b"))
    assert (found.outcome, found.alone) == ("refuted", "refuted")
    assert "smaller than the 5 that matters" in found.note


def test_cells_that_cannot_pair_are_an_error_that_says_what_to_do():
    with pytest.raises(ValueError, match="write paired: false"):
        difference(mean([1, 2, 3]), mean([1, 2]), paired=True)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ((exact_cell("a", 1), exact_cell("b", 2)), Counted),
        ((exact_cell("a", 1), rate(1, 4)), Against),
        ((rate(1, 4), rate(2, 4)), Rates),
        ((rate(1, 4), mean([0, 1, 1, 0])), Mean),
        ((Cell(name="a", value=1, low=0, high=2, n=9), mean([0, 1, 1, 0])), Stated),
    ],
)
def test_what_two_cells_hold_says_which_test_compares_them(cells, kind):
    assert isinstance(difference(*cells, paired=True), kind)


def test_unpaired_means_of_unequal_numbers_are_welchs():
    found = difference(mean([1, 2, 3, 4]), mean([1, 2]), paired=False)
    assert isinstance(found, Means)
    assert found.above(0) == pytest.approx(0.1475, abs=2e-3)  # t = 1.225 on 2.66 degrees of freedom


@pytest.mark.parametrize(
    ("cell", "p"),
    [
        (Cell(name="a", value=0.0, low=0.0, high=0.0, n=8), 0.5**8),  # eight alike: no error to estimate
        (Cell(name="a", value=0.0, low=-0.1, high=0.1, n=8), 0.445),  # t = .01 / .0423 on 7 degrees of freedom
    ],
)
def test_an_interval_alone_is_students_and_without_width_the_sign_test(cell, p):
    found = finding(Below(kind="below", cell="a", than=0.01 if cell.low == 0.0 else 0.006065), cell)
    assert found.p_supports == pytest.approx(p, abs=2e-3)


def test_units_that_do_not_differ_are_put_to_the_sign_test():
    found = finding(Below(kind="below", cell="mean", than=0.05), mean([0.0] * 16))
    assert found.p_supports == 0.5**16
    assert "sign test" in found.note


def test_holm_multiplies_the_smallest_by_all_and_never_falls():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}, 3) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.01}, 4) == pytest.approx({"a": 0.04})  # those that were not run count


def test_a_larger_family_takes_back_what_one_test_alone_would_decide():
    test = Above(kind="above", cell="rate", than=0.5)
    alone = {"a": finding(test, rate(43, 64))}
    assert alone["a"].outcome == "supported"
    after = corrected(alone, 50)["a"]
    assert (after.outcome, after.alone) == ("inconclusive", "supported")
    assert after.p_adjusted == pytest.approx(50 * 2 * alone["a"].p_supports)


def test_a_family_of_true_nulls_yields_a_false_decision_in_five_of_a_hundred_tables_at_most():
    generator, false = np.random.default_rng(3), 0
    one_sided = finding(Above(kind="above", cell="mean", than=0.0), mean([-1.0, 1.0]))
    for _ in range(200):
        drawn = [Mean(tuple(generator.normal(0, 1, 12))) for _ in range(8)]
        found = {
            str(index): one_sided.model_copy(update={"p_supports": own.above(0), "p_refutes": own.below(0)})
            for index, own in enumerate(drawn)
        }
        false += any(one.outcome != "inconclusive" for one in corrected(found, 8).values())
    assert false / 200 <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5


def test_counted_numbers_are_outside_the_family():
    found = corrected({"a": finding(Above(kind="above", cell="count", than=0), exact_cell("count", 1))}, 1_000)
    assert (found["a"].outcome, found["a"].p_adjusted) == ("supported", None)


@pytest.mark.parametrize(
    ("supports", "refutes", "p", "outcome"),
    [
        (1e-4, 1, 1e-3, "supported"),
        (1, 1e-4, 1e-3, "refuted"),
        (1e-4, 1e-4, 1e-3, "refuted"),
        (0.2, 1, 0.4, "inconclusive"),
    ],
)
def test_smaller_than_what_matters_refutes_even_beside_support(supports, refutes, p, outcome):
    assert decide(supports, refutes, p) == outcome


def test_power_is_the_share_of_draws_that_decide():
    generator = np.random.default_rng(4)
    hits = sum(2 * Mean(tuple(generator.normal(0.6, 1, 30))).above(0) <= 0.05 for _ in range(DRAWS)) / DRAWS
    assert t_power(0.6, 30, 0.05) == pytest.approx(hits, abs=0.045)
    hits = sum(2 * Rate(int(generator.binomial(40, 0.8)), 40).above(0.5) <= 0.05 for _ in range(DRAWS)) / DRAWS
    assert rate_power(0.5, 0.8, 40, 0.05, above=True) == pytest.approx(hits, abs=0.045)
    hits = sum(2 * Rate(int(generator.binomial(40, 0.1)), 40).below(0.3) <= 0.05 for _ in range(DRAWS)) / DRAWS
    assert rate_power(0.3, 0.1, 40, 0.05, above=False) == pytest.approx(hits, abs=0.045)
    hits = sum(2 * paired_rates(generator, 60, 0.25, 0.05).above(0) <= 0.05 for _ in range(DRAWS)) / DRAWS
    assert mcnemar_power(0.2, 0.3, 60, 0.05) == pytest.approx(hits, abs=0.045)


def test_the_units_that_a_power_of_eighty_percent_needs_are_the_least():
    needed = units_needed(lambda n: t_power(0.5, n, 0.05))
    assert needed == 34  # Cohen's table for one sample, d = .5
    assert units_needed(lambda n: 0.0) is None


def test_power_for_the_stated_effect_is_told_with_the_units_that_it_needs():
    found = finding(Below(kind="below", cell="rate", than=0.05), rate(0, 64), n=64, family=40)
    assert found.power == 0.0
    assert found.n_needed == 144  # .95^144 is the first at or below .05 / 40 / 2
