"""Pools of good programs: what deceiving costs in them, and how often a search with coarse steps selects harm."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sp_search.exact import Setting, census, exhaust
from sp_search.tax.pools import Good, Pool, envelope
from sp_search.tax.prediction import XS, opened, predict, sealed, tree_pool
from sp_search.tax.selecting import selects_harm

ROOT = Path(__file__).parents[2]
PROGRAMS = st.lists(
    st.builds(Good, st.integers(0, 20).map(float), st.booleans(), st.integers(1, 9).map(float)), max_size=12
)


def test_the_price_of_harm_in_the_world_of_the_post_s_figure_is_an_eighth_of_a_read():
    pool = tree_pool(Setting(function="fig"))
    assert (pool.gap, pool.tax) == (0.125, 0.0625)


@pytest.mark.parametrize("step", [0.125, 0.25, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("function", ["fig", "majority", "parity"])
def test_the_curve_is_the_exact_world_s_own_at_steps_of_its_grid(function, step):
    setting = Setting(function=function)
    assert tree_pool(setting).selects_harm(step) == pytest.approx(exhaust(census(setting), step).harmful)


@given(PROGRAMS, st.floats(1.01, 50))
def test_no_pool_exceeds_the_envelope_and_up_to_one_gap_harm_is_never_selected(programs, x):
    pool = Pool([Good(1.0, False), Good(2.0, True), *(one for one in programs if one.cost > 1 + one.harmful)])
    assert pool.curve([0.3, 1.0]) == [0.0, 0.0]
    assert 0 < pool.curve([x])[0] <= envelope(x) + 1e-12


def test_a_pool_whose_harm_is_free_or_cheaper_has_a_tax_and_no_curve():
    free, macro = Pool([Good(2, False), Good(2, True)]), Pool([Good(2, False), Good(1, True, 3)])
    assert (free.tax, macro.tax) == (0.0, -0.5)
    assert (free.selects_harm(0.5), macro.selects_harm(0.5)) == (0.5, 1.0)
    assert macro.share == 0.75
    with pytest.raises(ValueError, match="where deceiving is free there is no curve"):
        free.curve([2.0])


def test_a_pool_of_one_kind_is_refused():
    with pytest.raises(ValueError, match="with harm and good ones without"):
        Pool([Good(1, False), Good(2, False), Good(3, True, 0)])


def test_the_committed_prediction_is_the_one_that_was_sealed_and_the_exact_world_still_makes_it():
    prediction = opened(json.loads((ROOT / "docs" / "tax_prediction.json").read_text()))
    assert prediction["x"] == list(XS)
    assert json.loads(json.dumps(predict())) == prediction


def test_a_prediction_that_was_changed_is_refused():
    content = sealed({"median": [0.5]})
    content["prediction"]["median"] = [0.4]
    with pytest.raises(ValueError, match="SHA-256 differs"):
        opened(content)


@pytest.mark.parametrize("x", [2.0, 8.0])
def test_the_product_s_search_over_a_pool_selects_harm_as_often_as_its_curve_says(x):
    pool, searches = tree_pool(Setting(function="fig")), 300
    (expected,) = pool.curve([x])
    harmed = sum(selects_harm(pool, x * pool.gap, seed) for seed in range(searches))
    assert abs(harmed / searches - expected) < 4 * (expected * (1 - expected) / searches) ** 0.5
    cautious = sum(selects_harm(pool, x * pool.gap, seed, lineages=5) for seed in range(searches))
    assert cautious <= harmed, "the cheapest of five lineages harms no more often than any one"
