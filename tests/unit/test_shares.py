"""Compound scaling: what a cap and shares become, as laws that hold for every price that rises with its axes."""

from math import prod

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sp_search.shares import Range, free_axes, from_share_of_log, grown, share_of_log, shared_axes, shares_of

RANGES = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=4).map(
    lambda pairs: {f"axis{index}": Range(low, low + more) for index, (low, more) in enumerate(pairs)}
)


@st.composite
def spaces(draw):
    """Draw ranges, shares for them, and a price that rises with each axis."""
    ranges = draw(RANGES)
    shares = [draw(st.floats(0, 1)) for _ in shared_axes(ranges)]
    weights = {name: draw(st.integers(1, 5)) for name in ranges}
    constant = draw(st.integers(0, 20))

    def price(values):
        return float(constant + prod(values.values()) + sum(weights[name] * value for name, value in values.items()))

    return ranges, shares, price


def least(ranges):
    return {name: low for name, (low, _) in ranges.items()}


def largest(ranges):
    return {name: high for name, (_, high) in ranges.items()}


@given(spaces(), st.floats(0.1, 1e5))
def test_nothing_costs_more_than_the_cap_and_only_a_cap_under_the_cheapest_holds_nothing(space, cap):
    ranges, shares, price = space
    values = grown(ranges, shares, price, cap)
    if values is None:
        assert price(least(ranges)) > cap
    else:
        assert price(values) <= cap
        assert all(low <= values[name] <= high for name, (low, high) in ranges.items())


@given(spaces(), st.floats(0.1, 1e5), st.floats(1, 10))
def test_a_larger_cap_takes_nothing_away(space, cap, factor):
    ranges, shares, price = space
    before, after = grown(ranges, shares, price, cap), grown(ranges, shares, price, cap * factor)
    if before is not None:
        assert after is not None
        assert all(before[name] <= after[name] for name in ranges)


@given(spaces())
def test_every_path_begins_at_the_least_and_ends_at_the_largest_configuration(space):
    ranges, shares, price = space
    assert grown(ranges, shares, price, price(least(ranges))) == least(ranges)
    assert grown(ranges, shares, price, price(largest(ranges))) == largest(ranges)


@given(spaces(), st.data())
def test_every_configuration_lies_on_the_path_of_its_shares(space, data):
    ranges, _, price = space
    values = {name: data.draw(st.integers(low, high)) for name, (low, high) in ranges.items()}
    shares = shares_of(ranges, values)
    assert len(shares) == len(shared_axes(ranges))
    assert all(0 <= share <= 1 for share in shares)
    assert grown(ranges, shares, price, price(values)) == values


@given(RANGES)
def test_every_axis_has_a_share_but_the_last_that_can_grow(ranges):
    assert shared_axes(ranges) == free_axes(ranges)[:-1]
    assert all(ranges[name].low < ranges[name].high for name in free_axes(ranges))


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, {"width": 1, "rollouts": 16}), (0.5, {"width": 4, "rollouts": 4}), (1.0, {"width": 16, "rollouts": 1})],
)
def test_shares_divide_the_logarithm_of_the_cap(share, expected):
    ranges = {"width": Range(1, 16), "rollouts": Range(1, 16)}
    assert grown(ranges, [share], lambda values: values["width"] * values["rollouts"], 16) == expected


@given(st.floats(1, 1e12), st.floats(1.001, 1e6), st.floats(0, 1))
def test_a_share_of_a_logarithm_and_its_value_are_inverse_and_exact_at_both_ends(low, factor, share):
    high = low * factor
    value = from_share_of_log(share, low, high)
    assert low <= value <= high
    assert share_of_log(value, low, high) == pytest.approx(share, abs=1e-9)
    assert (from_share_of_log(0, low, high), from_share_of_log(1, low, high)) == (low, high)
    assert (share_of_log(low, low, high), share_of_log(high, low, high)) == (0, 1)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_is_a_larger_value(first, second):
    assume(first < second)
    assert from_share_of_log(first, 3, 7000) <= from_share_of_log(second, 3, 7000)


def test_where_there_is_one_price_every_cap_is_the_whole_of_it():
    assert share_of_log(5, 5, 5) == 1
    assert from_share_of_log(1, 5, 5) == 5
