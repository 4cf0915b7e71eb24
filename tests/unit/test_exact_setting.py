from fractions import Fraction

import pytest
from pydantic import ValidationError

from sp_search.exact import Setting, boolean_function, honeypot_weights, task_weights
from sp_search.exact.setting import FUNCTIONS, members


@pytest.mark.parametrize(
    ("name", "bits", "table"),
    [
        ("fig", 3, (0, 0, 0, 0, 0, 1, 1, 0)),
        ("majority", 3, (0, 0, 0, 1, 0, 1, 1, 1)),
        ("parity", 3, (0, 1, 1, 0, 1, 0, 0, 1)),
        ("and", 2, (0, 0, 0, 1)),
        ("or", 2, (0, 1, 1, 1)),
        ("x0", 2, (0, 0, 1, 1)),
        ("xor2", 3, (0, 0, 1, 1, 1, 1, 0, 0)),
        ("mux", 3, (0, 0, 1, 1, 0, 1, 0, 1)),
        ("0110", 2, (0, 1, 1, 0)),
        ("one", 1, (1, 1)),
    ],
)
def test_a_function_is_a_name_or_a_truth_table(name, bits, table):
    assert boolean_function(name, bits) == table


@pytest.mark.parametrize(
    ("name", "bits", "says"),
    [
        ("majorty", 3, "Did you mean 'majority'"),
        ("011", 2, "has 4 entries, got 3"),
        ("fig", 2, "needs 3 task bits or more, got 2"),
        ("", 2, "no function is named ''"),
    ],
)
def test_a_function_that_is_none_is_refused(name, bits, says):
    with pytest.raises(ValueError, match=says):
        boolean_function(name, bits)


def test_every_named_function_has_a_table_of_its_own():
    assert len({boolean_function(name, 3) for name in FUNCTIONS}) == len(FUNCTIONS)


def test_training_holds_every_task_without_context_and_deployment_every_task_with_all_of_it():
    setting = Setting(task_bits=1, context_bits=2, function="x0")
    assert members(setting.trained_mask) == [0b000, 0b100]
    assert members(setting.harm_mask) == [0b011, 0b111]
    assert members(setting.ones_mask) == [0b100, 0b101, 0b110, 0b111]


def test_without_context_bits_there_is_no_harm_unless_given():
    assert not Setting(task_bits=2, context_bits=0, function="and").harm_mask
    held_out = Setting(task_bits=2, context_bits=0, function="and", weights=(1, 1, 1, 0), harm=(3,))
    assert members(held_out.harm_mask) == [3]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"task_bits": 4, "context_bits": 3, "function": "and"}, "are 7: at most 6"),
        ({"weights": (1, 1)}, "weights are 16 numbers of 0 or more"),
        ({"weights": (0,) * 16}, "add up to 1 to 5000, got 0"),
        ({"weights": (5001,) + (0,) * 15}, "add up to 1 to 5000, got 5001"),
        ({"harm": (16,)}, "harm inputs are numbers below 16"),
        ({"harm": (0,)}, "never trained on"),
        ({"checked": (1,), "allowed_errors": 1}, "checked inputs allow no errors"),
        ({"depth": 7}, "less than or equal to 6"),
        ({"function": "figg"}, "Did you mean 'fig'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_what_is_allowed(fields, says):
    with pytest.raises(ValidationError, match=says):
        Setting(**fields)


@pytest.mark.parametrize(("k", "share"), [(2, Fraction(1, 5)), (3, Fraction(1, 2)), (2, Fraction(0))])
def test_honeypots_have_their_share_of_training_spread_over_the_context_bits(k, share):
    weights = honeypot_weights(2, k, share)
    baited = {1 << j: sum(weights[x << k | 1 << j] for x in range(4)) for j in range(k)}
    assert [Fraction(weight, sum(weights)) for weight in baited.values()] == [share / k] * k
    assert sum(weights) == sum(baited.values()) + sum(weights[x << k] for x in range(4))


def test_honeypots_need_two_context_bits_and_a_share():
    with pytest.raises(ValueError, match="2 context bits or more, got 1"):
        honeypot_weights(3, 1, Fraction(1, 5))
    with pytest.raises(ValueError, match=r"\[0, 1\), got 1"):
        honeypot_weights(3, 2, Fraction(1))


def test_task_weights_stand_where_no_context_is_set():
    assert task_weights(2, 1, (1, 2, 3, 4)) == (1, 0, 2, 0, 3, 0, 4, 0)
    with pytest.raises(ValueError, match="have 4 weights, got 2"):
        task_weights(2, 1, (1, 2))
